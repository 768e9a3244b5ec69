"""Naive Bayes on counts: Odoo's own published numbers, small companies by hand, the odd cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecast.evaluation.baselines import NaiveBayes
from forecast.history import History, StageMap, make_landmarks
from forecast.periods import as_of_us
from forecast.tables import Money

MONEY = Money("EUR", ("EUR",), (np.array([0]),), (np.array([1.0]),))
MARCH = as_of_us(pd.Timestamp("2025-03-01", tz="UTC"))
PIPELINES = ("team 1", "team 2", "team 3")
STAGES = StageMap.from_frame(
    pd.DataFrame(
        {
            "pipeline": np.repeat(PIPELINES, 5),
            "stage": ["s1", "s2", "s3", "won", "lost"] * 3,
            "position": [0, 1, 2, 3, 4] * 3,
            "kind": ["open", "open", "open", "won", "lost"] * 3,
            "default_probability": np.nan,
            "label": None,
        }
    )
)


def lead(name: str, team: int, stage: int, end: str = "", **values: str) -> dict[str, Any]:
    """A deal of a team that reached a stage, then perhaps its end."""
    moves = [("2025-01-05", f"s{stage + 1}"), *([("2025-02-01", end)] if end else [])]
    return {
        "deal_id": name,
        "pipeline": PIPELINES[team],
        "created_at": "2025-01-05T00:00:00Z",
        "events": [
            {"field": "stage", "value": value, "recorded_at": f"{on}T00:00:00Z"} for on, value in moves
        ],
        **values,
    }


def asked(leads: list[dict[str, Any]]) -> dict[str, float]:
    """P(won) of the open ones."""
    history = History.from_request(leads, stages=STAGES, money=MONEY)
    baseline = NaiveBayes()
    baseline.fit(history, make_landmarks(history, until_us=MARCH))
    deals = history.open_deals(MARCH)
    found = baseline.predict(history, deals, np.full(deals.shape, MARCH), (30, 365))
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    return dict(zip(history.deal_ids[deals], found[:, 0], strict=True))


def odoo(place: int, team: int, country: int, state: int, source: int, stage: int, end: str = "") -> Any:
    """A lead of Odoo's test. None has an e-mail or a phone: what the test writes there is computed anew, to
    "none" for all, which counts as a value like any other."""
    return lead(
        f"lead_{place}",
        team,
        stage,
        end,
        source=f"source {source}",
        country=f"country {country}",
        state=f"state {state}",
        email_state="none",
        phone_state="none",
    )


def test_it_gives_the_numbers_of_odoos_own_test() -> None:
    """addons/crm/tests/test_crm_pls.py, `test_predictive_lead_scoring`: 33.49 % and 7.74 %."""
    found = asked(
        [
            odoo(0, 0, 0, 0, 0, 0, "lost"),
            odoo(1, 0, 1, 1, 1, 1, "lost"),
            odoo(2, 0, 2, 2, 2, 2, "won"),
            odoo(3, 0, 0, 1, 2, 1),
            odoo(4, 1, 0, 1, 1, 2, "lost"),
            odoo(5, 1, 0, 1, 2, 1, "lost"),
            odoo(6, 1, 0, 2, 2, 0, "won"),
            odoo(7, 1, 0, 1, 2, 1),
        ]
    )
    assert found == {"lead_3": 0.3349, "lead_7": 0.0774}


def test_stages_count_by_reach_and_values_nobody_closed_are_passed_over() -> None:
    decided = [
        *(lead(f"w{i}", 0, 2, "won", source="web") for i in range(3)),
        *(lead(f"l{i}", 0, 0, "lost", source="web") for i in range(4)),
        lead("l4", 0, 1, "lost", source="fair"),
    ]
    found = asked(
        [
            *decided,
            lead("early", 0, 0),
            lead("late", 0, 2),
            lead("fair", 0, 0, source="fair"),
            lead("new source", 0, 0, source="never seen"),
        ]
    )
    # 3 won, 5 lost. The first stage saw all of them: its factors are 1.
    assert found["early"] == pytest.approx(3.1 / 8.2, abs=1e-4)
    assert found["new source"] == found["early"]
    # Nobody was lost in the last stage: 3.1 x 3.1 / 3.1 against 5.1 x 0.1 / 5.1.
    assert found["late"] == pytest.approx(3.1 / 3.2, abs=1e-4)
    # fair: 0 of 3 won, 1 of 5 lost, each + 0.1, over the sums of the field.
    won, lost = 3.1 * (0.1 / 3.2), 5.1 * (1.1 / 5.2)
    assert found["fair"] == pytest.approx(won / (won + lost), abs=1e-4)


def test_a_pipeline_in_which_nothing_closed_takes_the_tables_of_all() -> None:
    found = asked(
        [
            lead("w", 0, 1, "won", source="web"),
            lead("l", 1, 1, "lost", source="fair"),
            lead("web", 2, 1, source="web"),
            lead("plain", 2, 1),
        ]
    )
    assert found["plain"] == pytest.approx(0.5)
    assert found["web"] == pytest.approx((1.1 / 1.2) / (1.1 / 1.2 + 0.1 / 1.2), abs=1e-4)


def test_a_deal_opened_again_is_no_outcome_and_nothing_closed_is_a_half() -> None:
    again = lead("again", 0, 0, "lost")
    again["events"].append({"field": "stage", "value": "s1", "recorded_at": "2025-02-10T00:00:00Z"})
    assert asked([again]) == {"again": 0.5}


def test_a_value_filled_in_at_the_closing_itself_does_not_count() -> None:
    """What is written in the same moment as the closing was not known before it."""
    late = lead("late", 0, 0, "won")
    late["events"].append({"field": "contract", "value": "signed", "recorded_at": "2025-02-01T00:00:00Z"})
    early = lead("early", 0, 0, "lost")
    early["events"].append({"field": "contract", "value": "draft", "recorded_at": "2025-01-06T00:00:00Z"})
    with_it = lead("open", 0, 0, contract="signed")
    assert asked([late, early, with_it])["open"] == pytest.approx(0.5)
