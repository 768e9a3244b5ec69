"""Whether what is known of a lead also tells how its deal will end, beyond the lead's source.

A linear stage on top of `FreshDeals`: with F the chance of its deal within some days and z what is known of
the lead,

    P(won within those days | converted) = 1 - (1 - F)^exp(b + z . w)

a regression with complementary log-log link and offset log(-log(1 - F)), concave, with a ridge. It learns
from landmarks of leads that were converted: the question is asked of an open lead, so that is when its
features are read. It is used only if, learnt before a half-year, it foretold the deals of leads converted in
it better than F alone by more than two standard errors (by lead, over the last half-years); else the source
is all that counts.

Source: Prentice and Gloeckler 1978, Regression analysis of grouped survival data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from forecast.arrays import Bools, Floats, Ints
from forecast.features import FeatureMatrix
from forecast.history import CONVERTED, WON, History, Landmarks
from forecast.models.encoder import Encoder, fit_encoder
from forecast.models.fitted import Rung
from forecast.models.fresh import FreshDeals, fit_fresh
from forecast.models.incidence import HORIZON_CAP_DAYS
from forecast.models.settings import FitSettings
from forecast.periods import DAY_US

__all__ = ["Conversions", "Tilt", "fit_tilt"]

_WINDOW_DAYS: Final = 182.0
_MIN_WON: Final = 60  # won deals from leads before anything of a lead is tried on them
_BASE: Final = "source"
# A clear margin: the strength of shrinkage was chosen on the same leads.
_STANDARD_ERRORS: Final = 2.0


@dataclass(frozen=True)
class Tilt:
    """A fitted stage.

    intercept, weights : on a log scale, weights (P,) by encoded column
    """

    encoder: Encoder
    intercept: float
    weights: Floats

    def factor(self, features: FeatureMatrix) -> Floats:
        """(n,) exp(b + z . w) of leads; each row by itself."""
        factor: Floats = np.exp(self.intercept + (self.encoder.encode(features) * self.weights).sum(axis=1))
        return factor

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        return {
            "encoder": self.encoder.to_json(),
            "intercept": self.intercept,
            "weights": self.weights.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tilt:
        """Inverse of `to_json`."""
        weights = np.array(data["weights"], dtype=np.float64)
        return cls(Encoder.from_json(data["encoder"]), float(data["intercept"]), weights)


@dataclass(frozen=True)
class Conversions:
    """Landmarks of leads that were converted, with what became of their deals.

    rows : (m,) position among all landmarks
    lead, source : (m,) the lead, and the code of its source among the leads
    converted_us, won_us : (m,) moment of the conversion and of the deal's first win, a huge number for none
    """

    rows: Ints
    lead: Ints
    source: Ints
    converted_us: Ints
    won_us: Ints

    @classmethod
    def of(cls, landmarks: Landmarks, leads: History, deal: Ints, deals: History) -> Conversions:
        """Landmarks that end in a conversion to a known deal; `deal` (L,) as in `forecast.history.Leads`."""
        rows = np.flatnonzero((landmarks.cause == CONVERTED) & (deal[landmarks.deal] >= 0))
        lead = landmarks.deal[rows]
        won_us = np.full(len(deals), np.iinfo(np.int64).max)
        closings = deals.closings
        np.minimum.at(won_us, closings.deal[closings.kind == WON], closings.at_us[closings.kind == WON])
        converted_us = landmarks.at_us[rows] + np.round(landmarks.duration_days[rows] * DAY_US).astype(
            np.int64
        )
        return cls(rows, lead, leads.columns.source[lead], converted_us, won_us[deal[lead]])

    def take(self, some: Bools) -> Conversions:
        return Conversions(*(getattr(self, name)[some] for name in self.__dataclass_fields__))

    def outcomes(self, fresh: FreshDeals, place: Ints, until_us: int) -> tuple[Floats, Bools, Floats]:
        """As seen at `until_us`: -log(1 - F) by then, whether won by then, and weights that add to 1 a lead.

        place : row of `fresh` by code of source
        """
        days = np.clip((until_us - self.converted_us) / DAY_US, 0.0, HORIZON_CAP_DAYS)
        chance = fresh.won_at(place[self.source], days)
        won = self.won_us < np.minimum(until_us, self.converted_us + round(HORIZON_CAP_DAYS * DAY_US))
        _, which, count = np.unique(self.lead, return_inverse=True, return_counts=True)
        return -np.log1p(-chance), won, 1.0 / count[which]


def fit_tilt(
    conversions: Conversions,
    features: FeatureMatrix,
    use: tuple[str, ...],
    leads: History,
    deals: History,
    deal: Ints,
    fresh: FreshDeals,
    until_us: int,
    settings: FitSettings,
) -> tuple[Tilt | None, tuple[Rung, ...]]:
    """The stage if it proved itself, else None; and how it was judged.

    features : of all landmarks; deal : (L,) the deal each lead became
    """
    texts = leads.vocabulary("source").texts if "source" in use else ()

    def place(model: FreshDeals) -> Ints:
        by_code = model.place(texts)
        # Codes of an untrusted source all mean the common level.
        return by_code if texts else np.full(len(leads.vocabulary("source").texts) + 1, by_code[-1])

    def rungs(base: float | None, ours: float | None, chosen: bool, reason: str) -> tuple[Rung, ...]:
        return Rung(_BASE, base, not chosen, reason), Rung("linear", ours, chosen, reason)

    base: list[Floats] = []
    tried: dict[float, list[Floats]] = {strength: [] for strength in settings.ridge_grid}
    weights: list[Floats] = []
    asked: list[Ints] = []
    for window in range(1, settings.windows + 1):
        split_us = until_us - round(window * _WINDOW_DAYS * DAY_US)
        early = conversions.take(conversions.converted_us < split_us)
        ahead = conversions.converted_us - split_us
        late = conversions.take((ahead >= 0) & (ahead < round(_WINDOW_DAYS * DAY_US)))
        won = len(np.unique(early.lead[early.won_us < split_us]))
        if won < _MIN_WON or not len(late.lead):
            break
        born = np.zeros(len(deals), dtype=bool)
        born[deal[np.unique(early.lead)]] = True
        before = fit_fresh(deals, born, split_us)
        learn = early.outcomes(before, place(before), split_us)
        hazard, came, weight = late.outcomes(before, place(before), until_us)
        base.append(_log_score(hazard, came, np.ones(len(hazard))))
        weights.append(weight)
        asked.append(late.lead)
        for strength, scores in tried.items():
            stage = _fit(features.take(early.rows), use, learn, strength)
            scores.append(_log_score(hazard, came, stage.factor(features.take(late.rows))))
    if not base:
        reason = f"too few deals from leads half a year ago; {_MIN_WON} won ones are needed"
        return None, rungs(None, None, False, reason)
    weight, plain = np.concatenate(weights), np.concatenate(base)
    scored = {strength: np.concatenate(scores) for strength, scores in tried.items()}
    ridge = max(scored, key=lambda strength: (float(weight @ scored[strength]), strength))
    # Windows do not share leads: each was converted once.
    gains = np.bincount(
        np.unique(np.concatenate(asked), return_inverse=True)[1], weight * (scored[ridge] - plain)
    )
    mean = float(gains.mean())
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else np.inf
    proves = mean > _STANDARD_ERRORS * error
    reason = (
        f"linear gains {mean:+.4f} (standard error {error:.4f}) in log score per converted lead over source"
    )
    total = float(weight.sum())
    ladder = rungs(float(weight @ plain) / total, float(weight @ scored[ridge]) / total, proves, reason)
    if not proves:
        return None, ladder
    seen = conversions.outcomes(fresh, place(fresh), until_us)
    return _fit(features.take(conversions.rows), use, seen, ridge), ladder


def _log_score(base: Floats, won: Bools, factor: Floats) -> Floats:
    """(n,) log probability given to what happened: won, or not yet."""
    hazard = np.maximum(base * factor, 1e-12)
    score: Floats = np.where(won, np.log(-np.expm1(-hazard)), -hazard)
    return score


def _fit(
    features: FeatureMatrix, use: tuple[str, ...], seen: tuple[Floats, Bools, Floats], ridge: float
) -> Tilt:
    """Maximise the penalised likelihood of one row set."""
    base, won, weight = seen
    encoder = fit_encoder(features, use, spline=False)
    design = np.hstack((np.ones((len(features), 1)), encoder.encode(features)))
    strength = np.full(design.shape[1], ridge)
    strength[0] = 1.0

    def loss(theta: Floats) -> tuple[float, Floats]:
        hazard = np.maximum(base * np.exp(np.clip(design @ theta, -20.0, 20.0)), 1e-12)
        value = -float(weight @ np.where(won, np.log(-np.expm1(-hazard)), -hazard))
        slope = np.where(
            won, hazard / np.expm1(np.minimum(hazard, 700.0)), -hazard
        )  # of the log-likelihood by the linear term
        gradient = -design.T @ (weight * slope) + strength * theta
        return value + 0.5 * float(strength @ theta**2), gradient

    from scipy.optimize import minimize  # a tenth of a second that only a fit needs

    theta = minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B").x
    return Tilt(encoder, float(theta[0]), np.asarray(theta[1:], dtype=np.float64))
