"""The report's charts, each a function from facts to inline SVG that says in words what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import altair as alt
from markupsafe import Markup

from forecast.report.drawing import (
    ARRIVALS,
    BOOKED,
    FALL,
    INK,
    MUTED,
    OPEN,
    OTHERS,
    QUOTA,
    RISE,
    along,
    axis,
    chart,
    distinct,
    finish,
    listed,
    money_axis,
    named_rows,
    own_colour,
    percent_axis,
    quota_line,
    ramp,
    spread,
    value_labels,
)
from forecast.report.facts.plain import Fact
from forecast.report.words import Words

__all__ = ["attainment", "baselines", "bridge", "composition", "funnel", "relative", "stages", "win_curves"]

_MOST_BARS: Final = 14
_METHODS: Final = ("stage_weighted", "commit", "best_case")
_SPOKEN: Final = ("booked", "open", "arrivals", "quota")


def composition(facts: Fact, words: Words, *, width: int) -> Markup:
    """Booked, open and not yet created as one bar; under it the range of the total, across it the quota."""
    f, company = words.formats, facts["company"]
    parts, start = [], 0.0
    for kind, colour in (("booked", BOOKED), ("open", OPEN), ("arrivals", ARRIVALS)):
        end = start + (company[kind] or 0.0)
        parts.append({"from": start, "to": end, "colour": colour})
        start = end
    low, high, quota = company["p10"] or 0.0, company["p90"] or 0.0, company["quota"]
    top = max(start, high, quota or 0.0, 1.0) * 1.04
    scale = alt.Scale(domain=[0, top], nice=False)
    ticks = money_axis(top, f, width)
    ticks.grid = False
    x = alt.X("from:Q", scale=scale, axis=ticks, title=None)
    between = f"{f.compact(low)} – {f.compact(high)}"
    range_at = min(max((low + high) / 2 / top * width, 60), width - 60)
    ends = chart([{"at": low}, {"at": high}])
    layers: list[alt.Chart] = [
        chart(parts).mark_bar(height=42).encode(x=x, x2="to:Q", y=alt.value(40), color=own_colour()),
        chart([{"from": low, "to": high}])
        .mark_rule(color=INK, strokeWidth=2)
        .encode(x="from:Q", x2="to:Q", y=alt.value(85)),
        ends.mark_rule(color=INK, strokeWidth=2).encode(x="at:Q", y=alt.value(80), y2=alt.value(90)),
        chart([{"label": between}])
        .mark_text(color=INK, fontSize=12)
        .encode(x=alt.value(range_at), y=alt.value(74), text="label:N"),
    ]
    if quota is not None:
        at = chart([{"at": quota, "label": f"{words('part.quota')} {f.compact(quota)}"}])
        line = at.mark_rule(color=QUOTA, strokeWidth=2.5)
        layers.append(line.encode(x="at:Q", y=alt.value(13), y2=alt.value(66)))
        # The label leans to the side where there is room for it.
        align, shift = ("right", 2) if quota > top * 0.5 else ("left", -2)
        name = at.mark_text(color=QUOTA, fontSize=13, fontWeight="bold", align=align, dx=shift)
        layers.append(name.encode(x="at:Q", y=alt.value(5), text="label:N"))
    amounts = [f"{words(f'part.{kind}')} {f.compact(company[kind])}" for kind in _SPOKEN]
    return finish(alt.layer(*layers), width, 96, f"{', '.join(amounts)}; {words('part.range')} {between}.")


def attainment(group: Fact, labels: Sequence[str], words: Words, *, width: int) -> Markup:
    """Expected bookings of one level with their range: against quota if every line has one, else in money.

    labels : name of each line of the group
    """
    f = words.formats
    lines = group["lines"][:_MOST_BARS]
    against_quota = relative(group)
    level = words(f"groups.level_{group['level']}")

    def scaled(line: Fact, name: str) -> float:
        value = float(line[name] or 0.0)
        return value / line["quota"] if against_quota else value

    rows: list[dict[str, Any]] = [
        {
            "name": label,
            "expected": scaled(line, "expected"),
            "low": scaled(line, "p10"),
            "high": scaled(line, "p90"),
            "label": f.percent(line["attainment"]) if against_quota else f.compact(line["expected"]),
        }
        for label, line in zip(distinct(labels[: len(lines)]), lines, strict=True)
    ]
    base, y, plot = named_rows(rows, width, room=48)
    top = 1.02 * max(
        [1.05 if against_quota else 1.0, *(row[end] for row in rows for end in ("expected", "high"))]
    )
    ticks = percent_axis(top, f) if against_quota else money_axis(top, f, plot)
    tick = base.mark_tick(color=INK, thickness=1.8, size=9)
    layers = [
        base.mark_bar(height=16, color=OPEN).encode(x=along("expected", top, ticks), y=y),
        base.mark_rule(color=INK, strokeWidth=1.8).encode(x="low:Q", x2="high:Q", y=y),
        tick.encode(x="low:Q", y=y),
        tick.encode(x="high:Q", y=y),
        value_labels(base, y, plot + 46, bold=True),
    ]
    if against_quota:
        layers.append(quota_line(1.0))
    spoken = words("groups.chart" if against_quota else "groups.chart_plain", level=level)
    return finish(alt.layer(*layers), plot, 30 * len(rows), listed(spoken, rows))


def relative(group: Fact) -> bool:
    """Whether the lines of a group can all be drawn against their quota."""
    return all(line["quota"] for line in group["lines"][:_MOST_BARS])


def bridge(change: Fact, expected: float, words: Words, *, width: int) -> Markup:
    """From the earlier expectation to today's in steps, as floating bars."""
    f = words.formats
    before = float(change["expected"] or 0.0)
    steps: list[dict[str, Any]] = []
    level = before
    for step in change["steps"]:
        count = f" ({f.integer(step['deals'])})" if step["deals"] else ""
        steps.append(
            {
                "name": words(f"step.{step['kind']}") + count,
                "from": level,
                "to": level + step["amount"],
                "colour": RISE if step["amount"] >= 0 else FALL,
                "label": f.change(step["amount"]),
            }
        )
        level += step["amount"]
    # Steps are small beside the whole: bars begin below the lowest point, and there is no axis to misread.
    reached = [before, expected, *(step["to"] for step in steps)]
    low, high = min(reached), max(*reached, 1.0)
    start = max(low - max(1.2 * (high - low), 0.05 * high), 0.0)
    whole: list[dict[str, Any]] = [
        {"name": words(f"changes.{key}"), "from": start, "to": at, "colour": colour, "label": f.compact(at)}
        for key, at, colour in (("then", before, MUTED), ("now", expected, BOOKED))
    ]
    rows = [whole[0], *steps, whole[1]]
    base, y, plot = named_rows(rows, width, room=86)
    x = alt.X("from:Q", scale=alt.Scale(domain=[start, high + 0.02 * (high - start)], nice=False), axis=None)
    layers = [
        base.mark_bar(height=15).encode(x=x, x2="to:Q", y=y, color=own_colour()),
        value_labels(base, y, plot + 84),
    ]
    spoken = words(
        "changes.chart", before=f.compact(before), after=f.compact(expected), date=f.date(change["as_of"])
    )
    return finish(alt.layer(*layers), plot, 26 * len(rows), listed(spoken, steps))


