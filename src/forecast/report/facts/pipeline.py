"""Facts about the pipeline as a whole: what lies in each stage, how deals move through, how long it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.history import OPEN, WON, History
from forecast.periods import DAY_US, as_of_us
from forecast.report.facts.plain import Fact, date_of
from forecast.scoring import HORIZONS_DAYS

if TYPE_CHECKING:
    from forecast.outlook import Outlook

__all__ = ["decided_deals", "funnel_facts", "median_time", "stage_facts"]

_YEAR_US: Final = 365 * DAY_US
_PIPELINES_SHOWN: Final = 3


def stage_facts(deals: pd.DataFrame, outlook: Outlook) -> Fact:
    """Open deals by stage: how many, worth what, expected to bring what; and their curve of winning.

    deals : `open_deals(outlook)`
    """
    stages = outlook.history.stages
    code = stages.codes_of(deals["pipeline"], deals["stage"])
    grouped = deals.assign(
        code=code,
        unknown_amount=deals["amount"].isna(),
        expected=deals["expected_bookings"].fillna(0.0),
    ).groupby("code")
    sums = grouped.agg(
        deals=("deal_id", "size"),
        amount=("amount", "sum"),
        expected=("expected", "sum"),
        in_period=("at_stake", "sum"),
        unknown_amounts=("unknown_amount", "sum"),
    )
    curves = grouped[[f"won_{days}d" for days in HORIZONS_DAYS]].mean()
    codes = np.flatnonzero(stages.kind == OPEN)
    sums, curves = sums.reindex(codes).fillna(0.0), curves.reindex(codes)
    rows = [
        {
            "pipeline": stages.pipeline[code],
            "stage": stages.label[code],
            "deals": int(line["deals"]),
            "amount": float(line["amount"]),
            "expected": float(line["expected"]),
            "in_period": float(line["in_period"]),
            "unknown_amounts": int(line["unknown_amounts"]),
            "curve": curve if line["deals"] else None,
        }
        for code, line, curve in zip(
            codes.tolist(), sums.to_dict(orient="records"), curves.to_numpy(np.float64).tolist(), strict=True
        )
    ]
    return {
        "stages": rows,
        "pipelines": len(set(stages.pipeline)),
        "horizons_days": list(HORIZONS_DAYS),
        "total": {
            "deals": len(deals),
            "amount": float(deals["amount"].sum()),
            "expected": float(deals["expected_bookings"].sum()),
            "in_period": float(deals["at_stake"].sum()),
            "unknown_amounts": int(deals["amount"].isna().sum()),
        },
    }


def decided_deals(history: History, until_us: int, since_us: int) -> pd.DataFrame:
    """Deals decided in [since, until) and still decided as known before `until`; one row per deal.

    Columns deal (index in the history), won, at_us, owner (code). A deal lost, re-opened and won counts as
    won, at the winning; one that was re-opened and is open again is not decided.
    """
    closings = history.closings
    known = closings.at_us < until_us
    last = pd.DataFrame(
        {"deal": closings.deal[known], "kind": closings.kind[known], "at_us": closings.at_us[known],
         "owner": closings.owner[known]}
    ).drop_duplicates("deal", keep="last")  # closings are in order of (deal, time)  # fmt: skip
    deal = last["deal"].to_numpy(np.int64)
    stage = history.stage(deal, np.full(len(deal), until_us, dtype=np.int64))
    still = history.stages.kind[stage] == last["kind"].to_numpy()
    recent: pd.DataFrame = last[still & (last["at_us"] >= since_us).to_numpy()]
    return recent.assign(won=recent["kind"] == WON).drop(columns="kind").reset_index(drop=True)


def funnel_facts(outlook: Outlook) -> Fact:
    """How the deals decided in the last year went through the stages, and how long each stage takes.

    A deal counts as having reached every stage up to the furthest it was in, so one that skipped
    qualification is no loss there, and the conversions multiply to the win rate.
    """
    history, at_us = outlook.history, as_of_us(outlook.as_of)
    stages = history.stages
    decided = decided_deals(history, at_us, at_us - _YEAR_US)
    entry_deal, entry_at, entry_stage = history.stage_entries
    known = entry_at < at_us
    entry_deal, entry_at, entry_stage = entry_deal[known], entry_at[known], entry_stage[known]

    furthest = np.full(len(history), -1, dtype=np.int64)
    np.maximum.at(furthest, entry_deal, stages.step[entry_stage])
    pipeline_of_stage = np.array(stages.pipeline, dtype=object)
    deal_pipeline = history.vocabulary("pipeline").take(history.columns.pipeline)
    times = _times_in_stage(entry_deal, entry_at, entry_stage, at_us)

    funnels = []
    sizes = decided.groupby(deal_pipeline[decided["deal"].to_numpy(np.int64)]).size()
    for name in sizes.sort_values(ascending=False, kind="stable").index[:_PIPELINES_SHOWN]:
        here = decided[deal_pipeline[decided["deal"].to_numpy(np.int64)] == name]
        codes = np.flatnonzero((pipeline_of_stage == name) & (stages.kind == OPEN)).tolist()
        reached = np.where(here["won"], len(codes), furthest[here["deal"].to_numpy(np.int64)])
        counts = [int((reached >= step).sum()) for step in range(len(codes) + 1)]
        won_deals = here[here["won"]]
        cycle = (
            won_deals["at_us"] - history.columns.created_at_us[won_deals["deal"].to_numpy(np.int64)]
        ) / DAY_US
        funnels.append(
            {
                "pipeline": str(name),
                "decided": len(here),
                "won": int(here["won"].sum()),
                "win_rate": float(here["won"].mean()),
                "cycle_days": float(cycle.median()) if len(cycle) else None,
                "stages": [
                    {
                        "stage": stages.label[code],
                        "reached": counts[step],
                        "conversion": counts[step + 1] / counts[step] if counts[step] else None,
                        "median_days": median_time(*times[code]) if code in times else None,
                    }
                    for step, code in enumerate(codes)
                ],
            }
        )
    return {"funnels": funnels, "since": date_of(outlook.as_of - pd.Timedelta(days=365))}


def _times_in_stage(
    deal: NDArray[np.int64], at: NDArray[np.int64], stage: NDArray[np.int64], until_us: int
) -> dict[int, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Days of every stay in a stage begun in the last two years, and whether it has ended, by stage code."""
    follows = np.zeros(len(deal), dtype=bool)
    follows[:-1] = deal[1:] == deal[:-1]
    leaves = np.where(follows, np.append(at[1:], until_us), until_us)
    days = (leaves - at) / DAY_US
    recent = at >= until_us - 2 * _YEAR_US
    return {
        int(code): (days[recent & (stage == code)], follows[recent & (stage == code)])
        for code in np.unique(stage[recent])
    }


def median_time(days: NDArray[np.float64], ended: NDArray[np.bool_]) -> float | None:
    """Median of durations of which some have not ended yet (Kaplan-Meier, 1958); None if never reached.

    Leaving out the stays that go on would call every stage quicker than it is.

    >>> median_time(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, True, True]))
    2.0
    >>> median_time(np.array([1.0, 5.0, 5.0, 5.0]), np.array([True, False, False, False])) is None
    True
    """
    if not len(days):
        return None
    # At a tie the stay that ended is counted while those going on are still at risk.
    order = np.lexsort((~ended, days))
    at_risk = np.arange(len(days), 0, -1)
    staying = np.cumprod(1.0 - ended[order] / at_risk)
    below = np.flatnonzero(staying <= 0.5 + 1e-12)
    return float(days[order][below[0]]) if len(below) else None
