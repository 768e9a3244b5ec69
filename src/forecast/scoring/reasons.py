"""Reasons: how far each feature moves a deal away from the average deal, in numbers and in words.

Effects are Aumann-Shapley values: the gradient of the win probability is averaged along the straight path from
the reference coefficients to the deal's, and shared out by each feature's additive part. They sum to the
difference of both probabilities (docs/reasons.md).
Source: Aumann and Shapley 1974; Sundararajan, Taly and Yan 2017 (integrated gradients).
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints
from forecast.features import FeatureMatrix, Phrasebook, label, spec_of
from forecast.models import Cells, Curves, FittedModels, LeadModels

__all__ = ["Chances", "Explainer"]

# Gauss-Legendre on [0, 1].
_POINTS, _POINT_WEIGHTS = np.polynomial.legendre.leggauss(5)
_NODES: Final = 0.5 * (_POINTS + 1.0)
_NODE_WEIGHTS: Final = 0.5 * _POINT_WEIGHTS
_quote: Final = json.JSONEncoder().encode


class Chances(NamedTuple):
    """What is explained of n deals or leads.

    won : (n,) win probabilities; of leads, chances of being converted
    in_period : (n,) chances of being won inside the period; only read if there is one
    amount_if_won : (n,) in the reporting currency, NaN if unknown; None where there is no amount, as for leads
    """

    won: Floats
    in_period: Floats | None = None
    amount_if_won: Floats | None = None


class Explainer:
    """Explains scores of one as-of moment in one language.

    models : what made the scores
    cells : the time axis they were made on, until the horizon of the chance explained
    span_days : start and end of the period asked about, in days after the as-of moment
    """

    def __init__(
        self,
        models: FittedModels | LeadModels,
        cells: Cells,
        *,
        span_days: tuple[float, float] | None = None,
        locale: str = "en",
        currency: str = "EUR",
    ) -> None:
        self._outcome = models.outcome
        self._on_bins = models.on_bins
        # What the deal's own clock adds is a matter of what it counts: the deal's age, or its time in stage.
        clock = models.clock.feature
        self._clock_group = models.outcome.groups.index(clock) if clock in models.outcome.groups else None
        self._book = Phrasebook(locale, currency)
        # The path needs only the shape of the gradient: one cell per bin, the season averaged inside.
        span = None if span_days is None else (max(span_days[0], 0.0), span_days[1])
        self._cells, self._coarse = cells, cells.coarse(span or ())
        self._span = span
        self._period_cells: NDArray[np.bool_] | None = None
        if span is not None:
            middle = (self._coarse.edges_days[:-1] + self._coarse.edges_days[1:]) / 2
            self._period_cells = (middle > span[0]) & (middle < span[1])
        self._average = models.average
        self._chances: tuple[float, float] | None = None

    def curves(self, log_hazard: Floats) -> Curves:
        """Curves of n rows with (n, 2, J) log hazards; those of the average row are drawn beside the first."""
        if self._chances is not None:
            return self._cells.curves(log_hazard)
        drawn = self._cells.curves(np.concatenate((self._average, log_hazard)))
        average = drawn.take(slice(0, 1))
        in_period = 0.0 if self._span is None else float(average.won_between(*self._span)[0])
        self._chances = float(average.won[0, -1]), in_period
        return drawn.take(slice(1, None))

    @property
    def reference_won(self) -> float:
        """The win probability of the average training row, from which effects count."""
        return self._reference[0]

    @property
    def reference_in_period(self) -> float:
        """Its chance of being won inside the period; 0 if none was asked about."""
        return self._reference[1]

    @property
    def _reference(self) -> tuple[float, float]:
        if self._chances is None:
            self.curves(self._average[:0])
        assert self._chances is not None  # noqa: S101  (for the type checker)
        return self._chances

    def effects(
        self, coefficients: Floats, contributions: Floats, log_pace: Floats, chances: Chances
    ) -> tuple[Floats, Floats | None]:
        """(n, G) changes of the win probability by each feature, and of the chance in the period if any.

        coefficients, contributions : (n, 2, B) and (n, G, 2, B) of the outcome model
        log_pace : (n, 2, J) of the deals' own clocks; the average deal's runs at one

        Rows sum to the deal's chance minus the reference's.
        """
        reference = self._outcome.reference
        along = reference + _NODES[:, None, None, None] * (coefficients - reference)
        hazards = self._on_bins(along.reshape(-1, *reference.shape))
        if self._clock_group is not None:
            paces = _NODES[:, None, None, None] * log_pace
            hazards = hazards + paces.reshape(-1, *log_pace.shape[1:])
        parts = contributions, log_pace
        ever = self._shared(hazards, None, parts, chances.won - self.reference_won)
        if self._period_cells is None or chances.in_period is None:
            return ever, None
        difference = chances.in_period - self.reference_in_period
        return ever, self._shared(hazards, self._period_cells, parts, difference)

    def _shared(
        self,
        hazards: Floats,
        counted: NDArray[np.bool_] | None,
        parts: tuple[Floats, Floats],
        difference: Floats,
    ) -> Floats:
        """(n, G) the difference of a chance shared out among the features.

        hazards : (nodes * n, 2, J) log hazards along the path, one node after the other
        parts : what moves the coefficients (n, G, 2, B), and the log hazards themselves (n, 2, J)
        """
        slopes = self._coarse.win_gradient(hazards, counted)
        slopes = slopes.reshape(len(_NODES), -1, *slopes.shape[1:])
        slope = (_NODE_WEIGHTS[:, None, None, None] * slopes).sum(axis=0)
        gradient = (slope[:, :, None] * self._outcome.basis).sum(axis=-1)
        contributions, log_pace = parts
        shared = contributions * gradient[:, None]
        effects = shared.reshape(*shared.shape[:2], -1).sum(axis=-1)
        if self._clock_group is not None:
            effects[:, self._clock_group] += (slope * log_pace).reshape(len(slope), -1).sum(axis=-1)
        # What quadrature and coarse cells leave over, a thousandth or so, is shared in proportion to size.
        size = np.abs(effects)
        left = difference - effects.sum(axis=1)
        total = size.sum(axis=1)
        even = np.full_like(size, 1.0 / size.shape[1])
        share = np.divide(size, total[:, None], out=even, where=total[:, None] > 0)
        found: Floats = effects + left[:, None] * share
        return found

    def texts(
        self,
        features: FeatureMatrix,
        coefficients: Floats,
        contributions: Floats,
        log_pace: Floats,
        chances: Chances,
        most: int,
    ) -> list[str]:
        """(n,) JSON lists of the `most` features that move the win probability furthest, in that order."""
        ever, period = self.effects(coefficients, contributions, log_pace, chances)
        most = min(most, ever.shape[1])
        order = np.argsort(-np.abs(ever), axis=1, kind="stable")[:, :most]
        row = np.arange(len(order))[:, None]
        effect = ever[row, order]
        pattern, parts = "%s%s%s", [self._what(order), _written(effect, 6), self._said(features, order)]
        if chances.amount_if_won is not None:
            pattern += ', "bookings_effect": %s'
            parts.append(_written(effect * chances.amount_if_won[:, None], 2))
        if period is not None:
            pattern += ', "period_effect": %s'
            parts.append(_written(period[row, order], 6))
        pattern += "}"
        reasons = [pattern % cell for cell in zip(*parts, strict=True)]
        return [f"[{', '.join(reasons[at : at + most])}]" for at in range(0, len(reasons), most)]

    def _what(self, order: Ints) -> list[str]:
        """(n * most,) how each reason begins: the feature by name and by label."""
        heads = _heads(self._outcome.groups, self._book.locale)
        return [heads[g] for g in order.ravel().tolist()]

    def _said(self, features: FeatureMatrix, order: Ints) -> list[str]:
        """(n * most,) value and words of each reason.

        One deal has five reasons among forty features: only those that appear are looked at, one feature at a
        time for all deals that have it.
        """
        width = order.shape[1]
        cells = features.cells(self._outcome.groups, order).ravel().tolist()
        said = [""] * order.size
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, g in enumerate(order.ravel().tolist()):
            places[g].append(place)
        for g, here in places.items():
            name = self._outcome.groups[g]
            values = [cells[place] for place in here]
            phrases = self._book.phrases(features, name, [place // width for place in here], values)
            quoted = {phrase: _quote(phrase) for phrase in set(phrases)}
            for place, value, phrase in zip(here, _values(features, name, values), phrases, strict=True):
                said[place] = f', "value": {value}, "text": {quoted[phrase]}'
        return said


@lru_cache(maxsize=8)
def _heads(names: tuple[str, ...], locale: str) -> list[str]:
    """How the reason of each feature begins."""
    return [
        f'{{"feature": {json.dumps(n)}, "label": {json.dumps(label(n, locale))}, "effect": ' for n in names
    ]


def _values(features: FeatureMatrix, name: str, values: list[float]) -> list[str]:
    """Values of a feature as JSON: a text, a number with sensible digits, or null."""
    kind = spec_of(name).kind
    if kind == "category":
        texts = features.texts(name)
        told = {
            code: json.dumps(texts[int(code)].split("/", 1)[1] if name == "stage" else texts[int(code)])
            for code in set(values)
            if code == code
        }
        return ["null" if code != code else told[code] for code in values]
    digits = 4 if kind in ("share", "chance", "number") else 1
    return ["null" if value - value else repr(round(value, digits)) for value in values]


def _written(numbers: Floats, digits: int) -> list[str]:
    """(n * most,) numbers as JSON, null for unknown ones."""
    # JSON has neither NaN nor infinity: of both the difference to themselves is NaN, which counts as true.
    return ["null" if value - value else f"{value:.{digits}f}" for value in numbers.ravel().tolist()]