def stages(pipeline: Fact, labels: Sequence[str], words: Words, *, width: int) -> Markup:
    """Open amount by stage, and inside it what is expected of it."""
    f = words.formats
    rows = [
        {
            "name": label,
            "amount": line["amount"],
            "expected": line["expected"],
            "label": f.compact(line["amount"]),
        }
        for label, line in zip(distinct(labels), pipeline["stages"], strict=True)
    ]
    base, y, plot = named_rows(rows, width, room=70)
    top = 1.02 * max(1.0, *(row[size] for row in rows for size in ("amount", "expected")))
    layers = [
        base.mark_bar(height=20, color=ARRIVALS).encode(
            x=along("amount", top, money_axis(top, f, plot)), y=y
        ),
        base.mark_bar(height=20, color=BOOKED).encode(x="expected:Q", y=y),
        value_labels(base, y, plot + 68),
    ]
    return finish(alt.layer(*layers), plot, 32 * len(rows), listed(words("pipeline.chart"), rows))


def win_curves(pipeline: Fact, labels: Sequence[str], words: Words, *, width: int) -> Markup | None:
    """Average chance of being won within so many days, one line per stage; None without open deals."""
    f = words.formats
    lines = [
        (label, line["curve"])
        for label, line in zip(labels, pipeline["stages"], strict=True)
        if line["curve"]
    ]
    if not lines or pipeline["pipelines"] > 1:
        return None
    horizons = pipeline["horizons_days"]
    colours = ramp(len(lines))
    longest = max(len(label) for label, _ in lines) + len(" 100%")
    plot, height = width - 52 - round(min(6.2 * longest, 0.45 * width)), 210
    top = max(max(curve) for _, curve in lines) * 1.06 or 1.0
    points = [
        {"stage": label, "days": days, "chance": chance, "colour": colour}
        for (label, curve), colour in zip(lines, colours, strict=True)
        for days, chance in zip([0, *horizons], [0.0, *curve], strict=True)
    ]
    places = spread([height * (1 - curve[-1] / top) for _, curve in lines], gap=15, top=height)
    ends = [
        {"y": at, "label": f"{label} {f.percent(curve[-1])}"}
        for at, (label, curve) in zip(places, lines, strict=True)
    ]
    marks = [0, *horizons[1:]]
    days = alt.X(
        "days:Q",
        scale=alt.Scale(domain=[0, horizons[-1]], nice=False),
        axis=axis(marks, [f.integer(mark) for mark in marks]),
        title=words("pipeline.curve_axis"),
    )
    chance = alt.Y(
        "chance:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=percent_axis(top, f), title=None
    )
    line = chart(points).mark_line(
        strokeWidth=2.4, interpolate="monotone", point=alt.OverlayMarkDef(size=26, filled=True)
    )
    layers: list[alt.Chart] = [line.encode(x=days, y=chance, color=own_colour(), detail="stage:N")]
    layers += [
        chart([end])
        .mark_text(align="left", fontSize=12, color=INK)
        .encode(x=alt.value(plot + 8), y=alt.value(end["y"]), text="label:N")
        for end in ends
    ]
    spoken = f"{words('pipeline.curve_chart')} {'; '.join(str(end['label']) for end in ends)}"
    return finish(alt.layer(*layers), plot, height, spoken)


