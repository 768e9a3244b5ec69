"""A monitor on a company with known changes: what it finds, what it leaves alone, that it sees no future."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drift_cases import (
    AS_OF,
    QUICK,
    TRAINED_UNTIL,
    monitored,
    replaced,
    with_a_renamed_stage,
    with_a_silent_field,
    without_deals_created_since,
)

from forecast.errors import UsageError
from forecast.evaluation.drift import SCORE, Monitoring
from forecast.evaluation.drift.looks import WEEK_US, week_starts
from forecast.history import History
from forecast.models import FittedModels, fit_models
from forecast.periods import as_of_us
from forecast.simulator import Shift, simulate
from forecast.tables import Tables


def kinds(found: Monitoring) -> set[tuple[str, str]]:
    return {(reason.kind, reason.subject) for reason in found.verdict.reasons}


def test_a_company_in_which_nothing_changed_keeps_its_bundle(clean_monitoring: Monitoring) -> None:
    verdict = clean_monitoring.verdict
    assert verdict.action == "keep", verdict.reasons
    assert verdict.enough
    assert verdict.since is None
    assert verdict.evidence.max() < np.log(5)
    assert {part.quarter for part in clean_monitoring.foretold} == {"2025Q3", "2025Q4"}


def test_wins_and_losses_expected_week_by_week_are_about_those_that_came(
    clean_monitoring: Monitoring,
) -> None:
    for name in ("wins", "losses", "created", "pace"):
        question = clean_monitoring.outcomes.question(name)
        assert abs(question.came.sum() - question.expected.sum()) < 2.6 * question.sd[-1], name


def test_half_as_many_deals_are_a_reason_to_train_again(
    clean_tables: Tables, july_models: FittedModels
) -> None:
    found = monitored(without_deals_created_since(clean_tables, 2), july_models)
    assert found.verdict.action == "retrain"
    assert found.verdict.reasons[0].subject == "created"
    assert found.outcomes.question("created").high < 0.8
    assert found.verdict.since is not None
    assert TRAINED_UNTIL < found.verdict.since <= AS_OF


@pytest.mark.slow
def test_fewer_wins_are_a_reason_to_train_again_and_the_cost_is_told() -> None:
    tables = simulate(3000, 3, shift=Shift(TRAINED_UNTIL, win=0.4)).tables
    found = monitored(tables, fit_models(History.from_tables(tables), TRAINED_UNTIL, QUICK))
    assert found.verdict.action == "retrain"
    assert found.verdict.reasons[0].subject == "wins"
    assert found.outcomes.question("wins").high < 0.9
    assert found.verdict.effect is not None
    assert found.verdict.effect < 0


def test_a_stage_nobody_knew_is_put_right_before_anything_else(
    clean_tables: Tables, july_models: FittedModels
) -> None:
    found = monitored(with_a_renamed_stage(clean_tables), july_models)
    assert found.verdict.action == "fix"
    assert found.verdict.reasons[0].kind == "new_stage"
    assert found.inputs.new[0].value == "sales/meeting"
    assert found.inputs.new[0].deals >= 3


def test_a_field_nobody_fills_in_any_more_is_put_right_first(
    clean_tables: Tables, july_models: FittedModels
) -> None:
    found = monitored(with_a_silent_field(clean_tables, "expected_close_on"), july_models)
    assert found.verdict.action == "fix"
    assert ("writes", "expected_close_on") in kinds(found)
    # What is made of the field moved as well, and is not told one by one.
    moved = set(found.inputs.drifted()["field"])
    assert {"days_since_date_change"} <= moved
    assert not {subject for _, subject in kinds(found)} & {"days_since_date_change", "days_to_close"}


def test_only_what_was_recorded_before_the_moment_counts(
    clean_tables: Tables, july_models: FittedModels, clean_monitoring: Monitoring
) -> None:
    """Nine weeks earlier: the same as from data that end there, and the beginning of what is said later."""
    earlier = AS_OF - pd.Timedelta(weeks=9)
    known = replaced(
        clean_tables,
        deal_events=clean_tables.deal_events[clean_tables.deal_events["recorded_at"] < earlier],
        activities=clean_tables.activities[clean_tables.activities["occurred_at"] < earlier],
    )
    found, again = monitored(clean_tables, july_models, earlier), monitored(known, july_models, earlier)
    pd.testing.assert_frame_equal(found.table(), again.table())
    weeks = len(found.verdict.evidence)
    assert found.verdict.evidence == pytest.approx(clean_monitoring.verdict.evidence[:weeks])
    for one in found.outcomes.questions:
        later = clean_monitoring.outcomes.question(one.name)
        if one.enough and one.name != "spread":
            assert one.evidence.log_e == pytest.approx(later.evidence.log_e[:weeks]), one.name


def test_the_order_of_rows_does_not_matter(
    clean_tables: Tables, july_models: FittedModels, clean_monitoring: Monitoring
) -> None:
    rng = np.random.default_rng(0)
    shuffled = {
        name: getattr(clean_tables, name).sample(frac=1.0, random_state=rng)
        for name in ("deals", "deal_events", "activities", "users")
    }
    again = monitored(replaced(clean_tables, **shuffled), july_models)
    pd.testing.assert_frame_equal(again.table(), clean_monitoring.table())


def test_after_a_week_there_is_too_little_to_tell(clean_tables: Tables, july_models: FittedModels) -> None:
    found = monitored(clean_tables, july_models, TRAINED_UNTIL + pd.Timedelta(days=5))
    assert not found.verdict.enough
    assert found.verdict.action == "keep"
    assert all(one.evidence.most == 1.0 for one in found.outcomes.questions if not one.enough)
    assert found.foretold == ()


def test_a_bundle_newer_than_the_data_is_refused(clean_tables: Tables, july_models: FittedModels) -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        monitored(clean_tables, july_models, TRAINED_UNTIL)


def test_the_difference_of_chances_is_made_of_stages_and_of_what_is_within(
    clean_monitoring: Monitoring,
) -> None:
    move = clean_monitoring.inputs.score
    assert move is not None
    assert move.mix + move.within == pytest.approx(move.now - move.then)
    shares = clean_monitoring.inputs.score_shares
    assert shares[["then", "now"]].sum().to_numpy() == pytest.approx([1.0, 1.0])
    assert SCORE in set(clean_monitoring.inputs.table["field"])


def test_the_table_is_long_and_names_its_run(clean_monitoring: Monitoring) -> None:
    table = clean_monitoring.table()
    assert list(table.columns) == ["as_of", "bundle", "week", "part", "name", "measure", "value"]
    assert set(table["part"]) == {"combined", "outcome", "segment", "input"}
    assert table["value"].notna().all()
    assert (table["as_of"] == AS_OF).all()


def test_weeks_are_counted_back_and_cut_at_training() -> None:
    trained, now = as_of_us(TRAINED_UNTIL), as_of_us(TRAINED_UNTIL + pd.Timedelta(days=24))
    starts, ends, first = week_starts(trained, now, before=2)
    assert starts[-first] == trained
    assert starts[-1] == ends[-1] == now
    assert (ends[:-1] == starts[1:]).all()
    spans = (ends - starts)[-first:] / WEEK_US
    assert spans.tolist() == pytest.approx([3 / 7, 1, 1, 1, 0])
