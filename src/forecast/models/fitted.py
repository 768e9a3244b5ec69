"""Everything that was learnt, together: what a bundle holds and a score is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.features import Decision, FeatureMatrix, build
from forecast.features.kinds import Kinds
from forecast.history import FrozenRecords, History, StageMap, TrackRecords
from forecast.models.amount import AmountModel
from forecast.models.arrivals import ArrivalModel
from forecast.models.boosted import BoostedHazard
from forecast.models.cells import StageCells
from forecast.models.clock import DealClock
from forecast.models.hazard import CAUSES, OutcomeModel
from forecast.models.incidence import HORIZON_CAP_DAYS, Cells
from forecast.models.level import Level
from forecast.models.linear import LinearHazard
from forecast.models.recipe import Recipe
from forecast.models.season import Season
from forecast.models.shock import Shock
from forecast.tables import Money

__all__ = ["RUNGS", "FittedModels", "Grades", "Rung", "on_bins"]

_BLOCK: Final = 8_192
_LETTERS: Final = np.array(["D", "C", "B", "A"], dtype=object)
# How a bundle's outcome is read again, by name of the rung; one's own class may join it.
RUNGS: Final[dict[str, Any]] = {
    StageCells.name: StageCells,
    LinearHazard.name: LinearHazard,
    BoostedHazard.name: BoostedHazard,
}


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of the ladder as it was judged: mean log score per landmark, in all windows and in each."""

    name: str
    log_score: float | None
    chosen: bool
    reason: str
    windows: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Rung:
        """Inverse of `dataclasses.asdict`."""
        return cls(**{**row, "windows": tuple(map(float, row.get("windows", ())))})


