"""A company of 1,500 deals, a bundle of half a year ago, and things that happened since."""

from __future__ import annotations

import pandas as pd

from forecast.bundle import Bundle
from forecast.evaluation.drift import Monitoring, MonitorSettings, monitor_bundle
from forecast.models import FitSettings, FittedModels
from forecast.tables import Tables

TRAINED_UNTIL = pd.Timestamp("2025-07-01", tz="UTC")
AS_OF = pd.Timestamp("2025-12-16", tz="UTC")
QUICK = FitSettings(
    seed=1, max_landmarks=6_000, windows=1, ridge_grid=(12.0,), min_boosted_deals=10**9, use_clock=False
)


def monitored(
    tables: Tables, models: FittedModels, as_of: pd.Timestamp = AS_OF, **changed: float
) -> Monitoring:
    """What a monitor says of a company."""
    bundle = Bundle("0" * 64, {}, models, [])
    return monitor_bundle(tables, bundle, as_of, MonitorSettings(**changed))  # type: ignore[arg-type]


def replaced(tables: Tables, **frames: pd.DataFrame) -> Tables:
    old = {name: getattr(tables, name) for name in Tables.__dataclass_fields__}
    return Tables.from_frames(**{**old, **frames})


def without_deals_created_since(tables: Tables, every: int) -> Tables:
    """Only each so many-th deal created since training exists."""
    late = tables.deals.loc[tables.deals["created_at"] >= TRAINED_UNTIL, "deal_id"]
    gone = set(late) - set(late.iloc[::every])
    frames = {}
    for name in ("deals", "deal_events", "activities", "leads"):
        frame = getattr(tables, name)
        frames[name] = frame[~frame["deal_id"].isin(gone)]
    return replaced(tables, **frames)


def with_a_renamed_stage(tables: Tables) -> Tables:
    """From training on the demo is called a meeting."""
    again = tables.stages[tables.stages["stage"] == "demo"].assign(stage="meeting", label="Meeting")
    events = tables.deal_events.copy()
    late = (events["field"] == "stage") & (events["recorded_at"] >= TRAINED_UNTIL)
    events.loc[late & (events["value"] == "demo"), "value"] = "meeting"
    return replaced(tables, stages=pd.concat([tables.stages, again], ignore_index=True), deal_events=events)


def with_a_silent_field(tables: Tables, field: str) -> Tables:
    """Nobody fills the field in since training."""
    events = tables.deal_events
    gone = (events["field"] == field) & (events["recorded_at"] >= TRAINED_UNTIL)
    return replaced(tables, deal_events=events[~gone])
