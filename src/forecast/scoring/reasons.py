"""Reasons: how far each feature moves a deal's win probability away from that of the average deal.

Effects are Aumann-Shapley values: the gradient of the win probability is averaged along the straight path from
the reference coefficients to the deal's, and shared out by each feature's additive part. They sum to the
difference of both probabilities.
Source: Aumann and Shapley 1974; Sundararajan, Taly and Yan 2017 (integrated gradients).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final

import numpy as np

from forecast.arrays import Floats
from forecast.features import FeatureMatrix, label, spec_of
from forecast.models import Cells, FittedModels, LeadModels

__all__ = ["Explainer"]

# Gauss-Legendre on [0, 1].
_POINTS, _POINT_WEIGHTS = np.polynomial.legendre.leggauss(3)
_NODES: Final = 0.5 * (_POINTS + 1.0)
_NODE_WEIGHTS: Final = 0.5 * _POINT_WEIGHTS


class Explainer:
    """Explains scores of one as-of moment.

    models : what made the scores
    cells : the time axis they were made on, up to the horizon that is explained
    coarse : one cell per bin up to the same horizon; without it, up to the cap
    """

    def __init__(
        self, models: FittedModels | LeadModels, as_of_us: int, cells: Cells, coarse: Cells | None = None
    ) -> None:
        self._outcome = models.outcome
        self._on_bins = models.on_bins
        # The path needs only the shape of the gradient: one cell per bin, the season averaged inside.
        self._coarse = coarse or Cells.by_bin(as_of_us, models.outcome.bins, models.seasons)
        self._reference_won = float(cells.curves(models.on_bins(models.outcome.reference[None])).won[0, -1])

    def effects(self, coefficients: Floats, contributions: Floats, won: Floats) -> Floats:
        """(n, G) change of the win probability by each feature; rows sum to `won` minus the reference's.

        coefficients, contributions : (n, 2, B) and (n, G, 2, B) of the outcome model
        won : (n,) win probabilities
        """
        basis, reference = self._outcome.basis, self._outcome.reference
        along = reference + _NODES[:, None, None, None] * (coefficients - reference)
        slopes = self._coarse.win_gradient(self._on_bins(along.reshape(-1, *reference.shape)))
        slopes = slopes.reshape(*along.shape[:3], -1)
        slope = (_NODE_WEIGHTS[:, None, None, None] * slopes).sum(axis=0)
        gradient = (slope[:, :, None] * basis).sum(axis=-1)
        shared = contributions * gradient[:, None]
        effects = shared.reshape(*shared.shape[:2], -1).sum(axis=-1)
        # What quadrature and coarse cells leave over (a thousandth or so) is shared in proportion to size.
        size = np.abs(effects)
        left = won - self._reference_won - effects.sum(axis=1)
        total = size.sum(axis=1)
        even = np.full_like(size, 1.0 / size.shape[1])
        share = np.divide(size, total[:, None], out=even, where=total[:, None] > 0)
        found: Floats = effects + left[:, None] * share
        return found

    def texts(
        self, features: FeatureMatrix, coefficients: Floats, contributions: Floats, won: Floats, most: int
    ) -> list[str]:
        """(n,) JSON lists of the `most` features with the largest effects, largest first."""
        effects = self.effects(coefficients, contributions, won)
        most = min(most, effects.shape[1])
        order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :most]
        effect = np.take_along_axis(effects, order, axis=1)
        # One deal has five reasons among forty features: only those that appear are looked at.
        names = self._outcome.groups
        shown = np.unique(order).tolist()
        raw = np.empty((len(features), len(names)))
        for g in shown:
            raw[:, g] = features.numbers(names[g]) if _is_number(names[g]) else features[names[g]]
        value = np.take_along_axis(raw, order, axis=1)
        writers = {g: _writer(features, names[g]) for g in shown}
        heads = _heads(names)
        return [
            "["
            + ", ".join(
                f'{heads[g]}{moved:.6f}, "value": {writers[g](v)}}}'
                for g, moved, v in zip(places, moves, values, strict=True)
            )
            + "]"
            for places, moves, values in zip(order.tolist(), effect.tolist(), value.tolist(), strict=True)
        ]


@lru_cache(maxsize=8)
def _heads(names: tuple[str, ...]) -> list[str]:
    """How the reason of each feature begins."""
    return [f'{{"feature": {json.dumps(n)}, "label": {json.dumps(label(n))}, "effect": ' for n in names]


def _is_number(name: str) -> bool:
    return spec_of(name).kind != "category"


def _writer(features: FeatureMatrix, name: str) -> Callable[[float], str]:
    """How a value of this feature is written as JSON: a text, a number with sensible digits, or null."""
    kind = spec_of(name).kind
    if kind == "category":
        texts = features.texts(name)

        @cache
        def text(code: float) -> str:
            return json.dumps(texts[int(code)].split("/", 1)[1] if name == "stage" else texts[int(code)])

        return lambda code: "null" if code != code else text(code)
    digits = 4 if kind in ("share", "number") else 1
    return lambda value: "null" if value != value else repr(round(value, digits))