@dataclass(frozen=True)
class Grades:
    """Win probabilities of the deals open at training, as 99 percentiles: what a score is a rank among."""

    percentiles: Floats

    def score(self, win_probability: Floats) -> Ints:
        """(n,) 1 to 100."""
        return 1 + np.searchsorted(self.percentiles, win_probability, side="right").astype(np.int64)

    @staticmethod
    def letters(score: Ints) -> Any:
        """(n,) A for the best quarter of the scale, then B, C and D."""
        return _LETTERS[np.minimum(np.maximum((score - 1) // 25, 0), 3)]


def on_bins(coefficients: Floats, outcome: OutcomeModel, level: Level | None = None) -> Floats:
    """(..., 2, B) coefficients of an outcome model laid out on its bins, (..., 2, J), with baseline and level.

    Elementwise, so rows cannot disturb rows.
    """
    common = outcome.baseline if level is None else outcome.baseline + np.array(level.shift)[:, None]
    return _spread(coefficients, _basis_of(outcome), common)


def _basis_of(outcome: OutcomeModel) -> Floats | None:
    """(B, J) basis of an outcome model; None if its coefficients are those of the bins."""
    basis = outcome.basis
    each_bin = basis.shape[0] == basis.shape[1] and np.array_equal(basis, np.eye(len(basis)))
    return None if each_bin else basis


def _spread(coefficients: Floats, basis: Floats | None, common: Floats) -> Floats:
    """(..., 2, J) coefficients (..., 2, B) laid out by a basis (B, J), and what all rows share added."""
    if basis is None:
        return coefficients + common
    spread: Floats = coefficients[..., 0, None] * basis[0]
    for b in range(1, len(basis)):
        spread = spread + coefficients[..., b, None] * basis[b]
    return spread + common


@dataclass(frozen=True)
class FittedModels:
    """A complete set of fitted parts.

    Everything is as of `trained_until_us`; nothing recorded at or after it was seen.
    """

    trained_until_us: int
    stages: StageMap
    money: Money
    outcome: OutcomeModel
    seasons: tuple[Season, Season]
    clock: DealClock
    level: Level
    amount: AmountModel
    arrivals: ArrivalModel
    records: FrozenRecords
    kinds: Kinds | None
    shock: Shock
    grades: Grades
    decisions: tuple[Decision, ...]
    ladder: tuple[Rung, ...]
    counts: dict[str, int]
    settings: dict[str, Any]
    recipe: Recipe

    def features(
        self, history: History, deal: Ints, at_us: Ints, records: TrackRecords | None = None
    ) -> FeatureMatrix:
        """Features of rows; track records are the frozen ones unless given."""
        return build(
            history, deal, at_us, self.records.bind(history) if records is None else records, self.kinds
        )

    def log_hazard(self, features: FeatureMatrix) -> Floats:
        """(n, 2, J) log hazards without season."""
        found: Floats = self.on_bins(self.outcome.coefficients(features)) + self.log_pace(features)
        return found

    def on_bins(self, coefficients: Floats) -> Floats:
        """(..., 2, B) coefficients laid out on the bins, (..., 2, J), with baseline and level."""
        return _spread(coefficients, *self._shared)

    @cached_property
    def average(self) -> Floats:
        """(1, 2, J) log hazards of the average deal."""
        return self.on_bins(self.outcome.reference[None])

    @cached_property
    def _shared(self) -> tuple[Floats | None, Floats]:
        """The outcome's basis, and its baseline (2, J) at the level of the last months."""
        return _basis_of(self.outcome), self.outcome.baseline + np.array(self.level.shift)[:, None]

    def log_pace(self, features: FeatureMatrix) -> Floats:
        """(n, 2, J) what the deals' own clocks add to the log hazards."""
        return self.clock.log_pace(features, self.outcome.bins)

    def cells(self, as_of_us: int, marks_days: Any, until_days: float = HORIZON_CAP_DAYS) -> Cells:
        """Time axis of an as-of moment with edges at the marks."""
        return Cells.at(
            as_of_us,
            self.outcome.bins,
            self.seasons,
            marks_days=np.asarray(marks_days, np.float64),
            until_days=until_days,
        )

    def incidence(self, history: History, deal: Ints, as_of_us: int, horizons_days: Any) -> Floats:
        """(n, 3, H) probabilities of open, won, lost at horizons after one as-of moment."""
        horizons = np.asarray(horizons_days, dtype=np.float64)
        features = self.features(history, deal, np.full(len(deal), as_of_us))
        log_hazard = self.log_hazard(features)
        cells = self.cells(as_of_us, horizons, until_days=float(horizons.max()))
        parts = []
        for start in range(0, max(len(deal), 1), _BLOCK):
            curves = cells.curves(log_hazard[start : start + _BLOCK])
            won, lost = curves.won_by(horizons), curves.lost_by(horizons)
            parts.append(np.stack((1.0 - won - lost, won, lost), axis=1))
        return np.concatenate(parts)

    def win_probability(
        self,
        history: History,
        deal: Ints,
        at_us: Ints,
        horizons_days: Any,
        records: TrackRecords | None = None,
    ) -> Floats:
        """(n, H) probability of being won within horizons after each row's own moment.

        records : dated track records for rows of many dates; frozen ones if not given
        """
        horizons = np.asarray(horizons_days, dtype=np.float64)
        log_hazard = self.log_hazard(self.features(history, deal, at_us, records))
        result = np.empty((len(deal), len(horizons)))
        moments, place = np.unique(at_us, return_inverse=True)
        order = np.argsort(place, kind="stable")
        bounds = np.searchsorted(place[order], np.arange(len(moments) + 1))
        for number, moment in enumerate(moments):
            rows = order[bounds[number] : bounds[number + 1]]
            cells = self.cells(int(moment), horizons, until_days=float(horizons.max()))
            for start in range(0, len(rows), _BLOCK):
                block = rows[start : start + _BLOCK]
                result[block] = cells.curves(log_hazard[block]).won_by(horizons)
        return result

    def to_json(self) -> dict[str, dict[str, Any] | list[Any]]:
        """File name (without ending) -> content; see models/README.md."""
        return {
            "outcome": self.outcome.to_json(),
            "season": {cause: season.to_json() for cause, season in zip(CAUSES, self.seasons, strict=True)},
            "amount": self.amount.to_json(),
            "arrivals": self.arrivals.to_json(),
            "records": self.records.to_json(),
            "kinds": {} if self.kinds is None else self.kinds.to_json(),
            "stages": self.stages.to_json(),
            "money": self.money.to_json(),
            "model": {
                "trained_until_us": self.trained_until_us,
                "shock": {"sd": self.shock.sd, "df": self.shock.df, "quarters": self.shock.quarters},
                "clock": self.clock.to_json(),
                "level": {"shift": list(self.level.shift), "reason": self.level.reason},
                "grades": self.grades.percentiles.tolist(),
                "features": [
                    {"feature": d.feature, "used": d.used, "reason": d.reason} for d in self.decisions
                ],
                "ladder": [asdict(rung) for rung in self.ladder],
                "counts": self.counts,
                "settings": self.settings,
                "recipe": self.recipe.to_json(),
            },
        }

    @classmethod
    def from_json(cls, files: dict[str, Any]) -> FittedModels:
        """Inverse of `to_json`; KeyError, TypeError or ValueError on content that does not fit."""
        model = files["model"]
        return cls(
            trained_until_us=int(model["trained_until_us"]),
            stages=StageMap.from_json(files["stages"]),
            money=Money.from_json(files["money"]),
            outcome=RUNGS[files["outcome"]["rung"]].from_json(files["outcome"]),
            seasons=(Season.from_json(files["season"]["won"]), Season.from_json(files["season"]["lost"])),
            clock=DealClock.from_json(model["clock"]),
            level=Level(
                (float(model["level"]["shift"][0]), float(model["level"]["shift"][1])),
                str(model["level"]["reason"]),
            ),
            amount=AmountModel.from_json(files["amount"]),
            arrivals=ArrivalModel.from_json(files["arrivals"]),
            records=FrozenRecords.from_json(files["records"]),
            kinds=Kinds.from_json(files["kinds"]) if files["kinds"] else None,
            shock=Shock(
                float(model["shock"]["sd"]), float(model["shock"]["df"]), int(model["shock"]["quarters"])
            ),
            grades=Grades(np.array(model["grades"], dtype=np.float64)),
            decisions=tuple(Decision(**row) for row in model["features"]),
            ladder=tuple(Rung.from_json(row) for row in model["ladder"]),
            counts={key: int(n) for key, n in model["counts"].items()},
            settings=dict(model["settings"]),
            recipe=Recipe.from_json(model["recipe"]),
        )
