"""From a monitor's facts to one self-contained HTML file, with the report's style and policy."""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from importlib.resources import files
from typing import Any, Final

from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from forecast.report.facts.plain import Fact
from forecast.report.monitoring import charts
from forecast.report.monitoring.phrases import MonitoringPhrases, monitoring_words
from forecast.report.page import both, environment

__all__ = ["render"]

_COUNTED: Final = ("wins", "created", "signed")
_WIDE: Final = 1056


def render(facts: Fact) -> str:
    """The page as HTML text: no scripts, nothing loaded from outside, every value escaped.

    facts : what `monitoring_facts` gave, as it is or after a trip through JSON
    """
    words = monitoring_words(facts)
    say = MonitoringPhrases(words)
    style = files("forecast.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
    # Checking every part of a chart as it is put together takes longer than drawing it.
    with debug_mode(False):
        pictures: dict[str, Any] = {
            "evidence": both(lambda width: charts.evidence(facts, say, width=width), _WIDE),
            "calibration": both(lambda width: charts.calibration(facts, say, width=width)),
            "stability": both(lambda width: charts.stability(facts, say, width=width)),
            "score": both(lambda width: charts.score(facts, say, width=width)),
            "counted": {name: both(partial(_counted, facts, name, say)) for name in _COUNTED},
        }
    page: str = (
        environment()
        .get_template("monitoring.html")
        .render(
            facts=facts,
            t=words,
            f=words.formats,
            say=say,
            style=Markup(style),  # noqa: S704  (our own file)
            # Only this very style sheet may be applied, and nothing may be fetched: see the meta tag.
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            charts=pictures,
        )
    )
    return page


def _counted(facts: Fact, name: str, say: MonitoringPhrases, width: int) -> Markup | None:
    return charts.counted(facts, name, say, width=width)
