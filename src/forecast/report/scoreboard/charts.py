"""Pictures of a back-test: facts to Vega-Lite, drawn by `forecast.report.drawing`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import altair as alt
from markupsafe import Markup

from forecast.report.drawing import (
    ARRIVALS,
    BOOKED,
    MUTED,
    OPEN,
    OTHERS,
    QUOTA,
    axis,
    chart,
    finish,
    money_axis,
    percent_axis,
)
from forecast.report.facts.plain import Fact
from forecast.report.words import Words

__all__ = ["WORST_SHOWN", "coverage", "errors_by_week", "fan", "reliability"]

# Errors beyond this share of what came are cut off: they are as bad as useless, and would flatten all others.
WORST_SHOWN: Final = 1.0
_PANEL: Final = 218
_HEIGHT: Final = 140


def errors_by_week(ours: Fact, other: Fact, top: float, words: Words) -> Markup:
    """One rule's error by week of the quarter beside ours, both with their intervals."""
    f = words.formats
    weeks = [point["week"] for point in ours["points"]]
    x = _weeks(weeks, words)
    y = alt.Y(
        "value:Q",
        scale=alt.Scale(domain=[0, top], nice=False, clamp=True),
        axis=percent_axis(top, f),
        title=None,
    )
    layers: list[alt.Chart] = []
    for line, colour, width in ((other, QUOTA, 1.8), (ours, BOOKED, 2.4)):
        points = [point | {"value": min(point["value"], top)} for point in line["points"]]
        bands = [
            point | {"lower": min(point["lower"], top), "upper": min(point["upper"], top)}
            for point in points
            if point["lower"] is not None and point["upper"] is not None
        ]
        if bands:
            layers.append(
                chart(bands)
                .mark_area(color=colour, opacity=0.16)
                .encode(x=x, y=alt.Y("lower:Q"), y2="upper:Q")
            )
        mark = alt.OverlayMarkDef(size=22, filled=True, color=colour)
        layers.append(chart(points).mark_line(color=colour, strokeWidth=width, point=mark).encode(x=x, y=y))
    said = "; ".join(
        words(
            "weeks.spoken",
            week=f.integer(point["week"]),
            theirs=f.percent(_at(other, point["week"])),
            ours=f.percent(point["value"]),
        )
        for point in ours["points"]
    )
    rule = words(f"rule.{other['name']}")
    spoken = f"{words('weeks.chart', name=rule)} {said}"
    return finish(alt.layer(*layers), _PANEL, _HEIGHT, spoken)


def _at(line: Fact, week: int) -> float | None:
    return next((point["value"] for point in line["points"] if point["week"] == week), None)


def fan(quarter: Fact, top: float, words: Words) -> Markup:
    """What was expected of one quarter from week to week with its ranges, what was booked, and what came."""
    f = words.formats
    points: list[Fact] = quarter["points"]
    x = _weeks([point["week"] for point in points], words)

    def y(name: str) -> alt.Y:
        return alt.Y(
            f"{name}:Q",
            scale=alt.Scale(domain=[0, top], nice=False),
            axis=money_axis(top, f, 230),
            title=None,
        )

    base = chart(points)
    layers: list[alt.Chart] = [
        base.mark_area(color=ARRIVALS, opacity=0.35).encode(x=x, y=y("p025"), y2="p975:Q"),
        base.mark_area(color=ARRIVALS, opacity=0.85).encode(x=x, y=y("p10"), y2="p90:Q"),
        base.mark_line(color=MUTED, strokeWidth=1.6, strokeDash=[4, 3]).encode(x=x, y=y("booked")),
        base.mark_line(
            color=BOOKED, strokeWidth=2.4, point=alt.OverlayMarkDef(size=22, filled=True, color=BOOKED)
        ).encode(x=x, y=y("expected")),
        chart([{"at": quarter["actual"]}]).mark_rule(color=QUOTA, strokeWidth=2.2).encode(y=y("at")),
    ]
    said = "; ".join(
        words(
            "fan.spoken",
            week=f.integer(point["week"]),
            expected=f.compact(point["expected"]),
            low=f.compact(point["p10"]),
            high=f.compact(point["p90"]),
        )
        for point in points
    )
    period = f.period(quarter["period"])
    spoken = words("fan.chart", period=period, actual=f.compact(quarter["actual"]), points=said)
    return finish(alt.layer(*layers), _PANEL, _HEIGHT, spoken)


