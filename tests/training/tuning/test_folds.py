"""Inner folds lie before the held-out period, whatever the history; their loss is a plain Brier score."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from forecast.errors import DataError
from forecast.evaluation.scoreboard import measure
from forecast.history import WON, History, StageMap, make_landmarks
from forecast.models import FitSettings, fit_models
from forecast.periods import DAY_US, as_of_us
from forecast.tables import Money, Tables, empty_tables
from training.tuning.folds import Fold, Looks, choose_folds

BEFORE = pd.Timestamp("2025-07-04", tz="UTC")


def history_of(days: float) -> History:
    """A history that begins so many days before the held-out period."""
    first = (BEFORE - pd.Timedelta(days=days)).isoformat()
    stages = pd.DataFrame(
        {
            "pipeline": "sales",
            "stage": ["talk", "won"],
            "position": range(2),
            "kind": ["open", "won"],
            "default_probability": 0.2,
            "label": None,
        }
    )
    events = [{"field": "stage", "value": "talk", "recorded_at": first}]
    deal = {"deal_id": "a", "created_at": first, "events": events}
    money = Money.from_tables(empty_tables(), "EUR")
    return History.from_request([deal], stages=StageMap.from_frame(stages), money=money)


@settings(max_examples=100, deadline=None)
@given(
    days=st.integers(1, 3_000), horizons=st.lists(st.integers(1, 400), min_size=1, max_size=4, unique=True)
)
def test_every_fold_ends_before_the_held_out_period_and_can_tell_something(
    days: int, horizons: list[int]
) -> None:
    history = history_of(days)
    try:
        folds = choose_folds(history, BEFORE, tuple(horizons))
    except DataError as error:
        assume(False)
        raise AssertionError from error
    begin = BEFORE - pd.Timedelta(days=days)
    assert 2 <= len(folds) <= 4
    for fold in folds:
        assert fold.end <= BEFORE
        assert (fold.end - fold.origin).days >= fold.horizons_days[0] + fold.horizons_days[-1]
        # A day is lost where origins are brought to midnight.
        assert (fold.origin - begin).days >= days // 3 - 1
        assert set(fold.horizons_days) <= set(horizons)
    assert all((new.origin - old.origin).days >= 14 for new, old in pairwise(folds))


def test_the_example_of_the_module_comes_out() -> None:
    folds = choose_folds(history_of(1300), pd.Timestamp("2025-07-05", tz="UTC"), (30, 90))
    assert [f"{fold.origin:%Y-%m-%d} {fold.end:%Y-%m-%d}" for fold in folds] == [
        "2025-01-06 2025-07-05",
        "2024-10-08 2025-04-06",
        "2024-07-10 2025-01-06",
        "2024-04-11 2024-10-08",
    ]


def test_too_little_history_is_told_with_what_it_takes() -> None:
    with pytest.raises(DataError, match=r"100 days of history before 2025-07-04.*30 days ahead need 111"):
        choose_folds(history_of(100), BEFORE, (30, 90))
    assert choose_folds(history_of(150), BEFORE, (30, 90))[0].horizons_days == (30,)


@pytest.fixture(scope="module")
def looks(sample_history: History) -> Looks:
    return Looks.of(sample_history, choose_folds(sample_history, BEFORE, (30, 90))[0], 7.0)


class Says:
    """A model that says what it is told."""

    def __init__(self, chance: Any) -> None:
        self.chance = chance

    def win_probability(self, _history: History, deal: Any, _at_us: Any, horizons: Any) -> Any:
        return np.broadcast_to(self.chance, (len(deal), len(horizons)))


def test_the_best_constant_loses_1_and_who_knows_everything_0(looks: Looks, sample_history: History) -> None:
    known = looks.weight > 0.0
    constant = np.array([looks.won[known[:, h], h].mean() for h in range(2)])
    assert looks.losses(Says(constant), sample_history).sum() == pytest.approx(1.0)  # type: ignore[arg-type]
    assert looks.losses(Says(looks.won), sample_history).sum() == 0.0  # type: ignore[arg-type]
    # Any other constant loses more: the score is proper.
    assert looks.losses(Says(constant + 0.02), sample_history).sum() > 1.0  # type: ignore[arg-type]


def test_the_loss_is_the_scoreboard_s_brier_score_in_units_of_the_constant(
    looks: Looks, sample_history: History
) -> None:
    marks = looks.landmarks
    chance = np.random.default_rng(1).random((len(marks), 2))
    table = measure(marks, {"one": chance}, (30, 90), until_us=as_of_us(looks.fold.end)).set_index(
        ["metric", "horizon_days"]
    )["value"]
    share = {h: table["share_won", h] for h in (30, 90)}
    expected = np.mean([table["brier", h] / (share[h] * (1 - share[h])) for h in (30, 90)])
    losses = looks.losses(Says(chance), sample_history)  # type: ignore[arg-type]
    assert losses.sum() == pytest.approx(expected)
    # And each deal's part is that of its own looks.
    deal = int(marks.deal[0])
    mine = marks.deal == deal
    assert losses[deal] == pytest.approx(
        sum((looks.weight[mine] * (looks.won[mine] - chance[mine]) ** 2).sum(axis=1)) / 2
    )


def test_nothing_recorded_in_the_held_out_period_moves_a_fold(sample_tables: Tables) -> None:
    """The same loss, to the last bit, whether the held-out period is there, gone, or another one."""
    events = sample_tables.deal_events
    late = (events["recorded_at"] >= BEFORE).to_numpy()
    frames = {name: sample_tables[name] for name in ("stages", "users", "quotas", "fx_rates", "activities")}
    known = events[~late]
    staged = known.loc[known["field"] == "stage", "deal_id"].unique()
    # The deals that came later exist in either case, so that numbers of deals stay the same.
    kept = sample_tables.deals[sample_tables.deals["deal_id"].isin(staged)]
    activities = frames["activities"][frames["activities"]["deal_id"].isin(staged)]

    def loss(deal_events: pd.DataFrame, activities: pd.DataFrame) -> Any:
        history = History.from_tables(
            Tables.from_frames(
                **(frames | {"activities": activities}),
                deals=kept,
                deal_events=deal_events[deal_events["deal_id"].isin(staged)],
            )
        )
        fold = choose_folds(history, BEFORE, (30, 90))[0]
        quick = FitSettings(max_landmarks=1_000, windows=1, ridge_grid=(12.0,), min_boosted_deals=10**6)
        return Looks.of(history, fold, 7.0).losses(fit_models(history, fold.origin, quick), history)

    gone = loss(known, activities[activities["occurred_at"] < BEFORE])
    there = loss(events, activities)
    scrambled = events.copy()
    rng = np.random.default_rng(3)
    stage = late & (events["field"] == "stage").to_numpy()
    scrambled.loc[stage, "value"] = rng.permutation(events.loc[stage, "value"].to_numpy())
    other = loss(scrambled, activities)
    assert gone.sum() > 0.0
    np.testing.assert_array_equal(there, gone)
    np.testing.assert_array_equal(other, gone)


def test_a_horizon_at_which_all_fared_alike_says_nothing() -> None:
    history = history_of(400)  # one deal, never won
    fold = choose_folds(history, BEFORE, (30, 90))[0]
    looks = Looks.of(history, fold, 7.0)
    assert looks.scored == 0
    assert looks.losses(Says(0.3), history).sum() == 0.0  # type: ignore[arg-type]


def test_outcomes_after_the_fold_are_not_seen(sample_history: History) -> None:
    fold = Fold(BEFORE - pd.Timedelta(days=120), BEFORE, (30, 90))
    looks = Looks.of(sample_history, fold, 7.0)
    marks = looks.landmarks
    ends = marks.at_us + marks.duration_days * DAY_US
    assert (ends <= as_of_us(BEFORE) + 1).all()
    everything = make_landmarks(
        sample_history, until_us=as_of_us(BEFORE) + 200 * DAY_US, first_us=as_of_us(fold.origin)
    )
    assert (everything.cause == WON).sum() > (marks.cause == WON).sum()
