"""What is planted: only on request, only its own fields, and the same deals beneath."""

from __future__ import annotations

import pandas as pd
import pytest

from forecast.errors import UsageError
from forecast.simulator import LEAKS, LOOKALIKES, simulate
from forecast.tables import TABLES

PLAIN = simulate(120, 3)


@pytest.mark.parametrize("name", [*LEAKS, *LOOKALIKES])
def test_planting_one_changes_nothing_else(name: str) -> None:
    leaky = simulate(120, 3, leaks=(name,))
    assert any(not leaky.tables[table].equals(PLAIN.tables[table]) for table in TABLES)
    for table in ("stages", "users", "quotas", "leads", "fx_rates"):
        pd.testing.assert_frame_equal(leaky.tables[table], PLAIN.tables[table])
    assert leaky.tables.deals["deal_id"].tolist() == PLAIN.tables.deals["deal_id"].tolist()
    moves = [
        one.tables.deal_events.query("field == 'stage'").sort_values(["recorded_at", "deal_id"])
        for one in (leaky, PLAIN)
    ]
    assert moves[0]["value"].tolist() == moves[1]["value"].tolist()


def test_a_field_does_not_depend_on_what_else_is_planted() -> None:
    alone, among = simulate(120, 3, leaks=("competitor",)), simulate(120, 3, leaks=(*LEAKS, *LOOKALIKES))
    assert alone.tables.deals["competitor"].equals(among.tables.deals["competitor"])


def test_the_same_leaks_give_the_same_tables() -> None:
    one, two = (simulate(120, 3, leaks=(*LEAKS, *LOOKALIKES)) for _ in range(2))
    assert one.tables.fingerprint == two.tables.fingerprint != PLAIN.tables.fingerprint


def test_nothing_is_recorded_after_the_end() -> None:
    leaky = simulate(120, 3, leaks=(*LEAKS, *LOOKALIKES))
    assert leaky.tables.deal_events["recorded_at"].max() < leaky.until
    assert leaky.tables.activities["occurred_at"].max() < leaky.until


def test_an_unknown_leak_is_refused() -> None:
    with pytest.raises(UsageError, match="leak 'competitors' is unknown; known are competitor"):
        simulate(50, 1, leaks=("competitors",))
