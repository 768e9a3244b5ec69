"""How many usual ones a count is diluted with: as many as the spread of groups around the usual asks for.

Source: empirical Bayes by the method of moments, DerSimonian and Laird 1986; Efron and Morris 1975.
"""

from __future__ import annotations

from typing import Final

from forecast.arrays import Floats

__all__ = ["dilution"]

_LEAST: Final = 1.0
_GROUPS: Final = 5.0  # what is usual counts as much as so many groups
_STEPS: Final = 30


def dilution(above: Floats, counted: Floats, chance: Floats, usual: float, most: float) -> float:
    """The m for which above / (counted + m) is nearest to what is true of a group, on the whole.

    above : (G,) what was counted beyond what was to be expected
    counted : (G,) how many could have come, or were to be expected
    chance : (G,) variance of `above` if all groups were alike
    usual, most : the m where nothing is known, and where no difference is found

    The spread of above / counted has two parts: chance, and how far groups differ in truth. The less of the
    second, the larger m. A few groups are not believed alone: five count as much as what is usual.
    """
    seen = (counted > 0) & (chance > 0)
    if not seen.any():
        return usual
    above, counted, chance = above[seen], counted[seen], chance[seen]
    of_one = float(chance.sum() / counted.sum())
    assumed = of_one / usual
    by_chance = chance / counted**2
    differ = (above / counted) ** 2 - by_chance
    true = assumed
    for _ in range(_STEPS):
        weight = 1.0 / (by_chance + true) ** 2
        prior = _GROUPS * float(weight.mean())
        true = (float((weight * differ).sum()) + prior * assumed) / (float(weight.sum()) + prior)
        true = min(max(true, of_one / most), of_one / _LEAST)
    return of_one / true
