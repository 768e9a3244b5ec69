"""The log of promotions: one order, one answer, whoever reads it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forecast.promotion.log import FIRST, FOLLOW, PROMOTE, REFUSE, ROLLBACK, Entry, Served, fold


def entry(action: str, new: str, replaces: str, **more: str) -> Entry:
    return Entry(action=action, bundle_id=new, replaces=replaces, at="", by="", **more)


def test_of_two_promotions_against_the_same_champion_the_first_counts() -> None:
    first, second = entry(PROMOTE, "b", "a"), entry(PROMOTE, "c", "a")
    state = fold([entry(FIRST, "a", ""), first, second])
    assert state.stack == (Served("a"), Served("b"))
    assert first.token in state.counted
    assert second.token not in state.counted


def test_a_promotion_after_the_winner_counts_if_it_was_compared_with_it() -> None:
    log = [
        entry(FIRST, "a", ""),
        entry(PROMOTE, "b", "a"),
        entry(PROMOTE, "c", "a"),
        entry(PROMOTE, "d", "b"),
    ]
    assert fold(log).champion == Served("d")
    assert fold(log).previous == Served("b")


def test_rolling_back_goes_one_further_each_time() -> None:
    log = [entry(FIRST, "a", ""), entry(PROMOTE, "b", "a"), entry(PROMOTE, "c", "b")]
    log.append(entry(ROLLBACK, "b", "c"))
    assert (fold(log).champion, fold(log).previous) == (Served("b"), Served("a"))
    log.append(entry(ROLLBACK, "a", "b"))
    assert (fold(log).champion, fold(log).previous) == (Served("a"), None)


def test_what_served_before_the_log_began_can_come_back() -> None:
    log = [entry(PROMOTE, "b", "a", version="2", replaces_version="1")]
    assert fold(log).stack == (Served("a", "1"), Served("b", "2"))


def test_a_refusal_changes_nothing() -> None:
    log = [entry(FIRST, "a", ""), entry(REFUSE, "b", "a"), entry(PROMOTE, "c", "a")]
    assert fold(log).stack == (Served("a"), Served("c"))


def test_an_entry_sent_twice_counts_once() -> None:
    twice = entry(PROMOTE, "b", "a")
    back = entry(ROLLBACK, "a", "b")
    assert fold([entry(FIRST, "a", ""), twice, back, twice]).champion == Served("a")


def test_a_folder_follows_the_registry_whatever_served_in_it() -> None:
    log = [entry(FIRST, "x", ""), entry(FOLLOW, "b", "", version="2"), entry(FOLLOW, "x", "", version="1")]
    assert fold(log).stack == (Served("x", "1"),)


def test_an_entry_survives_being_written() -> None:
    written = Entry(
        action=PROMOTE,
        bundle_id="b",
        replaces="a",
        at="t",
        by="me",
        reasons=("one", "two"),
        gate={"checks": []},
    )
    assert Entry.from_json(written.to_json()) == written


@given(
    st.lists(
        st.tuples(st.sampled_from([PROMOTE, ROLLBACK]), st.sampled_from("abcd"), st.sampled_from("abcd"))
    )
)
def test_every_reader_of_a_beginning_of_the_log_agrees_with_the_reader_of_the_whole(
    steps: list[tuple[str, str, str]],
) -> None:
    """What counted once counts for ever: later entries never change the worth of earlier ones."""
    log = [entry(FIRST, "a", ""), *(entry(*step) for step in steps)]
    whole = fold(log)
    for end in range(1, len(log) + 1):
        part = fold(log[:end])
        assert part.counted == {one.token for one in log[:end]} & whole.counted
        assert part.champion is not None
    served = [one for one in log if one.token in whole.counted]
    assert whole.champion == Served(served[-1].bundle_id)
