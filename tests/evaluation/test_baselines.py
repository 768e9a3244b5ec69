"""Baselines on a company small enough to count by hand, and on the sample."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sksurv.nonparametric import cumulative_incidence_competing_risks

from forecast.evaluation.baselines import (
    AalenJohansenByStage,
    Baseline,
    BaseRate,
    ClosedOnly,
    StageRate,
    StageWeighted,
    aalen_johansen,
    all_baselines,
    booked_amount,
    seller_commit_amounts,
    stage_weighted_amounts,
)
from forecast.history import History, Landmarks, StageMap, make_landmarks
from forecast.periods import DAY_US, Period, as_of_us
from forecast.tables import Money

STAGES = StageMap.from_frame(
    pd.DataFrame(
        {
            "pipeline": "sales",
            "stage": ["talk", "offer", "won", "lost"],
            "position": range(4),
            "kind": ["open", "open", "won", "lost"],
            "default_probability": [0.2, np.nan, 1.0, 0.0],
            "label": None,
        }
    )
)
MONEY = Money("EUR", ("EUR",), (np.array([0]),), (np.array([1.0]),))
MARCH = int(pd.Timestamp("2025-03-01", tz="UTC").value // 1000)
HORIZONS = (30, 90)


def deal(name: str, *stages: tuple[str, str], **columns: object) -> dict[str, object]:
    """A deal as a request sends it; stages are (date, stage)."""
    moved = [{"field": "stage", "value": stage, "recorded_at": f"{on}T00:00:00Z"} for on, stage in stages]
    return {"deal_id": name, "created_at": f"{stages[0][0]}T00:00:00Z", "events": moved, **columns}


@pytest.fixture(scope="module")
def company() -> History:
    """Two decided deals, one that went through both stages; open deals with and without a seller's date."""
    open_in_talk = [("2025-01-05", "talk")]
    return History.from_request(
        [
            deal("0-undated", *open_in_talk, amount=1000.0),
            deal(
                "1-won", ("2025-01-05", "talk"), ("2025-01-20", "offer"), ("2025-02-10", "won"), amount=500.0
            ),
            deal("2-lost", ("2025-01-05", "talk"), ("2025-02-02", "lost"), amount=50.0),
            deal("3-due", *open_in_talk, amount=100.0, expected_close_on="2025-03-20"),
            deal("4-later", *open_in_talk, amount=10.0, expected_close_on="2025-05-20"),
            deal("5-overdue", *open_in_talk, amount=1.0, expected_close_on="2025-02-20"),
            deal(
                "6-offer",
                ("2025-01-05", "offer"),
                amount=2000.0,
                expected_close_on="2025-03-01",
                forecast_category="commit",
            ),
        ],
        stages=STAGES,
        money=MONEY,
    )


@pytest.fixture(scope="module")
def landmarks(company: History) -> Landmarks:
    return make_landmarks(company, until_us=MARCH)


def ask(baseline: Baseline, company: History, landmarks: Landmarks) -> dict[str, np.ndarray]:
    """Fitted on the landmarks, asked on 1 March about every open deal: name -> probabilities."""
    baseline.fit(company, landmarks)
    deals = company.open_deals(MARCH)
    asked = baseline.predict(company, deals, np.full(deals.shape, MARCH), HORIZONS)
    assert asked.shape == (len(deals), len(HORIZONS))
    return dict(zip(company.deal_ids[deals], asked, strict=True))


def test_stage_rate_counts_each_decided_deal_once_a_stage_and_knows_no_time(
    company: History, landmarks: Landmarks
) -> None:
    asked = ask(StageRate(), company, landmarks)
    # Overall 1 of 2. Talk saw both deals, offer the won one; to each, one deal of the overall rate is added.
    assert asked["0-undated"] == pytest.approx([(1 + 0.5) / 3] * 2)
    assert asked["6-offer"] == pytest.approx([(1 + 0.5) / 2] * 2)


def test_stage_weighted_goes_by_the_sellers_date(company: History, landmarks: Landmarks) -> None:
    asked = ask(StageWeighted(), company, landmarks)
    assert asked["3-due"] == pytest.approx([0.2, 0.2])
    assert asked["4-later"] == pytest.approx([0.0, 0.2])
    assert asked["5-overdue"] == pytest.approx([0.0, 0.0])
    assert asked["0-undated"] == pytest.approx([0.2, 0.2])
    # No probability of the CRM's for offer: its stage rate. Due today is due.
    assert asked["6-offer"] == pytest.approx([0.75, 0.75])


