"""From features to a design matrix: transforms, splines, one-hot levels, flags for the unknown.

Everything is learnt on training rows once and stored as plain numbers; levels are texts, so that a code of one
history means nothing in another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints
from forecast.features import FeatureMatrix, number_or_nan, spec_of

__all__ = ["Encoder", "fit_encoder"]

_MIN_LEVEL_ROWS: Final = 20
_MAX_LEVELS: Final = 40
# A CRM may hold a hundred custom attributes: together their levels get no more columns than this, about, or a
# fit would spend its time on them.
_CUSTOM_COLUMNS: Final = 160
_MIN_NUMBERS: Final = 12
_SPLINE_AT: Final = (0.2, 0.5, 0.8)
_BLOCK: Final = 4_096
_BENDING: Final = frozenset({"log", "count", "signed", "chance"})  # kinds whose values are transformed
_LEAST_CHANCE: Final = 1e-6
_STUCK: Final = "days_in_stage"  # gets its own slope in every stage
_OWN_WAY: Final = "motion"  # each of its levels gets a level of its own in every stage


@dataclass(frozen=True)
class _Numeric:
    """One numeric feature: centre and scale after its transform, bends, and whether "unknown" is a column."""

    name: str
    kind: str
    low: float
    high: float
    centre: float
    scale: float
    knots: tuple[float, ...]
    knot_centres: tuple[float, ...]
    flag_missing: bool
    missing_share: float

    @property
    def width(self) -> int:
        return 1 + len(self.knots) + self.flag_missing


@dataclass(frozen=True)
class _NumericColumns:
    """All columns of all numeric features side by side, so that one deal costs a few array operations.

    A column is `(max(moved - knot, floor) - centre) / scale` of one transformed feature: the feature itself has
    no floor, a bend is zero up to its knot. An unknown value gives 0 and raises the flag of its feature.

    low, high : (K, 1) where the tails of each feature are cut
    transforms : transform -> rows of the features it applies to
    at, source : (C,) where a column stands in the design, and the row of the feature it is made of
    knot, floor, centre, scale : (C, 1)
    flag_at, flag_source, flag_share : (M,), (M,) and (M, 1) the same for the flags
    """

    low: Floats
    high: Floats
    transforms: dict[str, Ints]
    at: Ints
    source: Ints
    knot: Floats
    floor: Floats
    centre: Floats
    scale: Floats
    flag_at: Ints
    flag_source: Ints
    flag_share: Floats

    @classmethod
    def of(cls, numeric: tuple[_Numeric, ...], starts: Ints) -> _NumericColumns:
        """starts : first column of each feature; its bends follow, then its flag"""
        columns = []
        for row, (n, start) in enumerate(zip(numeric, starts.tolist(), strict=True)):
            columns.append((start, row, 0.0, -np.inf, n.centre, n.scale))
            for bend, (at_bend, mean) in enumerate(zip(n.knots, n.knot_centres, strict=True), start=1):
                columns.append((start + bend, row, at_bend, 0.0, mean, n.scale))
        at, source, knot, floor, centre, scale = np.array(columns).reshape(-1, 6).T
        flagged = [row for row, n in enumerate(numeric) if n.flag_missing]
        return cls(
            low=np.array([n.low for n in numeric])[:, None],
            high=np.array([n.high for n in numeric])[:, None],
            transforms={
                kind: np.array([row for row, n in enumerate(numeric) if n.kind == kind])
                for kind in sorted({n.kind for n in numeric} & _BENDING)
            },
            at=at.astype(np.int64),
            source=source.astype(np.int64),
            knot=knot[:, None],
            floor=floor[:, None],
            centre=centre[:, None],
            scale=scale[:, None],
            flag_at=np.array([starts[row] + 1 + len(numeric[row].knots) for row in flagged], dtype=np.int64),
            flag_source=np.array(flagged, dtype=np.int64),
            flag_share=np.array([numeric[row].missing_share for row in flagged])[:, None],
        )

    def fill(self, values: Floats, design: Floats) -> None:
        """Write the columns of n rows with (K, n) values into their (n, P) design."""
        unknown = np.isnan(values)
        moved = np.minimum(np.maximum(np.where(unknown, 0.0, values), self.low), self.high)
        for kind, rows in self.transforms.items():
            moved[rows] = _transform(kind, moved[rows])
        columns = (np.maximum(moved[self.source] - self.knot, self.floor) - self.centre) / self.scale
        columns[unknown[self.source]] = 0.0
        design[:, self.at] = columns.T
        design[:, self.flag_at] = (unknown[self.flag_source] - self.flag_share).T


@dataclass(frozen=True)
class _Category:
    """One categorical feature: an indicator per level, centred; unknown and rare levels are none of them."""

    name: str
    levels: tuple[str, ...]
    shares: tuple[float, ...]

    @property
    def width(self) -> int:
        return len(self.levels)


@dataclass(frozen=True)
class _Pair:
    """A motion in a stage, and the share of the training rows that are it."""

    motion: str
    stage: str
    share: float


@dataclass(frozen=True)
class _CategoryColumns:
    """All levels of all categorical features side by side, for the same reason.

    places : of each feature, level -> its place among the levels of that feature
    at, share : (L,) where each column stands in the design, and (L, 1) the share of the training rows it has
    feature, place : (L,) which feature each column belongs to, and (L, 1) the place of its level
    stage : the columns of the stage
    pair_at : (Q,) where the columns of motions in stages stand in the design
    pair_motion, pair_stage : (Q,) columns of both levels; pair_share : (Q, 1)
    """

    names: tuple[str, ...]
    places: tuple[dict[str, int], ...]
    at: Ints
    share: Floats
    feature: Ints
    place: Floats
    stage: slice
    pair_at: Ints
    pair_motion: Ints
    pair_stage: Ints
    pair_share: Floats

    @classmethod
    def of(
        cls, categories: tuple[_Category, ...], pairs: tuple[_Pair, ...], starts: Ints
    ) -> _CategoryColumns:
        """starts : first column of each feature in the design; pairs stand behind the levels of the motion"""
        widths = [c.width for c in categories]
        first = np.concatenate(([0], np.cumsum(widths)))[:-1].astype(np.int64).tolist()
        names = tuple(c.name for c in categories)
        stages = names.index("stage") if "stage" in names else 0
        column = {
            (c.name, level): start + at
            for c, start in zip(categories, first, strict=True)
            for at, level in enumerate(c.levels)
        }
        motion = names.index(_OWN_WAY) if pairs else 0
        return cls(
            names=names,
            places=tuple({text: at for at, text in enumerate(c.levels)} for c in categories),
            at=np.concatenate([start + np.arange(w) for start, w in zip(starts, widths, strict=True)]),
            share=np.array([share for c in categories for share in c.shares])[:, None],
            feature=np.repeat(np.arange(len(categories)), widths),
            place=np.concatenate([np.arange(w, dtype=np.float64) for w in widths])[:, None],
            stage=slice(first[stages], first[stages] + widths[stages]),
            pair_at=starts[motion] + widths[motion] + np.arange(len(pairs)),
            pair_motion=np.array([column[_OWN_WAY, pair.motion] for pair in pairs], dtype=np.int64),
            pair_stage=np.array([column["stage", pair.stage] for pair in pairs], dtype=np.int64),
            pair_share=np.array([pair.share for pair in pairs])[:, None],
        )

    def read(self, features: FeatureMatrix) -> Floats:
        """(F, n) place of each row's level in each feature; NaN where it is unknown or rare."""
        place_of: list[float] = []  # of every text of every feature, and of the unknown behind them
        begins, ends = [], []
        for name, places in zip(self.names, self.places, strict=True):
            begins.append(len(place_of))
            place_of += [places.get(text, np.nan) for text in features.texts(name)]
            ends.append(len(place_of))
            place_of.append(np.nan)
        values = np.array([features[name] for name in self.names])
        at = np.where(np.isnan(values), np.array(ends)[:, None], values + np.array(begins)[:, None])
        found: Floats = np.array(place_of)[at.astype(np.int64)]
        return found

    def fill(self, places: Floats, design: Floats) -> NDArray[np.bool_]:
        """Write the columns of n rows, in these levels (F, n), into their (n, P) design.

        Returns (n, stages) which stage each is in.
        """
        is_level: NDArray[np.bool_] = places[self.feature] == self.place
        design[:, self.at] = (is_level - self.share).T
        design[:, self.pair_at] = (
            (is_level[self.pair_motion] & is_level[self.pair_stage]) - self.pair_share
        ).T
        return is_level[self.stage].T


