"""The linear rung: log-hazards of winning and losing as linear functions of the features, bending over time.

    log hazard_k(t | x) = log season_k(day of t) + baseline_k(bin of t) + sum_b c_kb(x) B_b(t),
    c_kb(x) = a_kb + z(x) . (u_k + v_kb)

B_b are four hat functions in log time, z the encoded features. Each column has one effect common to all times
(u) and one deviation per hat (v); both are shrunk by a ridge, deviations more, so that a little data moves the
level before it moves the shape. The likelihood of piecewise-constant hazards is exact and separates by cause,
and each half is convex: there is one optimum. Hats alone are too stiff for the time itself (hazards fall
steeply once the live deals are gone), so every bin has a baseline of its own, estimated in turn with the rest.

Source: piecewise-exponential regression (Friedman 1982) with time-varying coefficients and ridge penalty.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from forecast.arrays import Floats
from forecast.features import FeatureMatrix
from forecast.models.bins import Bins, hats
from forecast.models.encoder import Encoder
from forecast.models.hazard import Survival, baseline_of

__all__ = ["LinearFits", "LinearHazard", "choose_knots", "fit_linear"]

_KNOTS_AT: Final = (0.04, 0.35, 0.65, 0.96)
_SHAPE_RIDGE: Final = 4.0  # deviations over time are shrunk this much more than the common effect
_INTERCEPT_RIDGE: Final = 1e-3  # next to nothing: keeps a hat without a single event finite
_BLOCK: Final = 32  # rows of one matrix product, see `_rowwise_product`
_ENCODED: Final = 32_768  # rows encoded at a time, a multiple of `_BLOCK`
_CURVATURE_ROWS: Final = 5_000  # enough for a good direction, see `_Cause.solve`
_FIRST_CURVATURE_ROWS: Final = 1_500  # where nothing is known yet, less will do
_MEMORY: Final = 12  # steps the optimiser remembers
_PASSES: Final = 2  # in turn with the baseline; a third changes no digit
_SHORTEST: Final = 1e-3  # part of a step
_ENOUGH: Final = 2e-3  # a gain of this much log-likelihood changes no digit anybody reads
_Numbers: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class LinearHazard:
    """Fitted linear hazards.

    knots_days : (4,) where the hats peak
    intercept : (2, 4)
    weights : (P, 2, 4) per encoded column
    baseline : (2, J) what the hats miss in each bin, alike for all rows
    """

    bins: Bins
    encoder: Encoder
    knots_days: Floats
    intercept: Floats
    weights: Floats
    ridge: float
    baseline: Floats

    name = "linear"

    @cached_property
    def basis(self) -> Floats:
        """(4, J) hat weights in each bin."""
        return hats(self.knots_days, self.bins.centres_days)

    @property
    def groups(self) -> tuple[str, ...]:
        """Features that have columns."""
        return self.encoder.groups

    @property
    def reference(self) -> Floats:
        """(2, 4): columns are centred, so the average row has the intercept's coefficients."""
        return self.intercept

    def coefficients(self, features: FeatureMatrix) -> Floats:
        """(n, 2, 4) coefficients of each row."""
        found = np.empty((len(features), 2, self.intercept.shape[1]))
        for start in range(0, len(features), _ENCODED):  # a million encoded rows would be a gigabyte
            rows = slice(start, start + _ENCODED)
            found[rows] = self.from_columns(self.encoder.columns(features.take(rows)))
        return found

    def from_columns(self, columns: Floats) -> Floats:
        """(n, 2, 4) from what the encoder read of the features, (n, G)."""
        return self.from_design(self.encoder.design(columns))

    def from_design(self, design: Floats) -> Floats:
        """(n, 2, 4) from an encoded (n, P) design."""
        flat = _rowwise_product(design, self.weights.reshape(len(self.weights), -1))
        return flat.reshape(-1, 2, self.intercept.shape[1]) + self.intercept

    def explain(self, features: FeatureMatrix) -> tuple[Floats, Floats]:
        """(n, 2, 4) coefficients and (n, G, 2, 4) contributions; columns of one feature are added up."""
        return self.explain_columns(self.encoder.columns(features))

    def explain_columns(self, columns: Floats) -> tuple[Floats, Floats]:
        """The same from what the encoder read of the features, (n, G)."""
        design = self.encoder.design(columns)
        parts = design[:, :, None] * self.weights.reshape(len(self.weights), -1)[None]
        grouped = np.add.reduceat(parts, self.encoder.group_starts, axis=1)
        return self.from_design(design), grouped.reshape(len(design), len(self.groups), 2, -1)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        return {
            "rung": self.name,
            "bins": self.bins.to_json(),
            "encoder": self.encoder.to_json(),
            "knots_days": self.knots_days.tolist(),
            "intercept": self.intercept.tolist(),
            "weights": self.weights.tolist(),
            "ridge": self.ridge,
            "baseline": self.baseline.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LinearHazard:
        """Inverse of `to_json`."""
        return cls(
            Bins.from_json(data["bins"]),
            Encoder.from_json(data["encoder"]),
            np.array(data["knots_days"], dtype=np.float64),
            np.array(data["intercept"], dtype=np.float64),
            np.array(data["weights"], dtype=np.float64),
            float(data["ridge"]),
            np.array(data["baseline"], dtype=np.float64),
        )


def _rowwise_product(design: Floats, weights: Floats) -> Floats:
    """`design @ weights` with rounding that does not depend on how many rows are asked about at once.

    Matrix libraries sum in another order for one row than for many; blocks of fixed size all take the same
    path, so one deal gets the same score to the last bit alone and in a list.
    """
    rows, width = design.shape
    padded = np.zeros((-(-rows // _BLOCK) * _BLOCK, width))
    padded[:rows] = design
    blocks = padded.reshape(-1, _BLOCK, width)
    product: Floats = np.matmul(blocks, weights).reshape(-1, weights.shape[1])[:rows]
    return product


def choose_knots(duration_days: Floats, bins: Bins) -> Floats:
    """Four knots at quantiles of the landmark-to-event times, kept apart and inside the bins."""
    if len(duration_days) < 8:
        return np.array([2.0, 20.0, 70.0, 200.0])
    low, high = bins.centres_days[0], bins.centres_days[-1]
    knots = np.clip(np.quantile(duration_days, _KNOTS_AT), low, high)
    # Too close together two hats fight over the same days: at least a factor of 1.3 between neighbours.
    for at in range(1, len(knots)):
        knots[at] = max(knots[at], knots[at - 1] * 1.3)
    return knots


def fit_linear(
    design: Floats, survival: Survival, bins: Bins, encoder: Encoder, knots_days: Floats, ridge: float
) -> LinearHazard:
    """One fit; see `LinearFits`."""
    return LinearFits(design, bins, encoder, knots_days).fit(survival, ridge)


class LinearFits:
    """Fits to the same rows, one for each strength of shrinkage and each clock that is tried.

    Whatever is tried next lies close by: a fit begins where the last one ended and keeps the curvature it was
    given, so all but the first cost a few gradients.

    design : (n, P) encoded features of the landmarks
    """

    def __init__(self, design: Floats, bins: Bins, encoder: Encoder, knots_days: Floats) -> None:
        self.design = design
        self._bins, self._encoder, self._knots_days = bins, encoder, knots_days
        self._basis = hats(knots_days, bins.centres_days)
        # Half the memory is read in half the time, and no step of the optimiser needs more digits.
        self._single = np.ones((len(design), 1 + design.shape[1]), dtype=np.float32)
        self._single[:, 1:] = design
        self._starts: tuple[_Start, ...] = ()

    def fit(self, survival: Survival, ridge: float) -> LinearHazard:
        """Maximise the penalised exact likelihood, one cause after the other.

        survival : the n landmarks on the time axis
        ridge : strength of shrinkage in units of landmarks' information about a column of unit variance
        """
        penalty = _penalty(ridge, len(self._basis))
        starts = self._starts or tuple(self._start(survival, k, penalty) for k in range(2))
        curvatures = [_factorised(start.information, penalty) for start in starts]
        # The baseline begins at nothing every time: how far it is drawn there depends on the passes.
        baseline = np.zeros((2, len(self._bins)))
        ends: list[list[Floats]] = [[], []]
        for number in range(_PASSES):
            paced = survival.paced(np.broadcast_to(baseline, (1, *baseline.shape)))
            fitted = np.empty((len(self.design), 2, len(self._bins)))
            for k, start in enumerate(starts):
                cause = _Cause.of(self._single, paced, k, self._basis, penalty, None)
                begin = start.thetas[number] if number < len(start.thetas) else ends[k][-1]
                ends[k].append(cause.solve(begin, curvatures[k]))
                fitted[:, k] = cause.coefficients(ends[k][-1]).astype(np.float64) @ self._basis
            baseline = baseline + baseline_of(paced, fitted)
        self._starts = tuple(
            replace(start, thetas=tuple(end)) for start, end in zip(starts, ends, strict=True)
        )
        thetas = [end[-1] for end in ends]
        intercept = np.stack([theta[0] for theta in thetas])
        weights = np.stack([theta[1:] for theta in thetas], axis=1)
        return LinearHazard(
            self._bins, self._encoder, self._knots_days, intercept, weights, float(ridge), baseline
        )

    def _start(self, survival: Survival, k: int, penalty: Floats) -> _Start:
        """A cause's optimum on some of the rows, and the curvature there."""
        design = self._single
        scattered = np.argsort(np.sin(np.arange(len(design)) * 12.9898))  # no order, the same on every run
        some, fewer = np.sort(scattered[:_CURVATURE_ROWS]), np.sort(scattered[:_FIRST_CURVATURE_ROWS])
        total = max(float(survival.weight[survival.cause == k + 1].sum()), 0.5)
        theta = np.zeros((design.shape[1], len(self._basis)))
        theta[0] = np.log(total / float(survival.exposure[k].sum(axis=1) @ survival.weight))
        few = _Cause.of(design, survival, k, self._basis, penalty, some)
        first = _Cause.of(design, survival, k, self._basis, penalty, fewer).information(theta)
        theta = few.solve(theta, _factorised(first, penalty), steps=8)
        return _Start((theta,), few.information(theta))


@dataclass(frozen=True)
class _Start:
    """Where a fit of one cause begins.

    thetas : (1 + P, 4) for each pass; a pass without one goes on where the one before ended
    information : (4(1 + P), 4(1 + P)) of all rows about there, estimated from some of them
    """

    thetas: tuple[Floats, ...]
    information: Floats


def _penalty(ridge: float, hats_count: int) -> Floats:
    """(4, 4) matrix M: min over u of |u|^2 + s * sum_b (theta_b - u)^2 is theta' M theta."""
    shape = _SHAPE_RIDGE
    one = np.ones((hats_count, hats_count))
    return ridge * (shape * np.eye(hats_count) - shape**2 / (1.0 + shape * hats_count) * one)


def _hessian(information: Floats, penalty: Floats) -> Floats:
    """The information with a penalty on every column but the intercept."""
    hats_count = len(penalty)
    columns = len(information) // hats_count
    found = information.reshape(hats_count, columns, hats_count, columns).copy()
    inner = np.arange(1, columns)
    for a in range(hats_count):
        for b in range(hats_count):
            found[a, inner, b, inner] += penalty[a, b]
    return found.reshape(information.shape)


def _factorised(information: Floats, penalty: Floats) -> Any:
    return cho_factor(_hessian(information, penalty), lower=True, overwrite_a=True, check_finite=False)


@dataclass(frozen=True)
class _Cause:
    """The penalised likelihood of one cause in theta of shape (1 + P, 4): intercept first.

    design : (n, 1 + P) ones first; its precision is that of all sums over rows but the likelihood's

    Common effect u and deviations v of a column are one set of four numbers theta = u + v whose penalty,
    minimised over u, is a quadratic form with matrix `penalty` (4, 4).
    """

    design: _Numbers
    exposure: _Numbers
    event_rows: _Numbers
    weight_scale: float
    basis: _Numbers
    penalty: Floats

    @classmethod
    def of(
        cls, design: Floats, survival: Survival, k: int, basis: Floats, penalty: Floats, rows: Any
    ) -> _Cause:
        take = slice(None) if rows is None else rows
        weight = survival.weight[take]
        ended = (survival.cause[take] == k + 1) * weight
        return cls(
            design[take],
            (survival.exposure[k][take] * weight[:, None]).astype(design.dtype),
            (ended[:, None] * basis[:, survival.bin[take]].T).astype(design.dtype),
            1.0 if rows is None else len(rows) / len(survival.bin),
            basis.astype(design.dtype),
            penalty,
        )

    def coefficients(self, theta: Floats) -> _Numbers:
        """(n, 4)"""
        found: _Numbers = self.design @ theta.astype(self.design.dtype)
        return found

    def _value(self, theta: Floats) -> tuple[float, _Numbers]:
        """Penalised negative log-likelihood and (n, J) expected events."""
        coefficients = self.coefficients(theta)
        expected = coefficients @ self.basis
        np.exp(np.minimum(expected, 20.0, out=expected), out=expected)
        expected *= self.exposure
        came = np.einsum("nb,nb->", self.event_rows, coefficients, dtype=np.float64)
        value = float(expected.sum(dtype=np.float64) - came)
        inner = theta[1:]
        value += 0.5 * self.weight_scale * float(((inner @ self.penalty) * inner).sum())
        value += 0.5 * _INTERCEPT_RIDGE * float((theta[0] ** 2).sum())
        return value, expected

    def _gradient(self, theta: Floats, expected: _Numbers) -> Floats:
        gradient = (self.design.T @ (expected @ self.basis.T - self.event_rows)).astype(np.float64)
        gradient[1:] += self.weight_scale * (theta[1:] @ self.penalty)
        gradient[0] += _INTERCEPT_RIDGE * theta[0]
        return gradient

    def information(self, theta: Floats) -> Floats:
        """(4(1 + P), 4(1 + P)) second derivatives without the penalty, scaled to all rows if these are some.

        Blocks by hat; hats further apart than neighbours do not overlap.
        """
        expected = self._value(theta)[1]
        columns, hats_count = self.design.shape[1], len(self.basis)
        found = np.zeros((hats_count, columns, hats_count, columns))
        for a in range(hats_count):
            for b in range(a, min(a + 2, hats_count)):
                weight = expected @ (self.basis[a] * self.basis[b])
                block = (self.design * weight[:, None]).T @ self.design
                found[a, :, b, :] = block
                found[b, :, a, :] = block
            found[a, 0, a, 0] += _INTERCEPT_RIDGE
        flat = found.reshape(hats_count * columns, -1)
        flat[np.diag_indices_from(flat)] += 1e-8
        return flat / self.weight_scale

    def solve(self, theta: Floats, curvature: Any, steps: int = 100) -> Floats:
        """Limited-memory BFGS that starts from the curvature of some of the rows.

        The exact Hessian costs far more than a gradient, and that of a few thousand rows, scaled up, is nearly
        as good a direction; the remembered steps correct what it misses.
        Source: Nocedal and Wright 2006, algorithms 7.4 and 7.5.
        """
        remembered: deque[tuple[Floats, Floats]] = deque(maxlen=_MEMORY)
        value, expected = self._value(theta)
        gradient = self._gradient(theta, expected)
        for _ in range(steps):
            direction = _two_loops(gradient, remembered, curvature, self.weight_scale)
            decrease = float((gradient * direction).sum())
            if decrease < _ENOUGH * self.weight_scale:
                break
            length = 1.0
            while True:
                trial = theta - length * direction
                trial_value, trial_expected = self._value(trial)
                if trial_value <= value - 1e-4 * length * decrease:
                    break
                length *= 0.5
                if length < _SHORTEST:
                    return theta  # rounding hides what is left to gain
            trial_gradient = self._gradient(trial, trial_expected)
            moved, turned = trial - theta, trial_gradient - gradient
            if float((moved * turned).sum()) > 0:
                remembered.append((moved, turned))
            theta, value, gradient = trial, trial_value, trial_gradient
        return theta


def _two_loops(
    gradient: Floats, remembered: deque[tuple[Floats, Floats]], curvature: Any, scale: float
) -> Floats:
    """Inverse Hessian times gradient: remembered steps around the solved curvature."""
    direction = gradient.copy()
    shares = []
    for moved, turned in reversed(remembered):
        share = float((moved * direction).sum()) / float((moved * turned).sum())
        direction -= share * turned
        shares.append(share)
    solved = cho_solve(curvature, direction.T.ravel(), check_finite=False) / scale
    direction = solved.reshape(gradient.shape[1], -1).T
    for (moved, turned), share in zip(remembered, reversed(shares), strict=True):
        back = float((turned * direction).sum()) / float((moved * turned).sum())
        direction = direction + (share - back) * moved
    return direction
