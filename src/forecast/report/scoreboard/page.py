"""From the facts of a back-test to one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from importlib.resources import files
from statistics import median
from typing import Any, Final

from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from forecast.language import formats_of
from forecast.report.facts.plain import Fact
from forecast.report.page import both, environment
from forecast.report.scoreboard import charts
from forecast.report.words import Words

__all__ = ["render"]

_OURS: Final = "ours"
# Of the chances, those whose calibration is drawn.
_DRAWN: Final = ("in_period", "90d")


def render(facts: Fact) -> str:
    """The page as HTML text: no scripts, nothing loaded from outside, every value escaped.

    facts : of `training.backtest.facts.collect`, as they are or after a trip through JSON
    """
    words = Words(formats_of(facts["locale"], facts["currency"]), "scoreboard/words")
    templates = files("forecast.report").joinpath("templates")
    style = "".join(
        templates.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "scoreboard.css")
    )
    # Checking every part of a chart as it is put together takes longer than drawing it.
    with debug_mode(False):
        pictures = _charts(facts, words)
    page: str = (
        environment()
        .get_template("scoreboard.html")
        .render(
            facts=facts,
            t=words,
            f=words.formats,
            style=Markup(style),  # noqa: S704  (our own files)
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            charts=pictures,
        )
    )
    return page


def _charts(facts: Fact, words: Words) -> dict[str, Any]:
    lines = {line["name"]: line for line in facts["by_week"] if line["points"]}
    ours = lines.pop(_OURS, None)
    # A panel whose rule is mostly off the scale shows nothing; the table has its figures.
    shown = [
        line
        for line in lines.values()
        if median(point["value"] for point in line["points"]) <= charts.WORST_SHOWN
    ]
    ends = [
        point[end]
        for line in ([ours, *shown] if ours else [])
        for point in line["points"]
        for end in ("value", "upper")
        if point[end] is not None
    ]
    top = min(charts.WORST_SHOWN, 1.05 * max([0.1, *ends]))
    amounts = [
        amount
        for quarter in facts["fans"]
        for amount in (quarter["actual"], *(point["p975"] for point in quarter["points"]))
        if amount is not None
    ]
    highest = 1.05 * max([1.0, *amounts])
    return {
        "weeks": [(line["name"], charts.errors_by_week(ours, line, top, words)) for line in shown]
        if ours
        else [],
        "off_scale": [name for name, line in lines.items() if line not in shown],
        "fans": [(quarter, charts.fan(quarter, highest, words)) for quarter in facts["fans"]],
        "reliability": [
            (deals["horizon"], both(partial(_reliability, deals["reliability"], words)))
            for wanted in _DRAWN
            for deals in facts["deals"]
            if deals["horizon"] == wanted and deals["reliability"]
        ],
        "quota": both(partial(_reliability, facts["quota"]["reliability"], words))
        if facts["quota"]
        else None,
        "coverage": both(partial(_coverage, facts["levels"], words)) if facts["levels"] else None,
    }


def _reliability(bins: list[Fact], words: Words, width: int) -> Markup:
    return charts.reliability(bins, words, width=width)


def _coverage(levels: list[Fact], words: Words, width: int) -> Markup:
    return charts.coverage(levels, words, width=width)
