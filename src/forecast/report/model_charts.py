"""What a data scientist looks at after a training, from plain tables to SVG.

English only: these stand in MLflow and in model cards, not in the manager's report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import altair as alt

from forecast.language import formats_of
from forecast.report.drawing import (
    ARRIVALS,
    BOOKED,
    INK,
    MUTED,
    OPEN,
    QUOTA,
    axis,
    chart,
    distinct,
    finish,
    listed,
    money_axis,
    named_rows,
    nice_ticks,
    percent_axis,
    value_labels,
)

__all__ = ["bookings", "calibration", "importances", "incidence"]

Row = dict[str, Any]

_COLOURS: Final = {"won": OPEN, "lost": QUOTA}


def incidence(rows: Sequence[Row], *, width: int = 620) -> str:
    """Mean curves that were said (lines) over what came (points, Aalen-Johansen).

    rows : outcome (`won` or `lost`), days, said, came
    """
    f = formats_of("en")
    top = max((max(row["said"], row["came"]) for row in rows), default=0.0) * 1.05 or 1.0
    last = max((row["days"] for row in rows), default=1.0)
    ticks = nice_ticks(last, most=8)
    x = alt.X("days:Q", scale=alt.Scale(domain=[0, last]), axis=axis(ticks, [f"{t:.0f}" for t in ticks]))
    x = x.title("days after the look")
    scale = alt.Scale(domain=[0, top], nice=False)
    colour = alt.Color(
        "outcome:N", scale=alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values())), title=None
    )
    base = chart(list(rows))
    said = base.mark_line(strokeWidth=2.2)
    came = base.mark_point(filled=True, size=34, opacity=1.0)
    layers = alt.layer(
        said.encode(x=x, y=alt.Y("said:Q", scale=scale, axis=percent_axis(top, f), title=None), color=colour),
        came.encode(x=x, y=alt.Y("came:Q", scale=scale, axis=percent_axis(top, f), title=None), color=colour),
    )
    return str(finish(layers, width, 300, "Mean cumulative incidence: lines said, points came."))


def calibration(rows: Sequence[Row], *, width: int = 420) -> str:
    """What happened over what was said, by horizon, with the interval of each share; the diagonal is perfect.

    rows : horizon_days, said, happened, lower, upper
    """
    f = formats_of("en")
    top = max((max(row["said"], row["upper"]) for row in rows), default=1.0) * 1.02
    named = [{**row, "horizon": f"{row['horizon_days']:.0f} days"} for row in rows]
    scale = alt.Scale(domain=[0, top], nice=False)
    x = alt.X("said:Q", scale=scale, axis=percent_axis(top, f), title="probability given")
    y = alt.Y("happened:Q", scale=scale, axis=percent_axis(top, f), title="share won")
    names = list(dict.fromkeys(row["horizon"] for row in named))
    colours = [BOOKED, QUOTA, OPEN, ARRIVALS, MUTED][: len(names)]
    colour = alt.Color("horizon:N", scale=alt.Scale(domain=names, range=colours), title=None)
    diagonal = chart([{"said": 0.0, "happened": 0.0}, {"said": top, "happened": top}])
    base = chart(named)
    layers = alt.layer(
        diagonal.mark_line(color=MUTED, strokeDash=[4, 4], strokeWidth=1).encode(x=x, y=y),
        base.mark_rule(strokeWidth=1).encode(
            x=x, y=alt.Y("lower:Q", scale=scale, title="share won"), y2="upper:Q", color=colour
        ),
        base.mark_line(point=alt.OverlayMarkDef(filled=True, size=34), strokeWidth=1.6).encode(
            x=x, y=y, color=colour
        ),
    )
    return str(finish(layers, width, width, "Share won over probability given; the diagonal is perfect."))


def importances(rows: Sequence[Row], *, width: int = 620, most: int = 20) -> str:
    """How many points of win probability each feature moves a deal by, on average; largest first.

    rows : label, effect (mean absolute change of the win probability)
    """
    shown = sorted(rows, key=lambda row: -row["effect"])[:most]
    named = [
        {"name": name, "effect": 100.0 * row["effect"], "label": f"{100.0 * row['effect']:.1f}"}
        for name, row in zip(distinct([row["label"] for row in shown]), shown, strict=True)
    ]
    base, y, plot = named_rows(named, width, room=48)
    top = 1.02 * max((row["effect"] for row in named), default=1.0) or 1.0
    ticks = nice_ticks(top, most=6)
    x = alt.X(
        "effect:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=axis(ticks, [f"{t:g}" for t in ticks]),
        title="points of win probability",
    )
    layers = alt.layer(
        base.mark_bar(height=14, color=OPEN).encode(x=x, y=y), value_labels(base, y, plot + 46)
    )
    spoken = listed("Mean points of win probability by feature:", named)
    return str(finish(layers, plot, max(22 * len(named), 22), spoken))


def bookings(rows: Sequence[Row], *, currency: str, width: int = 620) -> str:
    """Bookings of the held-out quarter: what each rule expected, our range, and a line where it came out.

    rows : label, forecaster, expected, p10, p90 (None where a rule gives none); the row `actual` is the line
    """
    f = formats_of("en")
    actual = next(row["expected"] for row in rows if row["forecaster"] == "actual")
    shown = [row for row in rows if row["forecaster"] != "actual"]
    named = [
        {
            "name": name,
            "expected": row["expected"],
            "low": row["p10"],
            "high": row["p90"],
            "label": f.compact(row["expected"]),
        }
        for name, row in zip(distinct([row["label"] for row in shown]), shown, strict=True)
    ]
    base, y, plot = named_rows(named, width, room=56)
    top = 1.05 * max([actual, 1.0, *(max(row["expected"], row["high"] or 0.0) for row in named)])
    scale = alt.Scale(domain=[0, top], nice=False)
    x = alt.X("expected:Q", scale=scale, axis=money_axis(top, f, plot), title=currency)
    ranged = chart([row for row in named if row["low"] is not None])
    layers = alt.layer(
        base.mark_bar(height=14, color=ARRIVALS).encode(x=x, y=y),
        ranged.mark_rule(color=INK, strokeWidth=1.8).encode(x=alt.X("low:Q", scale=scale), x2="high:Q", y=y),
        chart([{"at": actual}]).mark_rule(color=QUOTA, strokeWidth=2.2).encode(x=alt.X("at:Q", scale=scale)),
        value_labels(base, y, plot + 54),
    )
    spoken = listed(f"Expected bookings in {currency}; {f.compact(actual)} came:", named)
    return str(finish(layers, plot, 24 * len(named), spoken))