@dataclass(frozen=True)
class Encoder:
    """Turns a FeatureMatrix into (n, P) design columns; each column belongs to one feature (its group).

    pairs : motions that have a level of their own in a stage; their columns belong to the motion
    stuck : whether days in stage get a slope of their own in every stage
    """

    numeric: tuple[_Numeric, ...]
    categories: tuple[_Category, ...]
    pairs: tuple[_Pair, ...] = ()
    stuck: bool = field(default=True)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Names of the features that have columns."""
        return self.numeric_names + tuple(c.name for c in self.categories)

    @cached_property
    def numeric_names(self) -> tuple[str, ...]:
        """Names of the numeric features."""
        return tuple(n.name for n in self.numeric)

    @cached_property
    def group_starts(self) -> Ints:
        """(G,) first column of each group; columns of a group are contiguous."""
        widths = [self._numeric_width(n) for n in self.numeric]
        widths += [self._category_width(c) for c in self.categories]
        return np.concatenate(([0], np.cumsum(widths)))[:-1].astype(np.int64)

    @cached_property
    def _starts(self) -> dict[str, int]:
        """First column of each group by its name."""
        return dict(zip(self.groups, self.group_starts.tolist(), strict=True))

    @cached_property
    def width(self) -> int:
        """P, number of columns."""
        numeric = sum(self._numeric_width(n) for n in self.numeric)
        return numeric + sum(self._category_width(c) for c in self.categories)

    def _numeric_width(self, numeric: _Numeric) -> int:
        extra = len(self._stages.levels) if numeric is self._stuck and self._stages else 0
        return numeric.width + extra

    def _category_width(self, category: _Category) -> int:
        return category.width + (len(self.pairs) if category.name == _OWN_WAY else 0)

    @cached_property
    def _stages(self) -> _Category | None:
        return next((c for c in self.categories if c.name == "stage"), None)

    def encode(self, features: FeatureMatrix) -> Floats:
        """(n, P), centred on the training rows."""
        return self.design(self.columns(features))

    def columns(self, features: FeatureMatrix) -> Floats:
        """(n, G) what is read of each feature: a number, or the place of a level; NaN for unknown and rare."""
        columns = np.empty((len(features), len(self.groups)), order="F")
        columns[:, : len(self.numeric)] = features.many_numbers(self.numeric_names).T
        if self.categories:
            columns[:, len(self.numeric) :] = self._category_columns.read(features).T
        return columns

    def design(self, columns: Floats) -> Floats:
        """(n, P) the encoded rows, from what `columns` read of them."""
        design = np.empty((len(columns), self.width))
        for start in range(0, len(columns), _BLOCK):
            rows = slice(start, start + _BLOCK)
            self._fill(columns[rows].T, design[rows])
        return design

    def _fill(self, values: Floats, design: Floats) -> None:
        """values : (G, n)"""
        if self.numeric:
            self._numeric_columns.fill(values[: len(self.numeric)], design)
        if self.categories:
            stage = self._category_columns.fill(values[len(self.numeric) :], design)
            if self._stuck is not None:
                start = self._starts[_STUCK]
                slopes = start + self._stuck.width
                design[:, slopes : slopes + stage.shape[1]] = design[:, [start]] * stage

    @cached_property
    def _numeric_columns(self) -> _NumericColumns:
        return _NumericColumns.of(self.numeric, self.group_starts[: len(self.numeric)])

    @cached_property
    def _category_columns(self) -> _CategoryColumns:
        return _CategoryColumns.of(self.categories, self.pairs, self.group_starts[len(self.numeric) :])

    @cached_property
    def _stuck(self) -> _Numeric | None:
        """Days in stage, if they have slopes by stage; these stand behind its other columns."""
        if not self.stuck or self._stages is None:
            return None
        return next((n for n in self.numeric if n.name == _STUCK), None)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        return {
            "numeric": [
                {key: getattr(n, key) for key in _Numeric.__dataclass_fields__} for n in self.numeric
            ],
            "categories": [
                {"name": c.name, "levels": list(c.levels), "shares": list(c.shares)} for c in self.categories
            ],
            "pairs": [[pair.motion, pair.stage, pair.share] for pair in self.pairs],
            "stuck": self.stuck,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Encoder:
        """Inverse of `to_json`."""
        numeric = tuple(
            _Numeric(**{**n, "knots": tuple(n["knots"]), "knot_centres": tuple(n["knot_centres"])})
            for n in data["numeric"]
        )
        categories = tuple(
            _Category(c["name"], tuple(c["levels"]), tuple(c["shares"])) for c in data["categories"]
        )
        pairs = tuple(_Pair(motion, stage, float(share)) for motion, stage, share in data["pairs"])
        return cls(numeric, categories, pairs, bool(data["stuck"]))


def fit_encoder(features: FeatureMatrix, use: tuple[str, ...], spline: bool = True) -> Encoder:
    """Learn centres, scales, bends and levels from training rows.

    use : names of the features to encode, decided by the field policy
    spline : whether features marked so may bend; off when rows are few
    """
    numeric, categories = [], []
    custom = sum(name.startswith("custom:") for name in use)
    most_custom = min(_MAX_LEVELS, max(_CUSTOM_COLUMNS // max(custom, 1), 2))
    for name in use:
        spec = spec_of(name)
        values = features[name]
        if spec.kind == "category" and _is_numeric(name, values, features.texts(name)):
            kind = "log" if np.nanmin(features.numbers(name)) >= 0 else "number"
            fitted = _fit_numeric(name, kind, features.numbers(name), bends=spline)
            if fitted is not None:
                numeric.append(fitted)
        elif spec.kind == "category":
            most = most_custom if name.startswith("custom:") else _MAX_LEVELS
            found = _fit_category(name, values, features.texts(name), most)
            if found is not None:
                categories.append(found)
        else:
            fitted = _fit_numeric(name, spec.kind, values, bends=spline and spec.spline)
            if fitted is not None:
                numeric.append(fitted)
    return Encoder(tuple(numeric), tuple(categories), _fit_pairs(features, tuple(categories)))


def _fit_pairs(features: FeatureMatrix, categories: tuple[_Category, ...]) -> tuple[_Pair, ...]:
    """Motions in stages that have rows enough, if the model knows both."""
    levels = {c.name: c.levels for c in categories}
    if not levels.get(_OWN_WAY) or "stage" not in levels:
        return ()
    found = []
    motion, stage = features[_OWN_WAY], features["stage"]
    motions, stages = features.texts(_OWN_WAY), features.texts("stage")
    for one in levels[_OWN_WAY]:
        here = stage[(motion == motions.index(one)) & ~np.isnan(stage)].astype(np.int64)
        rows = np.bincount(here, minlength=len(stages))
        found += [
            _Pair(one, text, float(rows[stages.index(text)] / len(stage)))
            for text in levels["stage"]
            if rows[stages.index(text)] >= _MIN_LEVEL_ROWS
        ]
    return tuple(found)


def _is_numeric(name: str, values: Floats, texts: tuple[str, ...]) -> bool:
    """Whether a custom attribute holds quantities: all numbers, and more of them than a picklist has."""
    if not name.startswith("custom:"):
        return False
    seen = np.unique(values[~np.isnan(values)]).astype(np.int64)
    return len(seen) >= _MIN_NUMBERS and all(np.isfinite(number_or_nan(texts[code])) for code in seen)


def _transform(kind: str, values: Floats) -> Floats:
    if kind in ("log", "count"):
        return np.log1p(np.maximum(values, 0.0))
    if kind == "signed":
        return np.sign(values) * np.log1p(np.abs(values))
    if kind == "chance":  # proportional hazards add up on this scale
        moved: Floats = np.log(-np.log1p(-np.minimum(np.maximum(values, _LEAST_CHANCE), 1.0 - _LEAST_CHANCE)))
        return moved
    return values


def _fit_numeric(name: str, kind: str, values: Floats, *, bends: bool) -> _Numeric | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    missing = 1.0 - len(known) / len(values)
    # A handful of absurd values must not decide the scale: the tails are cut where training saw almost none.
    low, high = (float(v) for v in np.quantile(known, [0.002, 0.998]))
    moved = _transform(kind, np.clip(known, low, high))
    scale = float(moved.std())
    flag = 0.002 < missing < 0.998
    if scale < 1e-9:
        if not flag:
            return None
        scale = 1.0
    knots: list[float] = []
    if bends:
        span = float(np.ptp(moved))
        for at in np.quantile(moved, _SPLINE_AT):
            if at - moved.min() > 0.05 * span and all(at - k > 0.05 * span for k in knots):
                knots.append(float(at))
    return _Numeric(
        name,
        kind,
        low,
        high,
        float(moved.mean()),
        scale,
        tuple(knots),
        tuple(float(np.maximum(moved - knot, 0.0).mean()) for knot in knots),
        flag,
        float(missing) if flag else 0.0,
    )


def _fit_category(name: str, values: Floats, texts: tuple[str, ...], most: int) -> _Category | None:
    """Indicators of the `most` frequent levels; None where there is nothing to tell apart."""
    codes: NDArray[np.int64] = np.where(np.isnan(values), -1, values).astype(np.int64)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    least = 1 if name == "stage" else _MIN_LEVEL_ROWS
    frequent = sorted(
        (-int(count), text) for count, text in zip(counts, texts, strict=True) if count >= least
    )
    levels = tuple(sorted(text for _, text in frequent[:most]))
    if not levels or (len(levels) == 1 and counts.max() == len(values)):
        return None
    place = {text: at for at, text in enumerate(texts)}
    return _Category(name, levels, tuple(float(counts[place[text]] / len(values)) for text in levels))
