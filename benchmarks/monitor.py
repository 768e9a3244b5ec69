"""How often does a monitor cry wolf, and how soon does it see a wolf? Simulated companies, monitored weekly.

    python -m benchmarks.monitor [--deals 5000] [--seeds 1-20] [--weeks 26] [--rows FILE] [--docs docs]

Each company is trained on what was recorded before July 2025 and then monitored for half a year. Clean ones
show false alarms; in the others something changes on the day of training:

    wins x 0.7, x 0.5    the rate of winning falls
    pace x 0.6           deals take longer from stage to stage
    created x 0.5        half as many deals are created
    size x 1.3           new deals are larger
    signed x 0.8         deals are signed below what stands in the CRM, more than before
    stage renamed        a stage is called something else from then on
    new source           half of the deals of events now come from webinars
    field silent         nobody fills in `need` any more
    no activities        calls and mails are not recorded any more

A week is asked only about what was recorded before it ended; that this is so is tested
(tests/evaluation/test_drift_monitor.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress

from benchmarks.machine import machine
from benchmarks.real.report import put_between_marks
from forecast.bundle import Bundle
from forecast.cli import run as run_command
from forecast.evaluation.drift import Monitoring, MonitorSettings, monitor_bundle
from forecast.history import History
from forecast.models import FitSettings, FittedModels, fit_models
from forecast.simulator import Shift, simulate
from forecast.tables import Tables

__all__ = ["CHANGES", "TRAINED_UNTIL", "changed", "first_weeks", "main"]

TRAINED_UNTIL: Final = pd.Timestamp("2025-07-01", tz="UTC")
# A linear model on fewer landmarks than usual: three trainings a company, and the level is what counts here.
_FIT: Final = FitSettings(max_landmarks=12_000, windows=1, ridge_grid=(12.0,), min_boosted_deals=10**9)
_QUARTER_WEEKS: Final = 13
Change = Callable[[Tables], Tables]


def _replaced(tables: Tables, **frames: pd.DataFrame) -> Tables:
    old = {name: getattr(tables, name) for name in Tables.__dataclass_fields__}
    return Tables.from_frames(**{**old, **frames})


def _fewer(tables: Tables) -> Tables:
    """Every second deal created since training does not exist."""
    late = tables.deals["created_at"] >= TRAINED_UNTIL
    gone = set(tables.deals.loc[late, "deal_id"].iloc[::2])
    frames = {}
    for name in ("deals", "deal_events", "activities"):
        frame = getattr(tables, name)
        frames[name] = frame[~frame["deal_id"].isin(gone)]
    leads = tables.leads.copy()
    leads.loc[leads["deal_id"].isin(gone), ["converted_at", "deal_id"]] = None
    return _replaced(tables, **frames, leads=leads)


def _larger(tables: Tables, factor: float = 1.3) -> Tables:
    deals, events = tables.deals.copy(), tables.deal_events.copy()
    new = deals["created_at"] >= TRAINED_UNTIL
    deals.loc[new, "amount"] *= factor
    mine = events["deal_id"].isin(set(deals.loc[new, "deal_id"])) & (events["field"] == "amount")
    scaled = events.loc[mine, "value"].astype(float) * factor
    events.loc[mine, "value"] = scaled.map("{:.2f}".format)
    return _replaced(tables, deals=deals, deal_events=events)


def _signed(tables: Tables, factor: float = 0.8) -> Tables:
    """Whoever wins since training signs at the factor of what stood there."""
    events = tables.deal_events
    won = events[(events["field"] == "stage") & (events["value"] == "won")]
    won = won[won["recorded_at"] >= TRAINED_UNTIL].drop_duplicates("deal_id")
    at = events["deal_id"].map(won.set_index("deal_id")["recorded_at"])
    amounts = events[(events["field"] == "amount") & (events["recorded_at"] <= at)]
    last = amounts.drop_duplicates("deal_id", keep="last").set_index("deal_id")["value"].astype(float)
    added = won[won["deal_id"].isin(last.index)].assign(field="amount")
    added["value"] = (added["deal_id"].map(last) * factor).map("{:.2f}".format)
    at_signing = (events["field"] == "amount") & (events["recorded_at"] >= at)
    return _replaced(tables, deal_events=pd.concat([events[~at_signing], added], ignore_index=True))


def _renamed(tables: Tables) -> Tables:
    stages = tables.stages
    again = stages[stages["stage"] == "demo"].assign(stage="meeting", label="Meeting")
    events = tables.deal_events.copy()
    late = (events["field"] == "stage") & (events["recorded_at"] >= TRAINED_UNTIL)
    events.loc[late & (events["value"] == "demo"), "value"] = "meeting"
    return _replaced(tables, stages=pd.concat([stages, again], ignore_index=True), deal_events=events)


def _new_source(tables: Tables) -> Tables:
    deals = tables.deals.copy()
    late = np.flatnonzero((deals["created_at"] >= TRAINED_UNTIL) & (deals["source"] == "event"))
    deals.iloc[late[::2], deals.columns.get_loc("source")] = "webinar"
    return _replaced(tables, deals=deals)


def _silent(tables: Tables) -> Tables:
    events = tables.deal_events
    gone = (events["field"] == "need") & (events["recorded_at"] >= TRAINED_UNTIL)
    return _replaced(tables, deal_events=events[~gone])


def _no_activities(tables: Tables) -> Tables:
    done = tables.activities
    return _replaced(tables, activities=done[done["occurred_at"] < TRAINED_UNTIL])


# What changes -> how the simulated rates change, or what is done to the tables of the clean company.
CHANGES: Final[dict[str, Shift | Change | None]] = {
    "nothing": None,
    "wins x 0.7": Shift(TRAINED_UNTIL, win=0.7),
    "wins x 0.5": Shift(TRAINED_UNTIL, win=0.5),
    "pace x 0.6": Shift(TRAINED_UNTIL, pace=0.6),
    "created x 0.5": _fewer,
    "size x 1.3": _larger,
    "signed x 0.8": _signed,
    "stage renamed": _renamed,
    "new source": _new_source,
    "field silent": _silent,
    "no activities": _no_activities,
}


@dataclass(frozen=True)
class _Company:
    tables: Tables
    models: FittedModels


@cache
def _company(deals: int, seed: int, shift: Shift | None) -> _Company:
    tables = simulate(deals, seed, shift=shift).tables
    return _Company(tables, fit_models(History.from_tables(tables), TRAINED_UNTIL, _FIT))


def changed(name: str, deals: int, seed: int) -> tuple[Tables, FittedModels]:
    """A company in which `name` of `CHANGES` happens, and models of its past."""
    change = CHANGES[name]
    if change is None or isinstance(change, Shift):
        company = _company(deals, seed, change)
        return company.tables, company.models
    company = _company(deals, seed, None)  # until training nothing is different
    return change(company.tables), company.models


def first_weeks(found: Monitoring) -> dict[str, object]:
    """Week in which each verdict was first due, infinite if never, and the largest evidence by quarter."""
    settings, outcomes, table = found.settings, found.outcomes, found.inputs.table
    table = table[table["drifted"]]
    stopped = (table["check"] == "writes") & (table["size"] <= np.log(0.1))
    unknown = table["check"].isin(["missing", "missing_new"]) & (table["size"] >= 0.3)
    broken = table[stopped | unknown | ((table["check"] == "new") & table["field"].str.startswith("stage="))]

    def crossed(log_e: np.ndarray, limit: float) -> float:
        weeks = np.flatnonzero(log_e >= np.log(limit))
        return float(weeks[0] + 1) if len(weeks) else np.inf

    limit = settings.look_evidence * max(len(outcomes.segments), 1)
    looks = [crossed(one.evidence.log_e, settings.look_evidence) for one in outcomes.questions]
    looks += [crossed(one.evidence.log_e, limit) for one in outcomes.segments]
    evidence = found.verdict.evidence
    return {
        "retrain": crossed(evidence, settings.retrain_evidence),
        "fix": float(broken["week"].min()) if len(broken) else np.inf,
        "look_outcome": min(looks),
        "look_input": float(table["week"].min()) if len(table) else np.inf,
        "look_bookings": min(
            ((one.end - found.trained_until).days / 7 for one in found.foretold if one.outside),
            default=np.inf,
        ),
        "look_season": float(outcomes.starts_us.size) if outcomes.season.p_value <= 0.001 else np.inf,
        "evidence_13": float(np.exp(evidence[:_QUARTER_WEEKS].max(initial=0.0))),
        "evidence": float(np.exp(evidence.max(initial=0.0))),
        **{f"e_{one.name}": one.evidence.most for one in outcomes.questions},
        **{f"ratio_{one.name}": one.ratio or np.nan for one in outcomes.questions},
        "field": ",".join(sorted(set(table["field"] + ":" + table["check"]))),
    }


def _one(seed: int, deals: int, weeks: int, names: tuple[str, ...]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name in names:
        tables, models = changed(name, deals, seed)
        bundle = Bundle("0" * 64, {}, models, [])
        as_of = TRAINED_UNTIL + pd.Timedelta(weeks=weeks)
        found = monitor_bundle(tables, bundle, as_of, MonitorSettings(), seed=seed)
        rows.append({"change": name, "seed": seed, **first_weeks(found)})
    _company.cache_clear()
    return rows


def summary(rows: pd.DataFrame, weeks: int) -> pd.DataFrame:
    """A row per change: companies; share found in a quarter and in all weeks, and median week, by verdict."""
    found = []
    for name in CHANGES:
        mine = rows[rows["change"] == name]
        if not len(mine):
            continue
        look = mine[["look_outcome", "look_input", "look_bookings", "look_season", "retrain", "fix"]].min(
            axis=1
        )
        row: dict[str, object] = {"change": name, "companies": len(mine)}
        for verdict, first in (("retrain", mine["retrain"]), ("fix", mine["fix"]), ("any", look)):
            row[f"{verdict} 13w"] = float((first <= _QUARTER_WEEKS).mean())
            row[f"{verdict} {weeks}w"] = float((first <= weeks).mean())
            seen = first[np.isfinite(first)]
            row[f"{verdict} median week"] = float(seen.median()) if len(seen) else np.nan
        found.append(row)
    return pd.DataFrame(found)


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


@click.command()
@click.option("--deals", default=5_000, show_default=True, help="Of each company, over four years.")
@click.option("--seeds", default="1-20", show_default=True, help="Companies, FIRST-LAST.")
@click.option("--weeks", default=26, show_default=True, help="How long each is monitored.")
@click.option("--only", multiple=True, type=click.Choice(list(CHANGES)), help="Only these changes.")
@click.option(
    "--rows",
    "rows_file",
    type=click.Path(path_type=Path),
    help="Keep a row for every company there (CSV), go on from them, and show all of them.",
)
@click.option(
    "--docs", type=click.Path(path_type=Path), help="Put the table into monitoring.md of this folder."
)
def main(
    deals: int, seeds: str, weeks: int, only: tuple[str, ...], rows_file: Path | None, docs: Path | None
) -> None:
    """Measure false alarms and detection of `python -m training monitor`."""
    known = pd.DataFrame(columns=["change", "seed", "deals", "weeks"])
    if rows_file is not None and rows_file.is_file():
        known = pd.read_csv(rows_file)
    tried = known[(known["deals"] == deals) & (known["weeks"] == weeks)]
    done = set(zip(tried["change"], tried["seed"], strict=True))
    with Progress(console=Console(stderr=True), transient=True) as bar:
        numbers = _seeds(seeds)
        todo = bar.add_task("companies", total=len(numbers))
        for seed in numbers:
            names = tuple(name for name in only or CHANGES if (name, seed) not in done)
            found = pd.DataFrame(_one(seed, deals, weeks, names)).assign(deals=deals, weeks=weeks)
            if len(found):
                known = pd.concat([known, found], ignore_index=True)
            if rows_file is not None:
                known.to_csv(rows_file, index=False)
            bar.advance(todo)
    shown = summary(known[(known["deals"] == deals) & (known["weeks"] == weeks)], weeks)
    Console(width=200).print(shown.round(2).to_string(index=False), markup=False, highlight=False)
    Console().print(machine())
    if docs is not None:
        put_between_marks(docs / "monitoring.md", "detection", _markdown(shown, deals, weeks))


def _markdown(shown: pd.DataFrame, deals: int, weeks: int) -> str:
    head = ["change", "companies"]
    columns = [name for name in shown.columns if name not in head]
    lines = ["| " + " | ".join([*head, *columns]) + " |", "|---" + "|---:" * (len(columns) + 1) + "|"]
    for row in shown.to_dict("records"):
        cells = [str(row["change"]), str(row["companies"])]
        for name in columns:
            value = float(row[name])
            cells.append("" if np.isnan(value) else f"{value:.0f}" if "median" in name else f"{value:.0%}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"{deals:,} deals each, {weeks} weeks. {machine()}"])


if __name__ == "__main__":
    sys.exit(run_command(main, None, "python -m benchmarks.monitor"))
