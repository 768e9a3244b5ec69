"""What all charts share: colours, axes in the reader's language, names, and the step to SVG.

Colours differ in lightness as well as hue, so they survive grey printing and every kind of colour vision; the
quota is always the same orange line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import altair as alt
from markupsafe import Markup

from forecast.language import UNKNOWN, Formats
from forecast.report.svg import draw, drawable

__all__ = [
    "ARRIVALS",
    "BOOKED",
    "FALL",
    "INK",
    "MUTED",
    "OPEN",
    "OTHERS",
    "QUOTA",
    "RISE",
    "along",
    "axis",
    "chart",
    "distinct",
    "finish",
    "listed",
    "money_axis",
    "named_rows",
    "nice_ticks",
    "own_colour",
    "percent_axis",
    "quota_line",
    "ramp",
    "spread",
    "value_labels",
]

INK: Final = "#17242f"
MUTED: Final = "#55636f"
GRID: Final = "#e4e9ed"
BOOKED: Final = "#123f5c"
OPEN: Final = "#3182bd"
ARRIVALS: Final = "#a6cfe6"
QUOTA: Final = "#c8500a"
OTHERS: Final = "#aab5be"
RISE: Final = "#3182bd"
FALL: Final = "#d9822b"
# From light to dark along the stages (cut from viridis, whose lightness is even).
_STEPS: Final = ("#7ad151", "#22a884", "#2a788e", "#414487", "#2d0a4e")
Row = dict[str, Any]


def chart(rows: Sequence[Row]) -> alt.Chart:
    """A chart of plain rows; Vega-Lite infers nothing from them but what is encoded."""
    return alt.Chart(alt.Data(values=list(rows)))


def own_colour() -> alt.Color:
    """Each row's own `colour`, as it is."""
    return alt.Color("colour:N", scale=None, legend=None)


def named_rows(rows: Sequence[Row], width: int, *, room: int) -> tuple[alt.Chart, alt.Y, int]:
    """Rows under each other with their `name` on the left.

    Returns the chart, its y encoding, and the width that is left to draw in. Names stand flush left, as in
    the tables beside the chart. `room` is kept free on the right.
    """
    names = 172 if width >= 440 else 134
    labels = alt.Axis(
        labelLimit=names - 10,
        labelPadding=names,
        labelAlign="left",
        grid=False,
        minExtent=names,
        maxExtent=names,
    )
    y = alt.Y("name:N", sort=[str(row["name"]) for row in rows], title=None, axis=labels)
    return chart(rows), y, width - names - room


def value_labels(base: alt.Chart, y: alt.Y, right: int, *, bold: bool = False) -> alt.Chart:
    """Each row's `label`, ending at `right` pixels."""
    mark = base.mark_text(align="right", color=INK, fontSize=12.5, fontWeight="bold" if bold else "normal")
    return mark.encode(x=alt.value(right), y=y, text="label:N")


def quota_line(at: float) -> alt.Chart:
    """The quota, through all rows."""
    return chart([{"at": at}]).mark_rule(color=QUOTA, strokeWidth=2.2).encode(x="at:Q")


def along(field: str, top: float, ticks: alt.Axis) -> alt.X:
    """From 0 to `top` along x."""
    return alt.X(f"{field}:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=ticks, title=None)


def listed(intro: str, rows: Sequence[Row]) -> str:
    """What a chart says to those who listen: an introduction, then every row."""
    said = "; ".join(f"{row['name']} {row['label']}" for row in rows)
    return f"{intro} {said}"


def axis(values: Sequence[float], labels: Sequence[str]) -> alt.Axis:
    """An axis whose labels are ours, so that they are in the reader's language."""
    lookup = f"{json.dumps(list(labels))}[indexof({json.dumps(list(values))}, datum.value)]"
    return alt.Axis(values=list(values), labelExpr=lookup)


def money_axis(top: float, f: Formats, width: int) -> alt.Axis:
    """Round amounts up to `top`, as many as `width` pixels have room for."""
    values = nice_ticks(top, most=max(2, width // 75))
    return axis(values, [f.tick(value) for value in values])


def percent_axis(top: float, f: Formats) -> alt.Axis:
    """Round percentages up to the share `top`."""
    values = nice_ticks(top, most=6)
    return axis(values, [f"{f.decimal(100 * value, 0 if 100 * values[1] >= 1 else 1)}%" for value in values])


def nice_ticks(top: float, *, most: int) -> list[float]:
    """0 and round steps of 1, 2, 2.5 or 5 times a power of ten, up to `top`, at most `most` steps."""
    magnitude = 10.0 ** (len(f"{top:.0f}") - 4) if top >= 1 else 1e-3
    while True:
        for step in (1.0, 2.0, 2.5, 5.0):
            if top / (step * magnitude) <= most:
                size = step * magnitude
                return [place * size for place in range(int(top / size + 1e-9) + 1)]
        magnitude *= 10.0


def distinct(labels: Sequence[str]) -> list[str]:
    """Labels made different where two are the same: a category axis would otherwise merge their bars."""
    seen: dict[str, int] = {}
    found = []
    for label in map(drawable, labels):
        seen[label] = seen.get(label, 0) + 1
        # Word joiners are invisible.
        found.append((label or UNKNOWN) + "\u2060" * (seen[label] - 1))
    return found


def ramp(count: int) -> list[str]:
    """Colours for so many steps of one thing, from light to dark."""
    if count <= 1:
        return [_STEPS[-2]]
    places = [round(place * (len(_STEPS) - 1) / (count - 1)) for place in range(count)]
    return [_STEPS[place] for place in places]


def spread(heights: Sequence[float], *, gap: float, top: float) -> list[float]:
    """Heights moved apart to at least `gap`, in their order and inside [0, top]: labels must not overlap."""
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    moved = list(heights)
    lowest = 4.0
    for place in order:
        moved[place] = max(heights[place], lowest)
        lowest = moved[place] + gap
    highest = top
    for place in reversed(order):
        moved[place] = min(moved[place], highest)
        highest = moved[place] - gap
    return moved


def finish(chart: alt.LayerChart, width: int, height: int, spoken: str) -> Markup:
    """The chart in the page's style as SVG. A test holds the specifications against Vega-Lite's schema."""
    finished = (
        chart.properties(width=width, height=height, padding=2, background="white")
        .configure(font="sans-serif", aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=MUTED, titleFontWeight="normal", labelFontSize=12, titleFontSize=12,
            gridColor=GRID, domain=False, ticks=False, labelPadding=6,
        )
    )  # fmt: skip
    return draw(finished.to_dict(validate=False), spoken)
