"""Charts of the accuracy benchmark as SVG: one idea each, ours in colour and everybody else in grey."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import altair as alt
import numpy as np
import pandas as pd
import vl_convert as vlc

from benchmarks.peers.field import OURS
from forecast.arrays import Floats
from forecast.evaluation import metrics

__all__ = ["calibration_chart", "learning_chart", "size_chart", "skill_chart", "truth_chart", "write_chart"]

_OURS: Final = "#1b7f5c"
_OTHERS: Final = "#7d8794"


def _who(table: pd.DataFrame, labels: dict[str, str]) -> pd.DataFrame:
    named = table[table["forecaster"].isin(labels)]
    return named.assign(
        label=named["forecaster"].map(labels),
        who=np.where(named["forecaster"] == OURS, "ours", "others"),
        horizon=named["horizon_days"].map("{} days".format),
    )


def _colour(legend: bool = False) -> alt.Color:
    return alt.Color(
        "who:N",
        scale=alt.Scale(domain=["ours", "others"], range=[_OURS, _OTHERS]),
        legend=alt.Legend(title=None) if legend else None,
    )


def truth_chart(table: pd.DataFrame, labels: dict[str, str]) -> alt.Chart:
    """Distance from the truth at each horizon, one line of dots a forecaster."""
    rows = _who(table[table["metric"] == "mae"], labels)
    return (
        alt.Chart(rows)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            x=alt.X("value:Q", title="mean distance from the exact probability"),
            y=alt.Y("label:N", title=None, sort=list(labels.values()), axis=alt.Axis(labelLimit=260)),
            shape=alt.Shape("horizon:N", title=None, sort=["30 days", "90 days", "180 days"]),
            color=_colour(),
        )
        .properties(width=520, height=22 * len(labels))
    )


def learning_chart(table: pd.DataFrame, labels: dict[str, str]) -> alt.LayerChart:
    """Distance from the truth at 90 days over the size of the company."""
    rows = _who(table[(table["metric"] == "mae") & (table["horizon_days"] == 90)], labels)
    base = alt.Chart(rows).encode(
        x=alt.X("deals:Q", title="deals", scale=alt.Scale(type="log"), axis=alt.Axis(format=",d")),
        y=alt.Y("value:Q", title="mean distance from the exact P(won within 90 days)"),
        detail="label:N",
        color=_colour(),
    )
    names = (
        base.transform_filter(alt.datum.deals == int(rows["deals"].max()))
        .mark_text(align="left", dx=7, fontSize=10)
        .encode(text="label:N")
    )
    return alt.layer(base.mark_line(point=True), names).properties(width=480, height=360)


def size_chart(table: pd.DataFrame, labels: dict[str, str]) -> alt.LayerChart:
    """Distance from the truth at 90 days over the number of closed deals.

    table : columns size, forecaster, horizon_days, mae; sizes are evenly spaced, for they begin at nought
    """
    rows = _who(table[table["horizon_days"] == 90], labels)
    base = alt.Chart(rows).encode(
        x=alt.X("size:O", title="closed deals to learn from", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("mae:Q", title="mean distance from the exact P(won within 90 days)"),
        detail="label:N",
        color=_colour(),
    )
    names = (
        base.transform_filter(alt.datum.size == int(rows["size"].max()))
        .mark_text(align="left", dx=7, fontSize=10)
        .encode(text="label:N")
    )
    return alt.layer(base.mark_line(point=True), names).properties(width=480, height=360)


def calibration_chart(outcome: Floats, weight: Floats, said: dict[str, Floats]) -> alt.LayerChart:
    """What happened over what was said, smoothed, for each forecaster given."""
    parts = []
    for label, predicted in said.items():
        x, y = metrics.calibration_curve(outcome, predicted, weight=weight)
        parts.append(pd.DataFrame({"said": x, "happened": y, "label": label}))
    base = alt.Chart(pd.concat(parts)).encode(
        x=alt.X("said:Q", title="forecast P(won within 90 days)", axis=alt.Axis(format="%")),
        y=alt.Y("happened:Q", title="share that was won", axis=alt.Axis(format="%")),
    )
    straight = (
        alt.Chart(pd.DataFrame({"said": [0.0, 1.0], "happened": [0.0, 1.0]}))
        .mark_line(strokeDash=[4, 4], color=_OTHERS)
        .encode(x="said:Q", y="happened:Q")
    )
    lines = base.mark_line(strokeWidth=2).encode(
        color=alt.Color(
            "label:N",
            title=None,
            sort=list(said),
            scale=alt.Scale(range=[_OURS, "#b4552d", "#4a6fa5", _OTHERS]),
        )
    )
    return alt.layer(straight, lines).properties(width=340, height=340)


def skill_chart(table: pd.DataFrame, labels: dict[str, str]) -> alt.Chart:
    """Brier skill at each horizon of a real data set; skills below nought are cut off at it."""
    rows = _who(table[table["metric"] == "skill"], labels).assign(value=lambda t: t["value"].clip(lower=0.0))
    return (
        alt.Chart(rows)
        .mark_bar()
        .encode(
            x=alt.X("value:Q", title="Brier skill against the constant"),
            y=alt.Y("label:N", title=None, sort=list(labels.values()), axis=alt.Axis(labelLimit=260)),
            color=_colour(),
            column=alt.Column("horizon:N", title=None, sort=None),
        )
        .properties(width=170, height=20 * len(labels))
    )


def write_chart(chart: alt.TopLevelMixin, path: Path) -> None:
    """As SVG, its folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    finished = chart.configure(font="sans-serif", background="white")  # type: ignore[attr-defined]
    path.write_text(vlc.vegalite_to_svg(finished.to_dict()), encoding="utf-8")