def test_aalen_johansen_equals_scikit_survival() -> None:
    rng = np.random.default_rng(2)
    days, cause = np.ceil(rng.exponential(40, 300)), rng.integers(0, 3, 300)
    every = Landmarks(np.arange(300), np.zeros(300, int), days, cause.astype(np.int8), np.ones(300))
    times, values = aalen_johansen(every)
    their_times, theirs = cumulative_incidence_competing_risks(cause, days)
    np.testing.assert_allclose(
        values[np.searchsorted(times, their_times, side="right")], theirs[1], rtol=1e-12
    )


def test_base_rate_is_the_incidence_of_all_and_by_stage_that_of_the_stage(
    company: History, landmarks: Landmarks
) -> None:
    stage = company.stage(landmarks.deal, landmarks.at_us)

    def incidence(rows: Landmarks) -> list[float]:
        times, values = aalen_johansen(rows)
        return [float(values[np.searchsorted(times, horizon, side="left")]) for horizon in HORIZONS]

    for probability in ask(BaseRate(), company, landmarks).values():
        assert probability == pytest.approx(incidence(landmarks))
    by_stage = ask(AalenJohansenByStage(), company, landmarks)
    assert by_stage["3-due"] == pytest.approx(incidence(landmarks.take(stage == 0)))
    assert by_stage["6-offer"] == pytest.approx(incidence(landmarks.take(stage == 1)))


def test_closed_only_falls_back_to_the_share_won_with_too_few_deals(
    company: History, landmarks: Landmarks
) -> None:
    decided = landmarks.take(landmarks.cause != 0)
    won = decided.cause == 1
    asked = ask(ClosedOnly(), company, landmarks)
    assert asked["0-undated"] == pytest.approx(
        [won.mean() * np.mean(decided.duration_days[won] < 30), won.mean()]
    )


@pytest.mark.parametrize("baseline", all_baselines(), ids=lambda one: one.name)
def test_every_baseline_says_something_with_nothing_to_learn_from(
    company: History, baseline: Baseline
) -> None:
    nothing = make_landmarks(company, until_us=MARCH).take(np.zeros(0, dtype=np.int64))
    for probability in ask(baseline, company, nothing).values():
        assert np.isfinite(probability).all()
        assert ((probability >= 0) & (probability <= 1)).all()


def test_bookings_by_rule_of_thumb(company: History) -> None:
    quarter, moment = Period.parse("2025Q1"), MARCH
    weighted = stage_weighted_amounts(company, moment, quarter).set_index("deal_id")["amount"]
    assert weighted["3-due"] == pytest.approx(0.2 * 100)
    assert weighted["0-undated"] == 0.0, "nobody says when"
    assert weighted["4-later"] == 0.0
    assert weighted["5-overdue"] == pytest.approx(0.2 * 1), (
        "its date lies in the quarter, though before today"
    )
    assert weighted["6-offer"] == 0.0, "no probability of the CRM's"
    other = stage_weighted_amounts(company, moment, quarter, otherwise=np.full(4, 0.5)).set_index("deal_id")
    assert other["amount"]["6-offer"] == pytest.approx(1000.0)
    commit = seller_commit_amounts(company, moment, quarter)
    assert commit[["deal_id", "amount"]].to_numpy().tolist() == [["6-offer", 2000.0]]
    assert booked_amount(company, moment, quarter) == 500.0
    assert booked_amount(company, as_of_us(pd.Timestamp("2025-02-10", tz="UTC")), quarter) == 0.0


@pytest.mark.parametrize("baseline", all_baselines(), ids=lambda one: one.name)
def test_no_baseline_sees_the_future(sample_history: History, baseline: Baseline) -> None:
    """Asked in mid-2024, a baseline says the same whether later records exist or not."""
    moment = as_of_us(pd.Timestamp("2024-07-01", tz="UTC"))
    learn = make_landmarks(sample_history, until_us=moment)
    columns = sample_history.columns
    known = columns.entry_at_us < moment
    cut = History.from_columns(
        type(columns)(
            **{
                name: getattr(columns, name)[known] if name.startswith("entry_") else getattr(columns, name)
                for name in columns.__dataclass_fields__
            }
        )
    )
    deals = sample_history.open_deals(moment)
    asked = []
    for history in (sample_history, cut):
        baseline.fit(history, make_landmarks(history, until_us=moment))
        asked.append(baseline.predict(history, deals, np.full(deals.shape, moment), (30, 90, 365)))
    np.testing.assert_array_equal(asked[0], asked[1])
    assert np.all(np.diff(asked[0], axis=1) >= 0.0), "a longer horizon cannot be less likely"
    assert len(learn) > 1000
    assert (learn.at_us + learn.duration_days * DAY_US).max() <= moment
