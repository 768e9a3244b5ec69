"""A snapshot holds the numbers of `forecast score` and `forecast roll-up`, under an id its inputs decide."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from forecast.bundle import Bundle, load_bundle
from forecast.ledger import Snapshot
from forecast.outlook import history_of, make_outlook
from forecast.periods import Period
from forecast.publishing import Plan, make_snapshot, plan_snapshot
from forecast.receipts import read_as_of
from forecast.rollup.hierarchy import UNASSIGNED
from forecast.scoring import score_open_deals
from forecast.tables import CheckReport, Reading, Tables, known_before

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
QUARTER, YEAR = Period.parse("2026Q1"), Period.parse("2026")


@pytest.fixture(scope="module")
def bundle(trained_bundle: object) -> Bundle:
    return load_bundle(trained_bundle)  # type: ignore[arg-type]


def plan(tables: Tables, bundle: Bundle, *periods: Period, as_of: pd.Timestamp = AS_OF) -> Plan:
    return plan_snapshot(Reading(tables, CheckReport()), bundle, as_of, periods or (QUARTER,))


@pytest.fixture(scope="module")
def made(sample_tables: Tables, bundle: Bundle) -> Snapshot:
    return make_snapshot(plan(sample_tables, bundle, QUARTER, YEAR))


def test_scores_are_those_of_the_command(made: Snapshot, sample_tables: Tables, bundle: Bundle) -> None:
    known = read_as_of(sample_tables, "scores", AS_OF, QUARTER)
    expected = {
        locale: score_open_deals(history_of(known, bundle), bundle, AS_OF, period=QUARTER, locale=locale)
        for locale in ("en", "it")
    }
    same = [
        name for name in expected["en"].columns if name in made.scores and not name.startswith("close_on_")
    ]
    assert len(same) == 23
    assert_frame_equal(made.scores[same], expected["en"][same], check_dtype=False, check_exact=True)
    assert made.scores["reasons_en"].tolist() == expected["en"]["reasons"].tolist()
    assert made.scores["reasons_it"].tolist() == expected["it"]["reasons"].tolist()
    assert (
        made.scores["close_on_p50"].tolist()
        == expected["en"]["close_on_p50"].dt.strftime("%Y-%m-%d").tolist()
    )


@pytest.mark.parametrize("period", [QUARTER, YEAR], ids=lambda span: span.label)
def test_forecasts_are_those_of_the_command(
    made: Snapshot, sample_tables: Tables, bundle: Bundle, period: Period
) -> None:
    known = read_as_of(sample_tables, "bookings", AS_OF, period)
    expected = make_outlook(known, bundle, as_of=AS_OF, period=period, reasons=0).bookings.table
    found = made.forecasts[made.forecasts["period"] == period.label].reset_index(drop=True)
    columns = [name for name in expected.columns if name != "as_of"]
    assert_frame_equal(found[columns], expected[columns], check_exact=True)


def test_curves_pass_through_the_scores_and_never_fall(made: Snapshot) -> None:
    days = list(made.curve_days)
    curves = np.array([json.loads(text) for text in made.scores["curve"]])
    assert curves.shape == (len(made.scores), 2, len(days))
    for horizon in (14, 30, 60, 90, 180, 365):
        for side, name in enumerate(("won", "lost")):
            column = made.scores[f"{name}_{horizon}d"]
            np.testing.assert_allclose(curves[:, side, days.index(horizon)], column, atol=1e-6)
    assert (np.diff(curves, axis=2) >= -1e-6).all()
    assert (curves.sum(axis=1) <= 1 + 2e-6).all()


def test_everybody_is_in_the_team_of_the_roll_up(made: Snapshot, sample_tables: Tables) -> None:
    teams = sample_tables.users.set_index("user_id")["team"]
    assert made.scores["team"].tolist() == made.scores["owner_id"].map(teams).fillna(UNASSIGNED).tolist()
    users = made.forecasts[made.forecasts["level"] == "user"]
    assert users["team"].tolist() == users["entity"].map(teams).fillna(UNASSIGNED).tolist()
    assert made.forecasts.loc[made.forecasts["level"] != "user", "team"].isna().all()
    by_team = made.forecasts[(made.forecasts["level"] == "team") & (made.forecasts["period"] == "2026Q1")]
    of_users = users[users["period"] == "2026Q1"].groupby("team")["expected"].sum()
    np.testing.assert_allclose(by_team["expected"], of_users[by_team["entity"]], rtol=1e-9)


def test_the_same_inputs_are_the_same_snapshot_and_what_came_later_is_no_input(
    sample_tables: Tables, bundle: Bundle
) -> None:
    name = plan(sample_tables, bundle).id
    assert plan(sample_tables, bundle).id == name
    assert plan(known_before(sample_tables, AS_OF), bundle).id == name


def test_any_other_input_is_another_snapshot(sample_tables: Tables, bundle: Bundle) -> None:
    earlier = AS_OF - pd.Timedelta(days=1)
    ids = {
        plan(sample_tables, bundle).id,
        plan(sample_tables, bundle, as_of=earlier).id,
        plan(sample_tables, bundle, YEAR).id,
        plan(sample_tables, bundle, QUARTER, YEAR).id,
        plan(sample_tables, bundle, YEAR, QUARTER).id,
    }
    assert len(ids) == 5