def reliability(bins: Sequence[Fact], words: Words, *, width: int) -> Markup:
    """Share that happened against the chance said, by bins, with the line on which both are the same."""
    f = words.formats
    top = min(1.0, 1.06 * max([0.05, *(bin_[end] for bin_ in bins for end in ("said", "upper"))]))
    ticks = percent_axis(top, f)
    scale = alt.Scale(domain=[0, top], nice=False)
    x = alt.X("said:Q", scale=scale, axis=ticks, title=words("calibration.said"))
    y = alt.Y("happened:Q", scale=scale, axis=ticks, title=words("calibration.happened"))
    base = chart(list(bins))
    even = chart([{"said": 0.0, "happened": 0.0}, {"said": top, "happened": top}])
    layers: list[alt.Chart] = [
        even.mark_line(color=OTHERS, strokeWidth=1.4, strokeDash=[4, 3]).encode(x=x, y=y),
        base.mark_rule(color=BOOKED, strokeWidth=1.6).encode(x=x, y=alt.Y("lower:Q"), y2="upper:Q"),
        base.mark_circle(color=BOOKED, size=44, opacity=1.0).encode(x=x, y=y),
    ]
    said = "; ".join(
        words("calibration.spoken", said=f.percent(bin_["said"], 1), happened=f.percent(bin_["happened"], 1))
        for bin_ in bins
    )
    size = width - 70
    return finish(alt.layer(*layers), size, round(0.78 * size), f"{words('calibration.chart')} {said}")


def coverage(levels: Sequence[Fact], words: Words, *, width: int) -> Markup:
    """How often the ranges held what came, by level, beside how often they are to."""
    f = words.formats
    names = 108
    rows: list[dict[str, Any]] = []
    for level in levels:
        for nominal in (80, 95):
            share = level[f"coverage_{nominal}"]
            if share["value"] is not None:
                rows.append(
                    {
                        "name": words(f"level.{level['level']}"),
                        "share": share["value"],
                        "low": share["lower"],
                        "high": share["upper"],
                        "nominal": nominal / 100,
                    }
                )
    order = list(dict.fromkeys(row["name"] for row in rows))
    labels = alt.Axis(labelAlign="left", labelPadding=names, grid=False, minExtent=names, maxExtent=names)
    ticks = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    x = alt.X(
        "share:Q",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=axis(ticks, [f"{f.decimal(100 * tick, 0)}%" for tick in ticks]),
        title=None,
    )
    layers: list[alt.Chart] = []
    for aimed, colour, shift in ((0.8, OPEN, -7), (0.95, BOOKED, 7)):
        mine = [row for row in rows if row["nominal"] == aimed]
        y = alt.Y("name:N", sort=order, title=None, axis=labels)
        known = [row for row in mine if row["low"] is not None]
        if known:
            layers.append(
                chart(known)
                .mark_rule(color=colour, strokeWidth=2, yOffset=shift)
                .encode(x=alt.X("low:Q"), x2="high:Q", y=y)
            )
        layers.append(
            chart(mine).mark_circle(color=colour, size=60, opacity=1.0, yOffset=shift).encode(x=x, y=y)
        )
        aim = chart([{"at": aimed}]).mark_rule(color=colour, strokeWidth=1.4, strokeDash=[4, 3])
        layers.append(aim.encode(x=alt.X("at:Q")))
    said = "; ".join(f"{row['name']} {f.percent(row['nominal'])}: {f.percent(row['share'])}" for row in rows)
    return finish(
        alt.layer(*layers), width - names - 30, 46 * max(len(order), 1), f"{words('coverage.chart')} {said}"
    )


def _weeks(weeks: Sequence[int], words: Words) -> alt.X:
    ticks = [week for week in weeks if week % 4 == 0] or list(weeks[:1])
    last = max([*weeks, 1])
    return alt.X(
        "week:Q",
        scale=alt.Scale(domain=[0, last], nice=False),
        axis=axis(ticks, [words("weeks.tick", week=words.formats.integer(tick)) for tick in ticks]),
        title=None,
    )
