"""Every route by every role and scope, on own, on a colleague's and on another team's: who may sees it, who may
not cannot even tell that it is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from asking import ask, opened

from forecast.access import ROLES
from forecast.bundle import load_bundle
from forecast.errors import UnavailableError
from forecast.ledger import Ledger, Repeat, Served
from forecast.periods import Period
from forecast.publishing import make_snapshot, plan_snapshot
from forecast.service.api import Api
from forecast.service.engine import Engine
from forecast.service.openapi import example_forecast_request, example_score_request
from forecast.service.reads import Reads
from forecast.service.routes import MAY, PROBES
from forecast.tables import open_tables

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
NOBODY = "nobody-knows-this"
JUDGEMENT = {"forecast_category": "commit"}


@dataclass(frozen=True)
class Cast:
    """Two users of one team and one of another, each with an open deal, and the company's other names."""

    me: str
    mate: str
    stranger: str
    team: str
    other_team: str
    deals: dict[str, str]


@pytest.fixture(scope="module")
def ledger(
    tmp_path_factory: pytest.TempPathFactory, sample_folder: Path, trained_bundle: Path
) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'l.db'}") as kept:
        plan = plan_snapshot(
            open_tables(sample_folder), load_bundle(trained_bundle), AS_OF, (Period.parse("2026Q1"),)
        )
        kept.publish(make_snapshot(plan), now_us=1_767_225_600_000_000)
        yield kept


@pytest.fixture(scope="module")
def cast(ledger: Ledger) -> Cast:
    """Found by the admin's eyes."""
    reads, access = Reads(ledger), admin()
    rows = json.loads(reads.forecast({"period": "2026Q1", "level": "user"}, access))["forecasts"]
    found: dict[str, tuple[str, str]] = {}  # user -> (team, a deal of theirs)
    with ledger._database.read() as connection:
        for user, team, deal in connection.exec_driver_sql(
            "SELECT owner_id, team, min(deal_id) FROM scores WHERE owner_id IS NOT NULL AND team IS NOT NULL"
            " GROUP BY owner_id, team ORDER BY owner_id"
        ):
            found[user] = (team, deal)
    assert {row["entity"] for row in rows} >= found.keys()
    me = next(user for user in found if sum(team == found[user][0] for team, _ in found.values()) > 1)
    team = found[me][0]
    mate = next(user for user in found if user != me and found[user][0] == team)
    stranger = next(user for user in found if found[user][0] != team)
    deals = {"own": found[me][1], "mate": found[mate][1], "other": found[stranger][1]}
    return Cast(me, mate, stranger, team, found[stranger][0], deals)


def admin() -> Any:
    from forecast.access import Access

    return Access("test", "admin")


@pytest.fixture(scope="module")
def api(ledger: Ledger, cast: Cast, trained_bundle: Path) -> Api:
    scopes = {"own": f"own:{cast.me}", "team": f"team:{cast.team}", "all": "all"}
    lines = [f"{role}-{kind} {role} {scope}" for role in ROLES for kind, scope in scopes.items()]
    return opened(Engine.load(trained_bundle), *lines, stored=Reads(ledger), book=ledger)


KEYS = [f"{role}-{kind}" for role in ROLES for kind in ("own", "team", "all")]


def told(api: Api, method: str, path: str, key: str, **more: Any) -> tuple[int, bytes]:
    response = ask(api, method, path, key=key, headers={"x-request-id": "same"}, **more)
    return response.status_code, response.content


def may_see(key: str, target: str) -> bool:
    """The rule of scopes in a line: own sees own, a team its members, all everything."""
    kind = key.partition("-")[2]
    return (
        target
        in {
            "own": ("own",),
            "team": ("own", "mate", "team"),
            "all": ("own", "mate", "other", "team", "rest"),
        }[kind]
    )


