"""A bundle against what was recorded since it was trained: everything a monitor says, in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from forecast.bundle import Bundle
from forecast.errors import UsageError
from forecast.evaluation.drift.bookings import Foretold, foretold_bookings, remaining_bookings
from forecast.evaluation.drift.inputs import Inputs, judge_inputs
from forecast.evaluation.drift.looks import WEEK_US, look_weekly, week_starts
from forecast.evaluation.drift.outcomes import Outcomes, judge_outcomes
from forecast.evaluation.drift.settings import MonitorSettings
from forecast.evaluation.drift.verdict import Verdict, decide
from forecast.outlook import history_of
from forecast.periods import DAY_US, as_of_us
from forecast.tables import Tables, known_before

__all__ = ["Monitoring", "monitor_bundle"]

Tell = Callable[[str, float], None]
_MOST_DEALS: Final = 2_000  # of a week before training


@dataclass(frozen=True)
class Monitoring:
    """A bundle as of a moment.

    foretold : bookings by quarter since training
    open_deals : how many there are now
    """

    bundle_id: str
    trained_until: pd.Timestamp
    as_of: pd.Timestamp
    currency: str
    open_deals: int
    settings: MonitorSettings
    inputs: Inputs
    outcomes: Outcomes
    foretold: tuple[Foretold, ...]
    verdict: Verdict

    @property
    def age_days(self) -> float:
        """Of the bundle, by the data it saw."""
        return (self.as_of - self.trained_until) / pd.Timedelta(days=1)

    def table(self) -> pd.DataFrame:
        """Everything by week as one long table, for trends and schedulers.

        Columns as_of, bundle, week (start), part (`outcome`, `segment`, `input`, `combined`), name, measure,
        value.
        """
        weeks = pd.to_datetime(self.outcomes.starts_us, unit="us", utc=True).as_unit("us")
        rows = [
            pd.DataFrame(
                {"week": weeks, "part": "combined", "name": "all", "measure": "log_evidence",
                 "value": self.verdict.evidence}
            )
        ]  # fmt: skip
        for one in self.outcomes.questions:
            for measure, value in (
                ("came", one.came),
                ("expected", one.expected),
                ("log_evidence", one.evidence.log_e),
            ):
                rows.append(
                    pd.DataFrame(
                        {"week": weeks, "part": "outcome", "name": one.name, "measure": measure,
                         "value": value}
                    )
                )  # fmt: skip
        for part in self.outcomes.segments:
            rows.append(
                pd.DataFrame(
                    {"week": weeks, "part": "segment", "name": f"{part.cause} {part.by} {part.value}",
                     "measure": "log_evidence", "value": part.evidence.log_e}
                )
            )  # fmt: skip
        starts = pd.DatetimeIndex([*weeks, self.as_of]).as_unit("us")
        seen = self.inputs.table
        for measure in ("value", "usual", "p_value"):
            rows.append(
                pd.DataFrame(
                    {"week": starts[seen["week"].to_numpy()], "part": "input", "name": seen["field"],
                     "measure": seen["check"] + "_" + measure, "value": seen[measure]}
                )
            )  # fmt: skip
        found = pd.concat(rows, ignore_index=True).dropna(subset=["value"])
        found.insert(0, "as_of", self.as_of)
        found.insert(1, "bundle", self.bundle_id)
        return found.reset_index(drop=True)


def monitor_bundle(
    tables: Tables,
    bundle: Bundle,
    as_of: pd.Timestamp,
    settings: MonitorSettings,
    *,
    weeks: int | None = None,
    seed: int = 0,
    tell: Tell = lambda _text, _share: None,
) -> Monitoring:
    """Compare what was recorded from training until `as_of` with what the bundle says.

    weeks : look back no further than so many weeks; None is since training. Fewer make an older change
        invisible and a newer one plainer.
    Raises UsageError if `as_of` is not after training.
    """
    until_us, trained_us = as_of_us(as_of), bundle.models.trained_until_us
    if until_us <= trained_us:
        raise UsageError(
            f"the bundle learnt from data until {bundle.trained_until.isoformat()}, so there is nothing to "
            f"compare as of {as_of.isoformat()}; give newer data, or an older bundle",
            code="nothing_since_training",
        )
    tables = known_before(tables, as_of)
    past = history_of(tables, bundle)
    first_us = trained_us if weeks is None else max(trained_us, until_us - weeks * WEEK_US)
    known_us = int(past.known_from_us().min(initial=trained_us)) if len(past) else trained_us
    before = int(min(2 * settings.reference_weeks, max((first_us - known_us) // WEEK_US, 0)))
    starts, ends, first_week = week_starts(first_us, until_us, before)
    tell("looking at the open deals of every week", 0.0)
    looks = look_weekly(
        past,
        bundle.models,
        starts,
        ends,
        first_week,
        until_us,
        longest_days=settings.calibration_days,
        most_deals=_MOST_DEALS,
        rng=np.random.default_rng(seed),
    )
    tell("comparing inputs", 0.4)
    inputs = judge_inputs(looks, bundle.models, settings, trained_us)
    tell("comparing outcomes", 0.5)
    placed = tables.users.dropna(subset=["team"])
    teams = dict(zip(placed["user_id"].astype(str), placed["team"].astype(str), strict=True))
    outcomes = judge_outcomes(past, bundle.models, looks, teams, settings)
    tell("comparing bookings", 0.8)
    foretold = foretold_bookings(tables, past, bundle, as_of, seed=seed)
    remaining = remaining_bookings(tables, past, bundle, as_of, seed=seed)
    age_days = (until_us - trained_us) / DAY_US
    verdict = decide(inputs, outcomes, foretold, remaining, age_days, settings)
    tell("compared", 1.0)
    return Monitoring(
        bundle_id=bundle.id,
        trained_until=bundle.trained_until,
        as_of=as_of,
        currency=bundle.models.money.reporting,
        open_deals=len(past.open_deals(until_us)),
        settings=settings,
        inputs=inputs,
        outcomes=outcomes,
        foretold=foretold,
        verdict=verdict,
    )
