"""Questions: answered in fact, they move the score to exactly what was foretold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from forecast.bundle import Bundle, load_bundle
from forecast.features import ANSWERS
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.periods import Period, as_of_us
from forecast.scoring import QUESTION_COLUMNS, answer_rates, open_questions, score_open_deals
from forecast.tables import Tables

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
LAST_INSTANT = AS_OF - pd.Timedelta(1, "us")
QUARTER = Period.parse("2026Q1")


@pytest.fixture(scope="module")
def bundle(trained_bundle: Path) -> Bundle:
    return load_bundle(trained_bundle)


@pytest.fixture(scope="module")
def asked(sample_history: History, bundle: Bundle) -> pd.DataFrame:
    return open_questions(sample_history, bundle, AS_OF)


def answered(tables: Tables, found: pd.DataFrame, value: str) -> Tables:
    """The same company once these questions have been answered in the last instant."""
    events = pd.DataFrame(
        {"deal_id": found["deal_id"], "recorded_at": LAST_INSTANT, "field": found["question"], "value": value}
    )
    together = pd.concat([tables.deal_events, events], ignore_index=True)
    return replace(tables, deal_events=together.astype(tables.deal_events.dtypes))


@pytest.mark.parametrize(("value", "column"), [("1", "if_confirmed"), ("0", "if_absent")])
@pytest.mark.parametrize("question", ANSWERS)
def test_an_answer_moves_the_score_to_exactly_what_was_foretold(
    question: str, value: str, column: str, asked: pd.DataFrame, sample_tables: Tables, bundle: Bundle
) -> None:
    mine = asked[asked["question"] == question].set_index("deal_id")
    assert len(mine) > 10
    history = History.from_tables(answered(sample_tables, mine.reset_index(), value))
    scores = score_open_deals(history, bundle, AS_OF, reasons=0).set_index("deal_id")
    assert scores.loc[mine.index, "win_probability"].tolist() == mine[column].tolist()
    assert not set(open_questions(history, bundle, AS_OF).query("question == @question")["deal_id"])


@pytest.mark.parametrize("period", [None, QUARTER], ids=["without a period", "with a period"])
def test_the_probability_now_is_the_score_to_the_last_bit(
    period: Period | None, sample_history: History, bundle: Bundle
) -> None:
    found = open_questions(sample_history, bundle, AS_OF, period=period)
    scores = score_open_deals(sample_history, bundle, AS_OF, period=period, reasons=0).set_index("deal_id")
    expected = scores.loc[found["deal_id"], "win_probability"]
    assert found["win_probability"].tolist() == expected.tolist()


def test_every_open_question_is_asked_and_no_other(
    asked: pd.DataFrame, sample_history: History, bundle: Bundle
) -> None:
    at_us = as_of_us(AS_OF)
    deal = sample_history.open_deals(at_us)
    features = bundle.models.features(sample_history, deal, np.full(len(deal), at_us))
    open_ = {
        (sample_history.deal_ids[one], name)
        for name in ANSWERS
        for one, value in zip(deal, features[name], strict=True)
        if np.isnan(value) or 0 < value < 1
    }
    assert set(zip(asked["deal_id"], asked["question"], strict=True)) == open_
    assert asked.columns.tolist() == list(QUESTION_COLUMNS)


def test_an_answer_in_part_is_asked_again(sample_tables: Tables, bundle: Bundle, asked: pd.DataFrame) -> None:
    first = asked.head(1)
    history = History.from_tables(answered(sample_tables, first, "0.5"))
    again = open_questions(history, bundle, AS_OF)
    keys = ["deal_id", "question"]
    assert len(again.merge(first[keys], on=keys)) == 1


def test_the_move_expected_is_the_mean_deviation_of_two_outcomes(asked: pd.DataFrame) -> None:
    q, yes, no = (asked[name].to_numpy() for name in ("confirmed_share", "if_confirmed", "if_absent"))
    mean = q * yes + (1 - q) * no
    expected = q * np.abs(yes - mean) + (1 - q) * np.abs(no - mean)
    np.testing.assert_allclose(asked["expected_move"], expected, atol=1e-15)
    assert ((q > 0) & (q < 1)).all()


def test_the_question_worth_most_stands_first(asked: pd.DataFrame) -> None:
    assert asked["deal_id"].is_monotonic_increasing
    for _, mine in asked.groupby("deal_id"):
        assert mine["expected_move"].is_monotonic_decreasing


def test_some_of_the_deals_are_asked_as_all_of_them_are(
    asked: pd.DataFrame, sample_history: History, bundle: Bundle
) -> None:
    some = sample_history.open_deals(as_of_us(AS_OF))[[40, 3]]
    found = open_questions(sample_history, bundle, AS_OF, deal=some)
    ids = sample_history.deal_ids[some].tolist()
    assert found["deal_id"].drop_duplicates().tolist() == [one for one in ids if one in set(asked["deal_id"])]
    same = asked.merge(found[["deal_id", "question"]], on=["deal_id", "question"])
    other = found.sort_values(["deal_id", "expected_move"], ascending=[True, False], ignore_index=True)
    assert_frame_equal(other, same, check_exact=True)


def test_words_are_in_the_asked_language(sample_history: History, bundle: Bundle) -> None:
    italian = open_questions(sample_history, bundle, AS_OF, locale="it")
    line = italian[italian["question"] == "budget"].iloc[0]
    assert line["text"].startswith("Chiedere del budget: se confermato ")
    assert line["label"] == "budget"
    english = open_questions(sample_history, bundle, AS_OF)
    assert english[english["question"] == "authority"]["text"].str.startswith("Ask who decides: ").all()


def test_the_future_is_invisible(sample_tables: Tables, bundle: Bundle) -> None:
    early = pd.Timestamp("2025-06-01", tz="UTC")
    deals, events = sample_tables.deals, sample_tables.deal_events
    activities = sample_tables.activities
    past = replace(
        sample_tables,
        deals=deals[deals["created_at"] < early],
        deal_events=events[events["recorded_at"] < early],
        activities=activities[activities["occurred_at"] < early],
    )
    whole, cut = (
        open_questions(History.from_tables(tables), bundle, early) for tables in (sample_tables, past)
    )
    assert len(whole) > 50
    assert_frame_equal(whole, cut, check_exact=True)


def test_a_model_that_reads_no_answers_asks_nothing(sample_history: History, bundle: Bundle) -> None:
    cells = fit_models(sample_history, AS_OF, FitSettings(min_closed_deals=10**6, max_landmarks=2_000))
    found = open_questions(sample_history, replace(bundle, models=cells), AS_OF)
    assert found.empty
    assert found.columns.tolist() == list(QUESTION_COLUMNS)


# -- how often the answer was yes ---------------------------------------------------------------------------


def history_of_answers(*answers: tuple[str, str, str, str]) -> History:
    """(deal, day, field, value): every deal enters `meeting` on 1 January 2025."""
    deals = sorted({deal for deal, *_ in answers})
    events = [(deal, "2025-01-01", "stage", "meeting") for deal in deals] + list(answers)
    return History.from_tables(
        Tables.from_frames(
            stages=pd.DataFrame(
                [("sales", "meeting", 1, "open"), ("sales", "offer", 2, "open"), ("sales", "won", 3, "won")],
                columns=["pipeline", "stage", "position", "kind"],
            ),
            deals=pd.DataFrame({"deal_id": deals, "created_at": pd.Timestamp("2025-01-01", tz="UTC")}),
            deal_events=pd.DataFrame(events, columns=["deal_id", "recorded_at", "field", "value"]).assign(
                recorded_at=lambda found: pd.to_datetime(found["recorded_at"], utc=True)
            ),
        )
    )


BUDGET = ANSWERS.index("budget")


def test_rates_count_first_answers_by_stage_drawn_to_all_stages() -> None:
    history = history_of_answers(
        *((f"m{i}", "2025-02-01", "budget", "1" if i < 15 else "0") for i in range(20)),
        *((f"o{i}", "2025-03-01", "stage", "offer") for i in range(10)),
        *((f"o{i}", "2025-03-02", "budget", "0") for i in range(10)),
        ("m0", "2025-04-01", "budget", "0"),  # a change of mind is no first answer
    )
    rates = answer_rates(history, AS_OF)
    overall = (15 + 1) / (30 + 2)
    assert rates.answers[BUDGET].tolist() == [20, 10, 0]
    np.testing.assert_allclose(
        rates.share[BUDGET], [(15 + 10 * overall) / 30, (0 + 10 * overall) / 20, overall]
    )


def test_an_answer_written_at_closing_or_later_teaches_nothing() -> None:
    history = history_of_answers(
        ("a", "2025-02-01", "stage", "won"),
        ("a", "2025-02-01", "budget", "1"),
        ("b", "2025-02-01", "stage", "won"),
        ("b", "2025-02-03", "budget", "1"),
        ("c", "2025-02-01", "budget", "0.5"),
        ("d", "2026-06-01", "budget", "1"),  # after the as-of moment
    )
    rates = answer_rates(history, AS_OF)
    assert rates.answers[BUDGET].sum() == 1
    assert rates.share[BUDGET][0] == pytest.approx(0.5)


def test_without_any_answer_yes_is_as_likely_as_no() -> None:
    rates = answer_rates(history_of_answers(("a", "2025-02-01", "amount", "5")), AS_OF)
    assert (rates.share == 0.5).all()
    assert (rates.answers == 0).all()
