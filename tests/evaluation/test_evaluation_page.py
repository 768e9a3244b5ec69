"""docs/evaluation.md names every metric and baseline there is, and none that is not; its example runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from forecast.evaluation import metrics
from forecast.evaluation.baselines import all_baselines, all_bookings_baselines

PAGE: Final = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
# What a metric returns is explained where it is returned.
RESULTS: Final = {name for name in metrics.__all__ if name[0].isupper()}


def test_every_metric_is_named_and_every_metric_named_exists() -> None:
    tables = "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))
    assert {
        name for name in metrics.__all__ if f"`{name}`" not in PAGE and f".{name}(" not in PAGE
    } == RESULTS
    second_cells = [row.split("|")[2] for row in tables.splitlines() if row.count("|") > 4]
    named = {name for cell in second_cells for name in re.findall(r"`(\w+)`", cell)}
    rules = {one.name for one in (*all_baselines(), *all_bookings_baselines())}
    assert named <= set(metrics.__all__) | rules


def test_every_baseline_is_named() -> None:
    for rule in (*all_baselines(), *all_bookings_baselines()):
        assert f"| `{rule.name}`" in PAGE or f", `{rule.name}`" in PAGE, rule.name


def test_the_example_runs_and_is_the_same_in_one_step() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    found: dict[str, Any] = {}
    exec(example, found)  # noqa: S102  (our own page)
    seen, said = found["seen"], found["said"]
    assert metrics.brier(seen.outcome, said, weight=seen.weight) == metrics.ipcw_brier(
        found["days"], found["cause"], said, 60
    )
