"""Nothing that lies outside a key's scope is ever read, and everything inside is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ledger_cases import Deals, snapshot

from forecast.access import EVERYTHING, Scope
from forecast.ledger import Judgement, Ledger, ledger
from forecast.ledger.judgements import of_deal

PEOPLE = {"ana": "North", "ben": "North", "cleo": "South", "dan": "South", "eve": "North' OR '1'='1"}
DEALS = [f"D-{number}" for number in range(12)]
DAYS = range(5)


def book(day: int) -> Deals:
    """Who owned what that day: owners and teams change from one snapshot to the next, deals close."""
    rng = random.Random(day)  # noqa: S311  (names of a test)
    teams = {
        person: rng.choice([team, *PEOPLE.values()]) if rng.random() < 0.3 else team
        for person, team in PEOPLE.items()
    }
    held: Deals = {}
    for deal in DEALS:
        owner = rng.choice([*PEOPLE, None])
        if rng.random() < 0.85:
            held[deal] = (owner, teams[owner] if owner else "unassigned", f"A-{rng.randrange(3)}")
    return held


BOOKS = {day: book(day) for day in DAYS}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('scope') / 'ledger.db'}"
    else:
        pytest.importorskip("psycopg", reason="needs the extra `database`")
        url = f"{request.getfixturevalue('postgresql')}&schema=scope_test"
    with Ledger.open(url) as opened:
        for day in DAYS:
            opened.publish(snapshot(BOOKS[day], day=day, periods=("2026Q1", "2026")), now_us=day)
        for deal in DEALS:
            opened.judge(EVERYTHING, deal, "boss", Judgement("commit"), now_us=1)
        yield opened


scopes = st.one_of(
    st.just(EVERYTHING),
    st.builds(Scope, st.just("own"), st.sampled_from([*PEOPLE, "unassigned", "North", "%", "an_"])),
    st.builds(
        Scope, st.just("team"), st.sampled_from([*PEOPLE.values(), "unassigned", "ana", "Europe", "*"])
    ),
)


def holds(scope: Scope, owner: str | None, team: str) -> bool:
    """The rule, said once more and otherwise."""
    return {"all": True, "own": owner == scope.entity, "team": team == scope.entity}[scope.kind]


@given(scope=scopes, deal=st.sampled_from([*DEALS, "D-99", "D-%", "", "D-1' --"]))
def test_a_deal_is_seen_by_who_has_it_now_and_its_past_by_who_had_it_then(
    filled: Ledger, scope: Scope, deal: str
) -> None:
    record = filled.deal(scope, deal)
    having = [day for day in DAYS if deal in BOOKS[day]]
    visible = bool(having) and holds(scope, *BOOKS[having[-1]][deal][:2])
    assert (record is not None) == visible
    if record is None:
        assert filled.judge(scope, deal, "k", Judgement("commit"), now_us=1) is None
        return
    assert holds(scope, record.newest.owner_id, record.newest.team)
    expected = [day for day in reversed(having) if holds(scope, *BOOKS[day][deal][:2])]
    assert [row.published_at_us for row in record.history] == expected
    assert all(holds(scope, row.owner_id, row.team) for row in record.history)
    assert {row.deal_id for row in [*record.history, *record.judgements]} == {deal}
    assert record.judgements


@given(
    scope=scopes,
    level=st.sampled_from(["company", "region", "team", "user"]),
    entity=st.sampled_from([None, "*", "Europe", *PEOPLE, *PEOPLE.values(), "unassigned", "nobody"]),
    day=st.sampled_from([None, *DAYS]),
)
@example(scope=Scope("own", "unassigned"), level="user", entity=None, day=None)
@example(scope=Scope("team", "unassigned"), level="user", entity="unassigned", day=None)
def test_of_a_forecast_only_the_rows_in_scope(
    filled: Ledger, scope: Scope, level: str, entity: str | None, day: int | None
) -> None:
    wanted = None if day is None else snapshot(BOOKS[day], day=day, periods=("2026Q1", "2026")).id
    found = filled.forecast(scope, "2026Q1", level, entity=entity, snapshot=wanted)
    assert found is not None
    rows = {row.entity: row for row in found[1]}
    team_of = {
        owner or "unassigned": team for owner, team, _ in BOOKS[DAYS[-1] if day is None else day].values()
    }
    everybody = {
        "company": {"*"},
        "region": {"Europe"},
        "team": set(team_of.values()),
        "user": set(team_of),
    }[level]
    if scope.kind == "all":
        expected = everybody
    elif scope.kind == "own":
        mine = level == "user" and scope.entity != "unassigned"
        expected = everybody & ({scope.entity} if mine else set())
    else:
        inside = {person for person, team in team_of.items() if team == scope.entity}
        expected = everybody & {"team": {scope.entity}, "user": inside}.get(level, set())
    assert set(rows) == (expected if entity is None else expected & {entity})


def test_judgements_by_themselves_are_in_scope_too(filled: Ledger) -> None:
    held = BOOKS[DAYS[-1]]
    with filled._database.read() as connection:
        for deal, (owner, team, _) in held.items():
            for scope in (Scope("own", "ana"), Scope("team", "South")):
                assert bool(of_deal(connection, scope, deal)) == holds(scope, owner, team)


def test_one_module_decides_what_is_seen() -> None:
    """Elsewhere scores, forecasts and judgements are written and erased, never read for an answer."""
    folder = Path(str(ledger.__file__)).parent
    reading = [
        path.name
        for path in folder.glob("*.py")
        if any(
            f"select({table}" in path.read_text(encoding="utf-8")
            for table in ("SCORES", "FORECASTS", "JUDGEMENTS")
        )
    ]
    assert sorted(reading) == ["erase.py", "scope.py"]