def test_every_route_by_every_role_and_scope(api: Api, cast: Cast, trained_bundle: Path) -> None:
    """Cells: (route, method, key, whose). A cell leaks if it answers what is out of scope, or by another answer
    than for what does not exist.
    """
    pipeline, stages = Engine.load(trained_bundle).example_stages()
    bodies = {
        "/v1/score": {"json": example_score_request(stages, pipeline)},
        "/v1/leads/score": {"json": {"leads": []}},
        "/v1/forecast": {"json": example_forecast_request(stages, pipeline)},
        "/v1/score/bulk": {"content": b"", "headers": {"content-type": "application/x-ndjson"}},
    }
    entities = {
        "own": ("user", cast.me),
        "mate": ("user", cast.mate),
        "other": ("user", cast.stranger),
        "team": ("team", cast.team),
        "rest": ("team", cast.other_team),
    }
    cells, leaks, seen = 0, [], set()

    def cell(
        path: str, method: str, key: str, whose: str, expected: set[int], got: tuple[int, bytes]
    ) -> None:
        nonlocal cells
        cells += 1
        seen.add((path, method))
        if got[0] not in expected:
            leaks.append((path, method, key, whose, got))

    for key in KEYS:
        role = key.partition("-")[0]
        for path, methods in MAY.items():
            for method, roles in methods.items():
                allowed = role in roles
                if path in PROBES or path in ("/v1/model", "/docs.json", "/metrics"):
                    got = told(api, method, path, key)
                    cell(path, method, key, "-", {200} if allowed else {403}, got)
                elif path in bodies and method == "POST":
                    more = dict(bodies[path])
                    headers = {"x-request-id": "same", **more.pop("headers", {})}
                    response = ask(api, method, path, key=key, headers=headers, **more)
                    # This bundle scores no leads, which only those may learn who may ask.
                    expected = {409 if path == "/v1/leads/score" else 200} if allowed else {403}
                    cell(path, method, key, "-", expected, (response.status_code, response.content))
                elif path == "/v1/forecast":
                    for whose, (level, entity) in entities.items():
                        asked = f"{path}?period=2026Q1&level={level}&entity="
                        got, unknown = (told(api, method, asked + name, key) for name in (entity, NOBODY))
                        good = allowed and may_see(key, whose)
                        cell(path, method, key, whose, {200} if good else {404 if allowed else 403}, got)
                        if not good and got != unknown:
                            leaks.append((path, method, key, whose, "differs from what does not exist"))
                        listed = told(api, method, f"{path}?period=2026Q1&level={level}", key)
                        cell(path, method, key, f"list with {whose}", {200} if allowed else {403}, listed)
                        if method == "GET" and allowed:
                            names = {row["entity"] for row in json.loads(listed[1])["forecasts"]}
                            if (entity in names) != good:
                                leaks.append((path, method, key, whose, names))
                else:
                    more = {} if method != "POST" else {"json": JUDGEMENT}
                    for whose, deal in cast.deals.items():
                        got, unknown = (
                            told(api, method, path.replace("{deal_id}", name), key, **more)
                            for name in (deal, NOBODY)
                        )
                        good = allowed and may_see(key, whose)
                        cell(path, method, key, whose, {200} if good else {404 if allowed else 403}, got)
                        if not good and got != unknown:
                            leaks.append((path, method, key, whose, "differs from what does not exist"))
    assert leaks == []
    assert seen == {(path, method) for path, methods in MAY.items() for method in methods}
    assert cells == 12 * (4 + 2 * 6 + 2 * 2 * 5 + 2 * 3 + 3)
    print(f"role matrix: {cells} cells, {len(leaks)} leaks")  # noqa: T201


@pytest.mark.parametrize("key", ["", "unknown", "admin-al"])
def test_without_a_known_key_every_route_looks_the_same(api: Api, cast: Cast, key: str) -> None:
    answers = {
        told(api, method, path.replace("{deal_id}", cast.deals["own"]), key)
        for path, methods in MAY.items()
        for method in methods
        if path not in PROBES and method != "HEAD"
    } | {told(api, "GET", "/v1/nowhere", key)}
    assert [status for status, _ in answers] == [401]


@pytest.mark.parametrize("level", ["company", "region", "team", "user"])
def test_a_list_holds_no_row_out_of_scope(api: Api, cast: Cast, level: str) -> None:
    def entities(key: str) -> set[str]:
        status, body = told(api, "GET", f"/v1/forecast?period=2026Q1&level={level}", key)
        assert status == 200
        return {row["entity"] for row in json.loads(body)["forecasts"]}

    assert entities("user-own") == ({cast.me} if level == "user" else set())
    assert entities("user-team") <= entities("admin-all")
    if level in ("company", "region"):
        assert entities("manager-team") == set()


def test_what_a_manager_says_is_seen_by_who_sees_the_deal(api: Api, cast: Cast) -> None:
    status, body = told(
        api, "POST", f"/v1/deals/{cast.deals['mate']}/judgements", "manager-team", json={"amount": 12.5}
    )
    assert status == 200
    assert json.loads(body)["judgement"]["amount"] == 12.5
    _, body = told(api, "GET", f"/v1/deals/{cast.deals['mate']}", "user-team")
    assert json.loads(body)["judgements"][0]["amount"] == 12.5
    assert told(api, "GET", f"/v1/deals/{cast.deals['mate']}", "user-own")[0] == 404


