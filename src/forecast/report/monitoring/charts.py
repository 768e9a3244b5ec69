"""The monitor's charts, each a function from facts to inline SVG that says in words what it shows."""

from __future__ import annotations

import math
from typing import Any, Final

import altair as alt
from markupsafe import Markup

from forecast.language import formats_of
from forecast.report.drawing import (
    ARRIVALS,
    BOOKED,
    FALL,
    INK,
    MUTED,
    OPEN,
    OTHERS,
    QUOTA,
    along,
    axis,
    chart,
    distinct,
    finish,
    listed,
    money_axis,
    named_rows,
    nice_ticks,
    own_colour,
    percent_axis,
    value_labels,
)
from forecast.report.facts.plain import Fact
from forecast.report.monitoring.phrases import MonitoringPhrases

__all__ = ["calibration", "counted", "evidence", "score", "stability"]

_HEIGHT: Final = 210
_MOST_INPUTS: Final = 14
_BAND: Final = 1.96
_LEFT: Final = 62  # pixels of the labels of an upright axis


def evidence(facts: Fact, say: MonitoringPhrases, *, width: int) -> Markup | None:
    """Evidence of all questions together by week, single ones in grey, on a log scale; the alarm across."""
    weeks, threshold = facts["weeks"], facts["verdict"]["threshold"]
    if len(weeks) < 2:
        return None
    plot = width - _LEFT
    lines = [([week["evidence"] for week in weeks], BOOKED, 2.6)]
    for question in facts["questions"]:
        if question["enough"]:
            path = [week["evidence"] for week in question["weeks"]]
            lines.insert(0, (path, OTHERS, 1.2))
    top = max(4.0 * threshold, 2.0 * max(max(path) for path, _, _ in lines))
    decades = math.ceil(math.log10(top))
    ticks = [10.0**power for power in range(-1, decades + 1, max(1, decades // 6))]
    scale = alt.Scale(type="log", domain=[0.1, 10.0**decades], nice=False, clamp=True)
    y = alt.Y("value:Q", scale=scale, axis=axis(ticks, [_power(say, tick) for tick in ticks]), title=None)
    layers: list[alt.Chart] = []
    for path, colour, thick in lines:
        points = [{"week": place + 1, "value": max(value, 0.1)} for place, value in enumerate(path)]
        points.insert(0, {"week": 0, "value": 1.0})
        drawn = chart(points).mark_line(color=colour, strokeWidth=thick)
        layers.append(drawn.encode(x=_weeks(facts, plot), y=y))
    alarm = chart([{"value": threshold}])
    layers.append(alarm.mark_rule(color=QUOTA, strokeWidth=2.2).encode(y=y))
    text = chart([{"value": threshold, "label": say.words("monitor.alarm")}])
    layers.append(
        text.mark_text(align="left", dy=-8, color=QUOTA, fontSize=12, fontWeight="bold").encode(
            x=alt.value(4), y=y, text="label:N"
        )
    )
    spoken = say.words("monitor_evidence.chart", threshold=say.evidence(threshold))
    said = [
        {"name": say.part(q["name"]), "label": say.evidence(q["evidence"])}
        for q in facts["questions"]
        if q["enough"]
    ]
    return finish(alt.layer(*layers), plot, _HEIGHT, listed(spoken, said))


def _power(say: MonitoringPhrases, value: float) -> str:
    f = say.words.formats
    if value >= 1e6:
        return f"10^{round(math.log10(value))}"
    return f.integer(value) if value >= 1 else f.decimal(value, 1)


def _weeks(facts: Fact, plot: int) -> alt.X:
    """Weeks since training along x, labelled with days."""
    weeks = facts["weeks"]
    most = max(2, plot // 80)
    step = max(1, -(-len(weeks) // most))
    marks = list(range(0, len(weeks) + 1, step))
    days = [facts["trained_until"], *(week["end"] for week in weeks)]
    f = formats_of(facts["locale"])
    return alt.X(
        "week:Q",
        scale=alt.Scale(domain=[0, len(weeks)], nice=False),
        axis=axis(marks, [f.day(days[mark]) for mark in marks]),
        title=None,
    )


def counted(facts: Fact, name: str, say: MonitoringPhrases, *, width: int) -> Markup | None:
    """What came since training beside what was expected, summed up, with the band of what is usual."""
    question = next(one for one in facts["questions"] if one["name"] == name)
    weeks = question["weeks"]
    if len(weeks) < 2 or not question["expected"]:
        return None
    plot, f = width - _LEFT, say.words.formats
    came = expected = 0.0
    points: list[dict[str, Any]] = [{"week": 0, "came": 0.0, "expected": 0.0, "low": 0.0, "high": 0.0}]
    for place, week in enumerate(weeks):
        came, expected = came + (week["came"] or 0.0), expected + (week["expected"] or 0.0)
        wide = _BAND * (week["sd"] or 0.0)
        points.append(
            {
                "week": place + 1,
                "came": came,
                "expected": expected,
                "low": max(expected - wide, 0.0),
                "high": expected + wide,
            }
        )
    top = 1.04 * max(max(point["came"], point["high"]) for point in points)
    if name == "signed":
        ticks = money_axis(top, f, 5 * 75)
    else:
        values = nice_ticks(top, most=5)
        ticks = axis(values, [f.integer(value) for value in values])
    scale = alt.Scale(domain=[0, top], nice=False)
    x, base = _weeks(facts, plot), chart(points)
    layers: list[alt.Chart] = []
    if any(week["sd"] for week in weeks):
        band = base.mark_area(color=ARRIVALS, opacity=0.55)
        layers.append(band.encode(x=x, y=alt.Y("low:Q", scale=scale, axis=ticks, title=None), y2="high:Q"))
    dashed = base.mark_line(color=MUTED, strokeWidth=1.6, strokeDash=[5, 4])
    layers.append(dashed.encode(x=x, y=alt.Y("expected:Q", scale=scale, axis=ticks, title=None)))
    line = base.mark_line(color=BOOKED, strokeWidth=2.6)
    layers.append(line.encode(x=x, y=alt.Y("came:Q", scale=scale, axis=ticks, title=None)))
    spoken = say.words(
        "monitor_outcomes.chart",
        name=say.part(name),
        came=say.count(question, "came"),
        expected=say.count(question, "expected"),
    )
    return finish(alt.layer(*layers), plot, _HEIGHT, spoken)


def calibration(facts: Fact, say: MonitoringPhrases, *, width: int) -> Markup | None:
    """Chances given against shares that happened, with Wilson intervals, and the line of a perfect forecast."""
    curve = facts["calibration"]["curve"]
    if not facts["calibration"]["wins"] or len(curve) < 2:
        return None
    plot, f = width - _LEFT, say.words.formats
    top = 1.02 * max(max(row["upper"], row["said"]) for row in curve)
    # Most deals have a small chance in a month: a square root leaves them room without bending the diagonal.
    scale = alt.Scale(type="sqrt", domain=[0, top], nice=False)
    x = alt.X("said:Q", scale=scale, axis=percent_axis(top, f), title=say.words("monitor_calibration.axis"))
    base = chart(curve)

    def up(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", scale=scale, axis=percent_axis(top, f), title=None)

    line = chart([{"said": 0.0, "happened": 0.0}, {"said": top, "happened": top}])
    layers = [
        line.mark_line(color=OTHERS, strokeWidth=1.6, strokeDash=[5, 4]).encode(x=x, y=up("happened")),
        base.mark_rule(color=OPEN, strokeWidth=2).encode(x=x, y=up("lower"), y2="upper:Q"),
        base.mark_circle(color=BOOKED, size=54, opacity=1).encode(x=x, y=up("happened")),
    ]
    said = [{"name": f.percent(row["said"]), "label": f.percent(row["happened"])} for row in curve]
    return finish(
        alt.layer(*layers), plot, _HEIGHT + 20, listed(say.words("monitor_calibration.chart"), said)
    )


def stability(facts: Fact, say: MonitoringPhrases, *, width: int) -> Markup | None:
    """Stability index of the inputs that moved most, beside what is usual of each."""
    lines = [one for one in facts["inputs"] if one["check"] == "stability"][:_MOST_INPUTS]
    if not lines:
        return None
    f = say.words.formats
    rows = [
        {
            "name": label,
            "value": one["value"],
            "usual": one["usual"],
            "label": f.decimal(one["value"], 2),
            "colour": FALL if one["drifted"] else OPEN,
        }
        for label, one in zip(distinct([say.field(one["field"]) for one in lines]), lines, strict=True)
    ]
    base, y, plot = named_rows(rows, width, room=48)
    top = 1.05 * max(0.2, *(max(row["value"], row["usual"]) for row in rows))
    values = nice_ticks(top, most=max(2, plot // 90))
    ticks = axis(values, [f.decimal(value, 2) for value in values])
    layers = [
        base.mark_bar(height=13).encode(x=along("value", top, ticks), y=y, color=own_colour()),
        base.mark_tick(color=INK, thickness=2, size=17).encode(x=along("usual", top, ticks), y=y),
        value_labels(base, y, plot + 46),
    ]
    return finish(alt.layer(*layers), plot, 24 * len(rows), listed(say.words("monitor_inputs.chart"), rows))


def score(facts: Fact, say: MonitoringPhrases, *, width: int) -> Markup | None:
    """Share of the open deals in each tenth of chances, then and now."""
    if facts["score"] is None:
        return None
    plot, f = width - _LEFT, say.words.formats
    top = 1.06 * max(max(row["then"], row["now"]) for row in facts["score_shares"])
    bars = [
        {"from": row["low"] + start, "to": row["low"] + start + 0.036, "share": row[name], "colour": colour}
        for row in facts["score_shares"]
        for name, start, colour in (("then", 0.012, OTHERS), ("now", 0.052, OPEN))
    ]
    marks = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    x = alt.X(
        "from:Q",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=axis(marks, [f"{round(100 * mark)}%" for mark in marks]),
        title=None,
    )
    y = alt.Y("share:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=percent_axis(top, f), title=None)
    drawn = chart(bars).mark_bar().encode(x=x, x2="to:Q", y=y, y2=alt.datum(0), color=own_colour())
    said = [
        {
            "name": f"{round(100 * row['low'])}%",
            "label": f"{f.percent(row['then'])} – {f.percent(row['now'])}",
        }
        for row in facts["score_shares"]
    ]
    return finish(alt.layer(drawn), plot, _HEIGHT, listed(say.words("monitor_inputs.score_chart"), said))
