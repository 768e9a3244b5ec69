"""/readyz: ready, degraded with codes, or not there yet. Nothing in it names a file, a machine or MLflow."""

from __future__ import annotations

import json

import pytest

from forecast.errors import UnavailableError, UsageError
from forecast.service.readiness import LedgerWatch, Readiness, Thresholds, ready_body

DAY_US = 86_400_000_000


def reasons(
    *, age_days: float = 1, refused: str | None = None, ledger: LedgerWatch | None = None
) -> list[str]:
    now_us = 20_000 * DAY_US
    readiness = Readiness(
        Thresholds(),
        lambda: int(now_us - age_days * DAY_US),
        lambda: refused,
        ledger,
        clock=lambda: now_us / 1e6,
    )
    return [reason["code"] for reason in readiness.reasons()]


def watch(hours_ago: float | None) -> LedgerWatch:
    """A ledger whose newest snapshot is that old; None for one that does not answer."""

    def newest() -> int:
        if hours_ago is None:
            raise UnavailableError("postgresql://secret-host does not answer")
        return int(20_000 * DAY_US - hours_ago * DAY_US / 24)

    told: list[float] = []
    found = LedgerWatch(newest, told.append)
    found.ask()
    assert len(told) == (hours_ago is not None)
    return found


def test_all_is_well() -> None:
    assert reasons(ledger=watch(10)) == []
    assert ready_body([]) == b'{"status":"ready"}'


@pytest.mark.parametrize(("age_days", "stale"), [(99, False), (101, True)])
def test_a_bundle_grows_stale(age_days: float, stale: bool) -> None:
    assert reasons(age_days=age_days) == ["stale_bundle"] * stale


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [(watch(35), []), (watch(37), ["stale_snapshot"]), (watch(None), ["ledger_unavailable"])],
)
def test_snapshots_grow_stale_and_a_ledger_may_be_away(ledger: LedgerWatch, expected: list[str]) -> None:
    assert reasons(ledger=ledger) == expected


def test_every_reason_says_what_it_affects_and_no_place() -> None:
    readiness = Readiness(Thresholds(), lambda: 0, lambda: "hash_mismatch", watch(None))
    body = ready_body(readiness.reasons())
    assert json.loads(body) == {
        "status": "degraded",
        "degraded": [
            {"code": "bundle_refused", "because": "hash_mismatch", "affects": "scores"},
            {"code": "stale_bundle", "affects": "scores"},
            {"code": "ledger_unavailable", "affects": "reads"},
        ],
    }
    assert b"secret" not in body


def test_thresholds_are_set_by_the_environment() -> None:
    found = Thresholds.from_environment({"FORECAST_STALE_BUNDLE_DAYS": "40"})
    assert (found.bundle_days, found.snapshot_hours) == (40.0, 36.0)
    for text in ("soon", "0", "-1", "nan", "inf"):
        with pytest.raises(UsageError, match="expected a number above 0"):
            Thresholds.from_environment({"FORECAST_STALE_SNAPSHOT_HOURS": text})
