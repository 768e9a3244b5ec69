"""From facts to one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache, partial
from importlib.resources import files
from typing import Any

from altair.utils.schemapi import debug_mode
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from forecast.language import formats_of
from forecast.report import charts
from forecast.report.facts.plain import Fact
from forecast.report.phrases import Phrases
from forecast.report.words import Words

__all__ = ["both", "environment", "render"]

# Widths in pixels: the whole page, half of it, and a telephone's.
_WIDE, _HALF, _NARROW = 1056, 500, 340


def render(facts: Fact) -> str:
    """The report as HTML text: no scripts, nothing loaded from outside, every value escaped.

    facts : what `collect_facts` found, as it is or after a trip through JSON
    """
    words = Words(formats_of(facts["locale"], facts["currency"]))
    phrases = Phrases(words)
    style = files("forecast.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
    # Checking every part of a chart as it is put together takes longer than drawing it.
    with debug_mode(False):
        pictures = _charts(facts, words, phrases)
    page: str = (
        environment()
        .get_template("report.html")
        .render(
            facts=facts,
            t=words,
            f=words.formats,
            say=phrases,
            style=Markup(style),  # noqa: S704  (our own file)
            # Only this very style sheet may be applied, and nothing may be fetched: see the meta tag.
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            charts=pictures,
            decided=_decided(facts),
        )
    )
    return page


@cache
def environment() -> Environment:
    """Templates of this package; every value is escaped, a missing one is an error."""
    return Environment(
        loader=PackageLoader("forecast.report"),
        autoescape=True,  # jinja2 leaves it off; deal names come from strangers
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _decided(facts: Fact) -> list[tuple[str, list[Fact]]]:
    """(level, lines) of the regions, teams and people whose quota hinges on single deals."""
    found = [
        (group["level"], [line for line in group["lines"] if line["deciding"]]) for group in facts["groups"]
    ]
    return [(level, lines) for level, lines in found if lines]


def _charts(facts: Fact, words: Words, phrases: Phrases) -> dict[str, Any]:
    """All pictures by name, each drawn for a desk and for a telephone; None where nothing is to be drawn."""
    pipeline, change = facts["pipeline"], facts["change"]
    stage_names = [phrases.stage(line, pipeline["pipelines"]) for line in pipeline["stages"]]
    # The level a manager steers by: teams, else people, else regions; one bar alone would say nothing new.
    group = next(
        (group for level in ("team", "user", "region") for group in facts["groups"]
         if group["level"] == level and len(group["lines"]) > 1),
        None,
    )  # fmt: skip
    found: dict[str, Any] = {
        "composition": both(lambda width: charts.composition(facts, words, width=width), _WIDE),
        "funnels": [both(partial(_funnel, funnel, words)) for funnel in facts["funnel"]["funnels"]],
        "baselines": both(lambda width: charts.baselines(facts, words, width=width)),
        "attainment": None,
        "bridge": None,
        "stages": None,
        "win_curves": None,
    }
    if group:
        names = [phrases.entity(line) for line in group["lines"]]
        found["attainment"] = both(lambda width: charts.attainment(group, names, words, width=width), _WIDE)
        found["attainment_level"] = group["level"]
        found["attainment_relative"] = charts.relative(group)
    if change:
        expected = facts["company"]["expected"]
        found["bridge"] = both(lambda width: charts.bridge(change, expected, words, width=width))
    if facts["deals"]["open"]:
        found["stages"] = both(lambda width: charts.stages(pipeline, stage_names, words, width=width))
        found["win_curves"] = both(lambda width: charts.win_curves(pipeline, stage_names, words, width=width))
    return found


def _funnel(funnel: Fact, words: Words, width: int) -> Markup:
    return charts.funnel(funnel, words, width=width)


def both(drawn: Callable[[int], Markup | None], width: int = _HALF) -> Markup | None:
    """A picture at its full width and for a narrow screen; the style sheet shows one of them."""
    wide, narrow = drawn(width), drawn(_NARROW)
    if wide is None or narrow is None:
        return None
    return Markup('<div class="wide">{}</div><div class="narrow">{}</div>').format(wide, narrow)