def funnel(facts: Fact, words: Words, *, width: int) -> Markup:
    """Decided deals that reached each stage, down to the won ones."""
    f = words.formats
    steps = [
        *((line["stage"], line["reached"]) for line in facts["stages"]),
        (words("pipeline.won"), facts["won"]),
    ]
    first = steps[0][1] or 1
    rows = []
    for name, (_, count) in zip(distinct([name for name, _ in steps]), steps, strict=True):
        share = count / first
        roomy = share > 0.16  # else the number stands beside the bar
        rows.append(
            {
                "name": name,
                "from": -share / 2,
                "to": share / 2,
                "label": f.integer(count),
                "at": 0.0 if roomy else share / 2 + 0.05,
                "ink": "white" if roomy else INK,
                "colour": OPEN,
            }
        )
    rows[-1]["colour"] = BOOKED
    base, y, plot = named_rows(rows, width, room=8)
    x = alt.X("from:Q", scale=alt.Scale(domain=[-0.5, 0.5], nice=False), axis=None)
    ink = alt.Color("ink:N", scale=None, legend=None)
    number = base.mark_text(fontSize=12.5, fontWeight="bold")
    layers = [
        base.mark_bar(height=24).encode(x=x, x2="to:Q", y=y, color=own_colour()),
        number.encode(x="at:Q", y=y, text="label:N", color=ink),
    ]
    return finish(alt.layer(*layers), plot, 30 * len(rows), listed(words("pipeline.funnel_chart"), rows))


def baselines(facts: Fact, words: Words, *, width: int) -> Markup:
    """This forecast with its range beside the figures of other methods, and the quota."""
    f, company = words.formats, facts["company"]
    amounts = {"ours": company["expected"]} | {name: facts["baselines"][name] for name in _METHODS}
    rows = [
        {
            "name": words(f"baselines.{name}"),
            "amount": amount,
            "label": f.compact(amount),
            "colour": OPEN if name == "ours" else OTHERS,
        }
        for name, amount in amounts.items()
        if amount is not None
    ]
    base, y, plot = named_rows(rows, width, room=70)
    low, high, quota = company["p10"] or 0.0, company["p90"] or 0.0, company["quota"]
    top = 1.02 * max(1.0, high, quota or 0.0, *(row["amount"] for row in rows))
    ours = chart([{"name": rows[0]["name"], "low": low, "high": high}])
    layers = [
        base.mark_bar(height=18).encode(
            x=along("amount", top, money_axis(top, f, plot)), y=y, color=own_colour()
        ),
        value_labels(base, y, plot + 68),
        ours.mark_rule(color=INK, strokeWidth=1.8).encode(x="low:Q", x2="high:Q", y=y),
    ]
    if quota is not None:
        layers.append(quota_line(quota))
    return finish(alt.layer(*layers), plot, 32 * len(rows), listed(words("baselines.chart"), rows))
