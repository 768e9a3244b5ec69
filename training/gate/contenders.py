"""Who is asked about the later period: a bundle itself where it had not seen the period, else its settings.

A candidate trained yesterday has learnt from yesterday, so nothing later is there to ask it about. What can be
compared is what it is made by: its settings, fitted again on what was recorded before the period. The champion
is treated alike, so that neither has an advantage.

E.g. data until 1 January, period from 5 July. A champion trained until 1 July is asked itself; one trained
until 1 December is fitted again, with its own settings, on what was recorded before 5 July.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from forecast.bundle import Bundle
from forecast.errors import GateError
from forecast.features import LeakRules
from forecast.history import History, StageMap
from forecast.models import FitSettings, FittedModels, fit_models
from forecast.periods import as_of_us
from training.holdout import Holdout

__all__ = ["Contender", "check_comparable", "contenders", "settings_of", "stages_apart"]

Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Contender:
    """Models that had learnt only what was recorded before the period.

    itself: they are the bundle's own; else its settings were fitted again
    """

    models: FittedModels
    itself: bool

    @property
    def what(self) -> str:
        """For people."""
        return "the bundle itself" if self.itself else "its settings fitted again"


def settings_of(bundle: Bundle) -> FitSettings:
    """The settings a bundle was fitted with; a key that it does not have keeps its default."""
    stored = _known(FitSettings, bundle.models.settings)
    if "leak_rules" in stored:
        stored["leak_rules"] = LeakRules(**_known(LeakRules, stored["leak_rules"]))
    return FitSettings(**stored)


def _known(cls: type, stored: dict[str, Any]) -> dict[str, Any]:
    """Of stored values those that this version knows, lists as tuples."""
    names = {one.name for one in fields(cls)}
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in stored.items()
        if key in names
    }


def check_comparable(champion: Bundle, candidate: Bundle) -> None:
    """Raise GateError if the two answer different questions: other stages, or another currency."""
    apart = stages_apart(candidate.models.stages, champion.models.stages)
    if apart:
        raise GateError(
            f"the candidate and the champion know different stages ({apart}), so they cannot be compared; "
            "promote with --force REASON if the process has changed, or keep each company's bundles in a "
            "folder of their own",
            code="other_stages",
        )
    ours, other = candidate.models.money.reporting, champion.models.money.reporting
    if ours != other:
        raise GateError(
            f"the candidate counts in {ours} and the champion in {other}, so they cannot be compared; promote "
            "with --force REASON if that is meant",
            code="other_currency",
        )


def contenders(
    history: History, holdout: Holdout, champion: Bundle, candidate: Bundle, *, tell: Tell
) -> tuple[Contender, Contender]:
    """Champion and candidate for the period; equal settings are fitted once."""
    fitted: dict[FitSettings, FittedModels] = {}
    found = []
    for number, (who, bundle) in enumerate((("champion", champion), ("candidate", candidate))):
        if bundle.models.trained_until_us <= as_of_us(holdout.start):
            found.append(Contender(bundle.models, itself=True))
            continue
        settings = settings_of(bundle)
        if settings not in fitted:

            def told(text: str, share: float, who: str = who, number: int = number) -> None:
                tell(f"{who}: {text}", 0.5 * (number + share))

            fitted[settings] = fit_models(history, holdout.start, settings, tell=told)
        found.append(Contender(fitted[settings], itself=False))
    return found[0], found[1]


def stages_apart(mine: StageMap, theirs: StageMap) -> str:
    """What two stage maps do not share, in words; "" if they are the same, codes and kinds included."""
    ours, others = (list(zip(one.names, one.kind.tolist(), strict=True)) for one in (mine, theirs))
    if ours == others:
        return ""
    apart = sorted({name for name, _ in set(ours) ^ set(others)})
    return f"{', '.join(apart[:4])}{', ...' if len(apart) > 4 else ''}" if apart else "their order"
