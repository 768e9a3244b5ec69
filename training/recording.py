"""From a finished training to what MLflow is told of it: the run, its parts, its tables and charts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from training.card import card_text
from training.evidence import Evidence
from training.settings import Settings
from training.summary import LABELS
from training.tracking import Child, DataFacts, Record
from training.train import Training

__all__ = ["artifacts", "record_of"]

# Rows of `evidence.intervals` that are metrics of the run, with their bounds.
_BOUNDED: Final = ("brier", "skill", "auc", "bias")


def record_of(
    training: Training,
    evidence: Evidence,
    facts: Mapping[str, Any],
    data: DataFacts,
    settings: Settings,
    *,
    started: float,
) -> Record:
    """What is recorded of a training; `facts` are those of its card, `started` in seconds since 1970."""
    measured = {} if training.measured is None else training.measured.metrics()
    leads = {} if training.measured_leads is None else training.measured_leads.metrics()
    rung = training.models.outcome.name
    return Record(
        folder=training.folder,
        bundle_id=training.bundle_id,
        params={
            **settings.flat(),
            "as_of": training.as_of.isoformat(),
            "data_fingerprint": training.fingerprint,
            "rung": rung,
        },
        metrics={
            **measured,
            **leads,
            **{f"deals_{name}": float(count) for name, count in training.models.counts.items()},
        },
        tags={"rung": rung, "data_fingerprint": training.fingerprint},
        started=started,
        data=data,
        children=(*_rungs(training), *_origin(training, evidence)),
        files=artifacts(training, evidence, facts, settings),
        card=card_text(dict(facts)),
    )


def artifacts(
    training: Training, evidence: Evidence, facts: Mapping[str, Any], settings: Settings
) -> dict[str, bytes]:
    """Name -> content: the card and its facts, the settings, each table as CSV, and charts of them as SVG."""
    from forecast.report import model_charts

    tables = evidence.tables()
    charts = {}
    if "curves" in tables:
        charts["curves"] = model_charts.incidence(_rows(evidence.curves))
        charts["calibration"] = model_charts.calibration(_rows(evidence.calibration))
    charts["importances"] = model_charts.importances(_rows(evidence.importances))
    measured = training.measured
    if measured is not None:
        tables["metrics"] = measured.table
        if measured.bookings is not None:
            tables["bookings"] = measured.bookings
            named = [{**row, "label": LABELS[row["forecaster"]]} for row in _rows(measured.bookings)]
            currency = training.models.money.reporting
            charts["bookings"] = model_charts.bookings(named, currency=currency)
    tables["fields"] = pd.DataFrame(
        [(one.feature, one.used, one.reason) for one in training.models.decisions],
        columns=["feature", "used", "reason"],
    )
    return {
        "card.md": card_text(dict(facts)).encode(),
        "card.json": (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode(),
        "settings.json": (json.dumps(settings.flat(), indent=1, ensure_ascii=False) + "\n").encode(),
        **{f"tables/{name}.csv": table.to_csv(index=False).encode() for name, table in tables.items()},
        **{f"charts/{name}.svg": chart.encode() for name, chart in charts.items()},
    }


def _rungs(training: Training) -> list[Child]:
    return [
        Child(
            name=f"rung {rung.name}",
            kind="rung",
            params={"rung": rung.name, "chosen": str(rung.chosen).lower()},
            metrics={} if rung.log_score is None else {"log_score": rung.log_score},
            series={"log_score_by_window": rung.windows},
            tags={"rung": rung.name, "chosen": str(rung.chosen).lower()},
            note=rung.reason,
        )
        for rung in training.models.ladder
    ]


def _origin(training: Training, evidence: Evidence) -> list[Child]:
    """The held-out period: what was learnt before its start and measured inside it."""
    measured = training.measured
    if measured is None:
        return []
    holdout = measured.holdout
    bounds = {
        f"{row['metric']}_{row['horizon_days']:.0f}d_{end}": row[end]
        for row in _rows(evidence.intervals)
        if row["metric"] in _BOUNDED
        for end in ("lower", "upper")
        if row[end] is not None
    }
    params = {
        "origin": holdout.start.isoformat(),
        "until": holdout.end.isoformat(),
        "horizons_days": ", ".join(map(str, holdout.horizons_days)),
        "quarter": "" if holdout.quarter is None else holdout.quarter.label,
        "rung": measured.rung,
    }
    return [
        Child(
            name=f"held out from {holdout.start:%Y-%m-%d}",
            kind="origin",
            params=params,
            metrics={**measured.metrics(), **bounds},
            tags={"rung": measured.rung},
            note=f"Learnt before {holdout.start:%Y-%m-%d}, measured until {holdout.end:%Y-%m-%d}.",
        )
    ]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with None for unknown."""
    return [
        {str(key): None if isinstance(one, float) and one != one else one for key, one in row.items()}
        for row in frame.to_dict("records")
    ]
