"""What Prometheus sees: distributions, the bundle each worker serves, what waits and what is degraded."""

from __future__ import annotations

from pathlib import Path

import pytest

from forecast.service.metrics import Metrics, _forget_the_dead


def text(metrics: Metrics) -> list[str]:
    return metrics.render().decode().splitlines()


def test_scores_are_counted_in_tens_by_route() -> None:
    metrics = Metrics()
    metrics.scored("/v1/score", b'{"scores":[{"score":1,"x":2},{"score":10},{"score":11},{"score":100}]}')
    metrics.scored("/v1/score", b'{"deal_id":"say \\"score\\":55}","score":null}')
    metrics.scored("/v1/forecast", b'{"score":5}')
    found = [line for line in text(metrics) if line.startswith("forecast_scores_total{")]
    assert found == [
        'forecast_scores_total{route="/v1/score",score="1-10"} 2.0',
        'forecast_scores_total{route="/v1/score",score="11-20"} 1.0',
        'forecast_scores_total{route="/v1/score",score="91-100"} 1.0',
    ]


def test_only_the_bundle_in_use_is_1() -> None:
    metrics = Metrics()
    metrics.bundle("aaa", 1_000_000)
    metrics.bundle("bbb", 2_000_000)
    assert 'forecast_bundle_info{bundle="aaa"} 0.0' in text(metrics)
    assert 'forecast_bundle_info{bundle="bbb"} 1.0' in text(metrics)
    assert "forecast_bundle_trained_until_seconds 2.0" in text(metrics)


def test_a_reason_that_is_gone_is_0() -> None:
    metrics = Metrics()
    metrics.degraded(["stale_bundle", "bundle_refused"])
    metrics.degraded(["stale_bundle"])
    assert 'forecast_degraded{code="stale_bundle"} 1.0' in text(metrics)
    assert 'forecast_degraded{code="bundle_refused"} 0.0' in text(metrics)


def test_what_waits_and_what_was_published() -> None:
    metrics = Metrics()
    metrics.waiting({"small": 3, "large": 1})
    metrics.published(1_700_000_000.0)
    assert 'forecast_waiting_requests{lane="small"} 3.0' in text(metrics)
    assert "forecast_snapshot_published_seconds 1.7e+09" in text(metrics)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_worker_that_ended_serves_nothing_any_more(tmp_path: Path) -> None:
    import os

    mine, dead = tmp_path / f"gauge_liveall_{os.getpid()}.db", tmp_path / "gauge_liveall_99999999.db"
    counted = tmp_path / "counter_99999999.db"
    for file in (mine, dead, counted):
        file.touch()
    _forget_the_dead(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, counted])