def test_a_route_without_a_ledger_says_so(trained_bundle: Path) -> None:
    api = opened(Engine.load(trained_bundle))
    for method, path in (
        ("GET", "/v1/forecast?period=2026Q1"),
        ("GET", "/v1/deals/x"),
        ("POST", "/v1/deals/x/judgements"),
    ):
        more = {"json": JUDGEMENT} if method == "POST" else {}
        response = ask(api, method, path, **more)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "no_ledger")


# -- the same request twice ---------------------------------------------------------------------------------


def judge(api: Api, deal: str, name: str, key: str = "manager-all", **body: Any) -> Any:
    return ask(
        api,
        "POST",
        f"/v1/deals/{deal}/judgements",
        key=key,
        json=body or JUDGEMENT,
        headers={"idempotency-key": name},
    )


def test_a_judgement_sent_twice_is_made_once(api: Api, cast: Cast, ledger: Ledger) -> None:
    before = ledger.count("judgements")
    first, again = (judge(api, cast.deals["own"], "twice") for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert ledger.count("judgements") == before + 1


def test_another_request_under_the_same_name_is_refused(api: Api, cast: Cast) -> None:
    assert judge(api, cast.deals["own"], "other").status_code == 200
    for deal, body in ((cast.deals["own"], {"amount": 1}), (cast.deals["other"], {})):
        refused = judge(api, deal, "other", **body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_conflict")
    # The name is the key's own: somebody else's is another.
    assert judge(api, cast.deals["own"], "other", key="admin-all", amount=1).status_code == 200


def test_what_was_refused_may_be_sent_right(api: Api, cast: Cast) -> None:
    assert judge(api, cast.deals["own"], "wrong", amount="x").status_code == 400
    assert judge(api, cast.deals["own"], "wrong", amount=1).status_code == 200


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 256, "ü", "a\tb"])
def test_a_name_that_is_none_is_refused(api: Api, cast: Cast, name: str) -> None:
    refused = ask(
        api,
        "POST",
        "/v1/score",
        key="score-all",
        json={"deals": []},
        headers={"idempotency-key": name.encode()},  # type: ignore[dict-item]
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_idempotency_key")


def test_scores_asked_for_twice_are_the_same_answer(api: Api) -> None:
    first, again = (
        ask(api, "POST", "/v1/score", key="score-all", json={"deals": []}, headers={"idempotency-key": "s1"})
        for _ in range(2)
    )
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"


class Fading:
    """The ledger until a claim is made; then it is away."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def idempotent(self, *claim: str, now_us: int) -> Repeat | None:
        return self._ledger.idempotent(*claim, now_us=now_us)

    def answered(self, *_answer: Any) -> None:
        raise UnavailableError("gone", code="ledger_unavailable")

    def released(self, *_claim: str) -> None:
        raise UnavailableError("gone", code="ledger_unavailable")

    def served(self, _entry: Served) -> None:
        pass


def test_what_was_done_is_answered_though_the_ledger_is_gone_before_it_keeps_the_answer(
    ledger: Ledger, cast: Cast, trained_bundle: Path
) -> None:
    fading = opened(
        Engine.load(trained_bundle), "manager-all manager all", stored=Reads(ledger), book=Fading(ledger)
    )
    before = ledger.count("judgements")
    assert judge(fading, cast.deals["own"], "fading").status_code == 200
    assert ledger.count("judgements") == before + 1
    # The claim stands until it lapses: nothing is done twice meanwhile.
    refused = judge(fading, cast.deals["own"], "fading")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_running")
    # What was wrong is told as such, not that the claim could not be given up.
    assert judge(fading, cast.deals["own"], "fading too", amount="x").status_code == 400


def test_what_was_served_is_noted_without_its_content(api: Api, ledger: Ledger, trained_bundle: Path) -> None:
    pipeline, stages = Engine.load(trained_bundle).example_stages()
    ask(
        api,
        "POST",
        "/v1/score",
        key="score-all",
        json=example_score_request(stages, pipeline),
        headers={"x-request-id": "noted-1"},
    )
    ledger.flush()
    with ledger._database.read() as connection:
        (row,) = connection.exec_driver_sql("SELECT * FROM served WHERE request_id = 'noted-1'").mappings()
    assert (row["route"], row["status"], row["rows"]) == ("/v1/score", 200, 1)
    assert row["as_of_us"] == 1_767_225_600_000_000
    assert row["bundle"] == load_bundle(trained_bundle).id
    assert "D-1042" not in str(dict(row))
