"""Scores: the contract's columns, laws of probability, reasons that add up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast.bundle import load_bundle
from forecast.errors import UsageError
from forecast.history import History
from forecast.models import DealClock, FittedModels, Level
from forecast.periods import Period, as_of_us
from forecast.scoring import HORIZONS_DAYS, SCORE_COLUMNS, score_deals, score_open_deals

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
CONTRACT = [
    *("deal_id", "as_of", "pipeline", "owner_id", "stage", "amount", "win_probability"),
    *("won_14d", "won_30d", "won_60d", "won_90d", "won_180d", "won_365d"),
    *("lost_14d", "lost_30d", "lost_60d", "lost_90d", "lost_180d", "lost_365d"),
    *("won_in_period", "close_on_p10", "close_on_p50", "close_on_p90"),
    *("amount_if_won", "expected_bookings", "score", "grade", "reasons"),
]


@pytest.fixture(scope="module")
def scores(sample_history: History, trained_bundle: Path) -> pd.DataFrame:
    return score_open_deals(
        sample_history, load_bundle(trained_bundle), AS_OF, period=Period.parse("2026Q1"), reasons=100
    )


def test_columns_are_the_contract_to_the_letter(scores: pd.DataFrame) -> None:
    assert list(scores.columns) == CONTRACT == list(SCORE_COLUMNS)


def test_one_row_per_open_deal_in_order_of_id(scores: pd.DataFrame, sample_history: History) -> None:
    expected = sample_history.deal_ids[sample_history.open_deals(as_of_us(AS_OF))]
    assert scores["deal_id"].tolist() == expected.tolist()
    assert len(scores) > 20


def test_incidence_never_falls_and_stays_a_probability(scores: pd.DataFrame) -> None:
    won = scores[[f"won_{h}d" for h in HORIZONS_DAYS]].to_numpy()
    lost = scores[[f"lost_{h}d" for h in HORIZONS_DAYS]].to_numpy()
    assert (np.diff(won, axis=1) >= 0).all()
    assert (np.diff(lost, axis=1) >= 0).all()
    assert ((won + lost) <= 1 + 1e-12).all()
    assert (won >= 0).all()
    assert (scores["win_probability"] >= scores["won_365d"]).all()


def test_close_dates_are_ordered_and_after_the_moment(scores: pd.DataFrame) -> None:
    dates = scores[["close_on_p10", "close_on_p50", "close_on_p90"]].to_numpy()
    assert (dates[:, 0] >= AS_OF.tz_localize(None).to_datetime64()).all()
    assert (dates[:, 0] <= dates[:, 1]).all()
    assert (dates[:, 1] <= dates[:, 2]).all()


def test_expected_bookings_are_chance_times_amount(scores: pd.DataFrame) -> None:
    np.testing.assert_allclose(
        scores["expected_bookings"], scores["win_probability"] * scores["amount_if_won"]
    )


def test_scores_rank_as_probabilities_do(scores: pd.DataFrame) -> None:
    ordered = scores.sort_values("win_probability")
    assert ordered["score"].is_monotonic_increasing
    assert scores["score"].between(1, 100).all()
    grades = ordered.drop_duplicates("grade")["grade"].tolist()
    assert grades == sorted(grades, reverse=True)


def test_one_deal_scores_as_it_does_in_the_list(sample_history: History, trained_bundle: Path) -> None:
    bundle = load_bundle(trained_bundle)
    deal = sample_history.open_deals(as_of_us(AS_OF))
    together = score_deals(sample_history, bundle, deal, AS_OF)
    for place in (0, 7, len(deal) - 1):
        alone = score_deals(sample_history, bundle, deal[place : place + 1], AS_OF)
        pd.testing.assert_frame_equal(
            alone, together.iloc[place : place + 1].reset_index(drop=True), check_exact=True
        )


def test_the_period_is_part_of_the_horizon(scores: pd.DataFrame) -> None:
    """2026Q1 lies 0 to 90 days after 1 January."""
    np.testing.assert_allclose(scores["won_in_period"], scores["won_90d"], rtol=1e-9)


def test_a_period_that_is_over_is_refused(sample_history: History, trained_bundle: Path) -> None:
    with pytest.raises(UsageError, match="2025Q4 ended before"):
        score_open_deals(sample_history, load_bundle(trained_bundle), AS_OF, period=Period.parse("2025Q4"))


def test_a_period_beyond_the_cap_is_refused(sample_history: History, trained_bundle: Path) -> None:
    with pytest.raises(UsageError, match="beyond the cap of 730 days"):
        score_open_deals(sample_history, load_bundle(trained_bundle), AS_OF, period=Period.parse("2028Q4"))


def test_a_model_of_your_own_needs_only_the_small_interface(
    sample_models: FittedModels, sample_history: History
) -> None:
    """The documented seam: coefficients on a basis. Here a coin that is thrown at random times."""
    from dataclasses import replace

    class Coin:
        name, groups = "coin", ("stage",)
        bins = sample_models.outcome.bins
        basis = np.ones((1, len(sample_models.outcome.bins)))
        reference = np.log(np.full((2, 1), 0.01))
        baseline = np.zeros((2, len(sample_models.outcome.bins)))

        def coefficients(self, features: object) -> np.ndarray:
            return np.broadcast_to(self.reference, (len(features), 2, 1)).copy()  # type: ignore[arg-type]

        def explain(self, features: object) -> tuple[np.ndarray, np.ndarray]:
            coefficients = self.coefficients(features)
            return coefficients, (coefficients - self.reference)[:, None]

        def to_json(self) -> dict[str, object]:
            return {}

    models = replace(
        sample_models,
        outcome=Coin(),
        seasons=(sample_models.seasons[0],) * 2,
        clock=DealClock.flat(),
        level=Level.none(),
    )
    deal = sample_history.open_deals(as_of_us(AS_OF))
    chance = models.incidence(sample_history, deal, as_of_us(AS_OF), [730.0])
    np.testing.assert_allclose(chance[:, 1], chance[:, 2], rtol=1e-9)


def test_blocks_that_are_worked_on_at_once_change_nothing(
    sample_history: History, trained_bundle: Path, scores: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forecast.scoring.scores._BLOCK", 7)
    again = score_open_deals(
        sample_history, load_bundle(trained_bundle), AS_OF, period=Period.parse("2026Q1"), reasons=100
    )
    pd.testing.assert_frame_equal(again, scores, check_exact=True)
