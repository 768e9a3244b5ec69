"""The scoreboard against tables made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.backtest.figures import make_scoreboard, quota_rows
from training.backtest.origin import BOOKINGS_COLUMNS

# Two quarters, two looks each; came: 100 and 200.
SAID = {
    "ours": {("2025Q1", 0): 110.0, ("2025Q1", 6): 90.0, ("2025Q2", 0): 220.0, ("2025Q2", 6): 200.0},
    "last_year": {("2025Q1", 0): 150.0, ("2025Q1", 6): 150.0, ("2025Q2", 0): 150.0, ("2025Q2", 6): 150.0},
    # Has nothing to say at the first look of a quarter.
    "linearity": {("2025Q1", 6): 100.0, ("2025Q2", 6): 160.0},
}
CAME = {"2025Q1": 100.0, "2025Q2": 200.0}


@pytest.fixture(scope="module")
def bookings() -> pd.DataFrame:
    rows = []
    for who, said in SAID.items():
        for (period, week), value in said.items():
            row = dict.fromkeys(BOOKINGS_COLUMNS, np.nan) | {
                "period": period, "week": week, "level": "company", "entity": "*", "forecaster": who,
                "line": "total", "value": value, "actual": CAME[period],
            }  # fmt: skip
            if who == "ours":
                row |= {
                    "p025": value - 60,
                    "p10": value - 15,
                    "p50": value,
                    "p90": value + 15,
                    "p975": value + 60,
                }
                row |= {"quota": 150.0, "attainment_probability": 0.75 if value > 150 else 0.25, "crps": 5.0}
            rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def deals() -> pd.DataFrame:
    """Two deals at two looks of two quarters; the second is never heard of again after the first look."""
    rows = []
    chances = {"ours": (0.6, 0.2), "base_rate": (0.4, 0.4), "actual": (1.0, 0.0)}
    for period in ("2025Q1", "2025Q2"):
        for week in (0, 2):
            for who, (first, second) in chances.items():
                for number, chance in enumerate((first, second)):
                    later = week == 2 and number == 1 and who == "ours"
                    rows.append(
                        {
                            "period": period, "week": week, "deal_id": f"{period}-{number}",
                            "account_id": None if number else f"account {period}", "forecaster": who,
                            "won_in_period": 0.1 if later else chance,
                            "won_by_next": 0.12 if who == "ours" else np.nan,
                            "open_by_next": 0.8 if who == "ours" else np.nan,
                            "quiet": week == 2 and number == 1,
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def board(bookings: pd.DataFrame, deals: pd.DataFrame) -> pd.DataFrame:
    return make_scoreboard(bookings, deals, draws=200, seed=1)


def figure(board: pd.DataFrame, metric: str, forecaster: str = "ours", **keys: str) -> pd.Series:
    keys = {"week": "all"} | keys
    found = board[(board["metric"] == metric) & (board["forecaster"] == forecaster)]
    for name, value in keys.items():
        found = found[found[name] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_errors_by_hand(board: pd.DataFrame) -> None:
    wape = figure(board, "wape", part="bookings")
    assert wape["value"] == pytest.approx((10 + 10 + 20 + 0) / 600)
    assert (wape["rows"], wape["blocks"]) == (4, 2)
    assert figure(board, "bias", part="bookings")["value"] == pytest.approx((10 - 10 + 20 + 0) / 600)
    assert figure(board, "mase", part="bookings")["value"] == pytest.approx(40 / 200)
    assert figure(board, "wape", week="6")["value"] == pytest.approx(10 / 300)
    # Quarters are drawn whole: both looks at the first are off by 10 of 100, at the second by 20 of 400.
    assert (wape["lower"], wape["upper"]) == pytest.approx((20 / 400, 20 / 200))


def test_a_rule_that_is_silent_is_compared_where_it_speaks(board: pd.DataFrame) -> None:
    theirs = figure(board, "wape", "linearity", part="bookings")
    assert (theirs["value"], theirs["rows"]) == (pytest.approx(40 / 300), 2)
    apart = figure(board, "difference_wape", "linearity", part="bookings")
    assert (apart["value"], apart["rows"]) == (pytest.approx((10 + 0 - 40) / 300), 2)
    assert figure(board, "mase", "linearity", part="bookings")["value"] == pytest.approx(40 / 100)


def test_ranges_by_hand(board: pd.DataFrame) -> None:
    assert figure(board, "coverage_80")["value"] == pytest.approx(3 / 4)
    assert figure(board, "width_80")["value"] == pytest.approx(4 * 30 / 600)
    assert figure(board, "coverage_95")["value"] == 1.0
    assert figure(board, "crps")["value"] == pytest.approx(20 / 600)


def test_quota_by_hand(bookings: pd.DataFrame, board: pd.DataFrame) -> None:
    rows = quota_rows(bookings)
    assert (rows["forecaster"] == "ours").sum() == 4
    assert figure(board, "share_reached", "actual")["value"] == 0.5
    assert figure(board, "brier", part="quota")["value"] == pytest.approx(0.0625)
    # 150 reaches a quota of 150: right in the second quarter, wrong in the first.
    assert figure(board, "brier", "last_year", part="quota")["value"] == 0.5
    assert figure(board, "difference_brier", "last_year", part="quota")["value"] == pytest.approx(-0.4375)


def test_chances_by_hand(board: pd.DataFrame) -> None:
    ours = figure(board, "brier", part="deals", horizon="in_period")
    assert ours["value"] == pytest.approx((4 * 0.16 + 2 * 0.04 + 2 * 0.01) / 8)
    base = figure(board, "brier", "base_rate", part="deals")["value"]
    assert base == pytest.approx((0.36 + 0.16) / 2)
    assert figure(board, "skill", part="deals")["value"] == pytest.approx(1 - ours["value"] / base)
    assert figure(board, "auc", part="deals")["value"] == 1.0
    assert figure(board, "auc", "base_rate", part="deals")["value"] == 0.5
    assert figure(board, "difference_brier", "base_rate", part="deals")["value"] == pytest.approx(
        ours["value"] - base
    )
    assert figure(board, "log_loss", "base_rate", part="deals")["value"] == pytest.approx(
        -(np.log(0.4) + np.log(0.6)) / 2
    )


def test_stability_by_hand(board: pd.DataFrame) -> None:
    assert figure(board, "change_total", part="stability")["value"] == pytest.approx((20 + 20) / 300)
    assert figure(board, "change_total", "last_year", part="stability")["value"] == 0.0
    # From 0.2 to 0.1; (0.2 - 0.12) / 0.8 = 0.1 was foretold already.
    assert figure(board, "change_quiet", part="stability")["value"] == pytest.approx(0.1)
    assert figure(board, "change_unexplained", part="stability")["value"] == pytest.approx(0.0)
    assert figure(board, "change_quiet", "base_rate", part="stability")["value"] == 0.0


def test_the_same_seed_gives_the_same_figures(
    bookings: pd.DataFrame, deals: pd.DataFrame, board: pd.DataFrame
) -> None:
    pd.testing.assert_frame_equal(make_scoreboard(bookings, deals, draws=200, seed=1), board)


def test_without_amounts_chances_are_still_measured(deals: pd.DataFrame) -> None:
    found = make_scoreboard(pd.DataFrame(columns=list(BOOKINGS_COLUMNS)), deals, draws=100, seed=1)
    assert set(found["part"]) == {"deals", "stability"}
