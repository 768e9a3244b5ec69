"""The manager's report: facts first, words and pictures second.

Outlook ──► facts/ ──► plain dict ──► page ──► one HTML file
                           │
                           └────────► forecast.cli.show ──► one screen of a terminal
"""

from typing import Any

from forecast.language import LOCALES
from forecast.report.facts import DEALS_PER_QUOTA, collect_facts, earlier_outlook

__all__ = ["DEALS_PER_QUOTA", "LOCALES", "collect_facts", "earlier_outlook", "render"]


def render(facts: dict[str, Any]) -> str:
    """The report as one self-contained HTML text; see `forecast.report.page.render`."""
    # Drawing loads altair and its renderer; whoever only wants the facts does not wait for them.
    from forecast.report.page import render as draw

    return draw(facts)
