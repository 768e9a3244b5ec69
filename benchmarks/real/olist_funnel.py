"""Olist's marketing funnel as contract tables, and leads scored on it with a split by time.

    python -m benchmarks.real.olist_funnel [--markdown docs/real-data.md]

8,000 qualified leads of a Brazilian marketplace, June 2017 to May 2018, of which 842 became sellers by November
2018. The adapter decides:

- A lead exists from the midnight of its first contact (DD-MM-YYYY, without time of day) and is converted at
  `won_date`. One was won before its first contact; it counts from that contact on.
- Nobody is ever ruled out in this data: a lead that is not won stays open. There are no activities, no answers.
- `origin` is the source and `landing_page_id` an attribute; both are filled at the first contact.
- Every column of the file of closed deals exists for won leads only. The sales representative (as owner) and
  three of the others are kept, as an export would have them: the field policy has to find out that they cannot
  be used.
- No deal is known behind a lead, so nothing is said here about becoming a won deal: a conversion is a win.

Protocol: no win is recorded before December 2017, so landmarks begin then. Everybody learns from what was
recorded before Monday, 2 April 2018, and is asked about all leads open on nine Mondays, 2 April to 28 May:
P(won within 30 and 90 days). All of these can be followed for 90 days. Beside our models stand the constant,
the share won by origin, and a logistic regression of scikit-learn for each horizon on age, origin and landing
page, which can learn only from landmarks that could be followed that long.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.real.report import put_between_marks
from benchmarks.real.source import raw_file, read_text
from forecast.arrays import Floats, Ints
from forecast.cli import run as run_command
from forecast.evaluation import scoreboard
from forecast.evaluation.baselines import BaseRate
from forecast.features import DatedCustomers
from forecast.history import CONVERTED, History, Landmarks, Leads, make_landmarks
from forecast.models import FitSettings, LeadModels, fit_leads
from forecast.periods import DAY_US, as_of_us
from forecast.tables import Tables

__all__ = ["HORIZONS_DAYS", "Result", "adapt", "as_markdown", "load", "run_olist_funnel"]

NAME: Final = "olist_funnel"
COMPLETE_FROM: Final = pd.Timestamp("2017-12-01", tz="UTC")
SPLIT: Final = pd.Timestamp("2018-04-02", tz="UTC")
LAST_MONDAY: Final = pd.Timestamp("2018-05-28", tz="UTC")
HORIZONS_DAYS: Final = (30, 90)
FORECAST: Final = "forecast"
LABELS: Final = {
    "base_rate": "constant",
    "source_rate": "share by origin",
    "logistic": "logistic regression",
    FORECAST: "Forecast",
}
_KEPT: Final = ("business_segment", "lead_type", "lead_behaviour_profile")
_FEWEST: Final = 20  # landmarks a landing page must have to be told apart
_SHOWN: Final = {
    "auc": ("AUC", ".3f"),
    "brier": ("Brier", ".4f"),
    "skill": ("Brier skill", "+.3f"),
    "log_loss": ("log loss", ".4f"),
    "calibration_error": ("calib. error", ".4f"),
    "calibration_slope": ("calib. slope", ".2f"),
}


@dataclass(frozen=True)
class Result:
    """What came out: long table of `forecast.evaluation.scoreboard`, and models that say what was chosen."""

    scores: pd.DataFrame
    models: LeadModels


def load(folder: Path | None = None) -> Tables:
    """Contract tables from `olist_funnel/` in the folder of raw data (default: see `source`)."""

    def read(name: str) -> pd.DataFrame:
        return read_text(raw_file(NAME, name, folder=folder))

    return adapt(read("olist_marketing_qualified_leads_dataset.csv"), read("olist_closed_deals_dataset.csv"))


def adapt(qualified: pd.DataFrame, closed: pd.DataFrame) -> Tables:
    """Contract tables from the raw frames (all cells text, as in the files)."""
    rows = qualified.merge(closed, on="mql_id", how="left", validate="one_to_one")
    leads = pd.DataFrame(
        {
            "lead_id": rows["mql_id"],
            "created_at": pd.to_datetime(rows["first_contact_date"], format="%d-%m-%Y", utc=True),
            "source": rows["origin"],
            "owner_id": rows["sr_id"],
            "converted_at": pd.to_datetime(rows["won_date"], format="%Y-%m-%d %H:%M:%S", utc=True),
            "landing_page": rows["landing_page_id"],
            **{name: rows[name] for name in _KEPT},
        }
    )
    return Tables.from_frames(leads=leads)


def run_olist_funnel(tables: Tables, settings: FitSettings = FitSettings()) -> Result:  # noqa: B008  (frozen)
    """Fit once on 2 April 2018, score all leads open on nine Mondays."""
    deals = History.from_tables(tables)
    leads = Leads.from_tables(tables, deals)
    history = leads.history
    models = fit_leads(leads, deals, SPLIT, settings, first=COMPLETE_FROM)
    if models is None:
        raise ValueError(f"no lead was known before {SPLIT}")
    split_us, end_us = as_of_us(SPLIT), int(history.clock.moments_us[-1]) + 1
    learn = make_landmarks(history, until_us=split_us, first_us=as_of_us(COMPLETE_FROM))
    test = make_landmarks(history, until_us=end_us, first_us=split_us)
    test = test.take(test.at_us <= as_of_us(LAST_MONDAY))
    ours, _ = models.chances(history, test.deal, test.at_us, HORIZONS_DAYS, DatedCustomers.of(deals, history))
    constant = BaseRate()
    constant.fit(history, learn)
    predictions: Mapping[str, Floats] = {
        constant.name: constant.predict(history, test.deal, test.at_us, HORIZONS_DAYS),
        "source_rate": _by_origin(history, learn, test),
        "logistic": _logistic(history, learn, test, split_us),
        FORECAST: ours,
    }
    return Result(scoreboard.measure(test, predictions, HORIZONS_DAYS, until_us=end_us), models)


def _by_origin(history: History, learn: Landmarks, test: Landmarks) -> Floats:
    """(n, H) Aalen-Johansen of the leads of each origin."""
    of_learn, of_test = history.columns.source[learn.deal], history.columns.source[test.deal]
    found = np.empty((len(test), len(HORIZONS_DAYS)))
    for code in np.unique(of_test):
        rate, rows = BaseRate(), np.flatnonzero(of_test == code)
        rate.fit(history, learn.take(of_learn == code))
        found[rows] = rate.predict(history, test.deal[rows], test.at_us[rows], HORIZONS_DAYS)
    return found


def _logistic(history: History, learn: Landmarks, test: Landmarks, split_us: int) -> Floats:
    """(n, H) by a logistic regression for each horizon, on the landmarks that could be followed that long."""
    columns = []
    for horizon in HORIZONS_DAYS:
        seen = learn.take(learn.at_us + horizon * DAY_US <= split_us)
        won = (seen.cause == CONVERTED) & (seen.duration_days < horizon)
        model = make_pipeline(_Design(), LogisticRegression(max_iter=2_000))
        model.fit(_inputs(history, seen.deal, seen.at_us), won)
        columns.append(model.predict_proba(_inputs(history, test.deal, test.at_us))[:, 1])
    return np.column_stack(columns)


def _inputs(history: History, lead: Ints, at_us: Ints) -> pd.DataFrame:
    """Age, origin and landing page of rows."""
    page = history.last(lead, len(history.fields) - len(history.columns.custom) + _place(history), at_us)
    age_days = (at_us - history.columns.created_at_us[lead]) / DAY_US
    return pd.DataFrame(
        {
            "age": np.log1p(age_days),
            "origin": history.columns.source[lead],
            "page": np.nan_to_num(page, nan=-1),
        }
    )


def _place(history: History) -> int:
    return history.columns.custom.index("landing_page")


class _Design:
    """One-hot origins and frequent landing pages beside age and its square, scaled."""

    def fit(self, rows: pd.DataFrame, _won: object = None) -> _Design:
        self.words = OneHotEncoder(min_frequency=_FEWEST, handle_unknown="infrequent_if_exist")
        self.words.fit(rows[["origin", "page"]])
        self.scale = StandardScaler().fit(self._age(rows))
        return self

    def transform(self, rows: pd.DataFrame) -> Floats:
        words = self.words.transform(rows[["origin", "page"]]).toarray()
        return np.hstack((self.scale.transform(self._age(rows)), words))

    def fit_transform(self, rows: pd.DataFrame, won: object = None) -> Floats:
        return self.fit(rows, won).transform(rows)

    @staticmethod
    def _age(rows: pd.DataFrame) -> Floats:
        age = rows["age"].to_numpy(np.float64)
        return np.column_stack((age, age**2))


def _rows_of(result: Result) -> list[list[str]]:
    rows = []
    for metric, (label, shape) in _SHOWN.items():
        wide = scoreboard.wide(result.scores, metric).loc[list(LABELS)]
        for horizon in wide.columns:
            values = wide[horizon].to_numpy(np.float64)
            shown = ["-" if np.isnan(value) else f"{value:{shape}}" for value in values]
            rows.append([f"{label} {horizon} d", *shown])
    return rows


def _about(result: Result) -> list[str]:
    actual = result.scores[result.scores["forecaster"] == "actual"]
    facts = actual.pivot_table(index="horizon_days", columns="metric", values="value", sort=False)
    lines = [
        f"Scored at {horizon} days: {row['rows']:,.0f} rows of {row['deals']:,.0f} open leads, "
        f"{row['share_won']:.1%} of them won by then."
        for horizon, row in facts.iterrows()
    ]
    chosen = next(rung for rung in result.models.ladder if rung.chosen)
    lines.append(f"Rung chosen: {chosen.name} ({chosen.reason}).")
    refused = [d for d in result.models.decisions if not d.used]
    return lines + [f"Refused by the field policy: {d.feature}, {d.reason}." for d in refused]


def as_markdown(result: Result) -> str:
    """For the documentation."""
    heads = ["", *LABELS.values()]
    lines = [heads, ["---", *("---:" for _ in heads[1:])], *_rows_of(result)]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return "\n".join([table, *(f"- {line}" for line in _about(result))]) + "\n"


@click.command(help="Leads of the Olist funnel: fit, forecast and measure with a split by time.")
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Put the table into this document, between its marks.",
)
def main(markdown: Path | None) -> None:
    result = run_olist_funnel(load())
    table = Table(title="Olist marketing funnel", caption="\n".join(_about(result)), caption_justify="left")
    for number, head in enumerate(["", *LABELS.values()]):
        table.add_column(head, justify="right" if number else "left")
    for row in _rows_of(result):
        table.add_row(*row)
    Console().print(table)
    if markdown is not None:
        put_between_marks(markdown, NAME, as_markdown(result))


if __name__ == "__main__":
    sys.exit(run_command(main, None, "python -m benchmarks.real.olist_funnel"))
