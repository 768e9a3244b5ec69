"""`python -m benchmarks.pictures` draws the pictures of docs/method.md into docs/images/.

The landmark picture follows the example in `forecast.history.landmarks`; all others are fitted to samples.
Those of the model's parts are in `benchmarks.model_pictures`, of its answers in `benchmarks.answer_pictures`.
About four minutes on one core: `python -m benchmarks.pictures season level` draws only these.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import altair as alt
import click
import numpy as np
import pandas as pd
import vl_convert as vlc
from rich.console import Console
from rich.progress import track

from benchmarks.answer_pictures import (
    amount_picture,
    incidence_picture,
    reasons_picture,
    roll_up_picture,
)
from benchmarks.model_pictures import (
    ages_picture,
    baseline_picture,
    clock_picture,
    kinds_picture,
    ladder_picture,
    level_picture,
    trees_picture,
)
from forecast.history import History, make_landmarks
from forecast.models import Bins, FitSettings, Season, fit_models
from forecast.models.arrivals import fit_arrivals
from forecast.models.creation import Wins
from forecast.periods import DAY_US, as_of_us
from forecast.simulator import simulate
from forecast.tables import Tables

IMAGES = Path(__file__).parents[1] / "docs" / "images"
OUTCOME_COLOURS = alt.Scale(domain=["won", "lost", "not yet known"], range=["#1b7f5c", "#b4552d", "#7d8794"])


def landmarks_picture() -> alt.LayerChart:
    """Three deals, their landmarks, and how long each landmark still had to wait."""
    stages = pd.DataFrame(
        {
            "pipeline": "sales",
            "stage": ["demo", "won", "lost"],
            "position": [1, 2, 3],
            "kind": ["open", "won", "lost"],
        }
    )
    moves = [
        ("deal A", "2025-06-03", "demo"), ("deal A", "2025-06-20 15:00", "won"),
        ("deal B", "2025-06-03", "demo"),
        ("deal C", "2025-06-10", "demo"), ("deal C", "2025-06-24", "lost"),
    ]  # fmt: skip
    events = pd.DataFrame(
        {
            "deal_id": [m[0] for m in moves],
            "recorded_at": [pd.Timestamp(m[1], tz="UTC") for m in moves],
            "field": "stage",
            "value": [m[2] for m in moves],
        }
    )
    deals = events.groupby("deal_id", as_index=False)["recorded_at"].min()
    history = History.from_tables(
        Tables.from_frames(
            stages=stages, deals=deals.set_axis(["deal_id", "created_at"], axis=1), deal_events=events
        )
    )
    until, first = pd.Timestamp("2025-07-01", tz="UTC"), pd.Timestamp("2025-06-05", tz="UTC")
    marks = make_landmarks(history, until_us=as_of_us(until), first_us=as_of_us(first))
    rows = pd.DataFrame(
        {
            "deal": history.deal_ids[marks.deal].astype(str),
            "from": pd.to_datetime(marks.at_us // 1000, unit="ms"),
            "to": pd.to_datetime(
                (marks.at_us + marks.duration_days * DAY_US).astype(np.int64) // 1000, unit="ms"
            ),
            "what happened": np.array(["not yet known", "won", "lost"])[marks.cause],
            "row": np.arange(len(marks)),
        }
    )
    base = alt.Chart(rows).encode(
        y=alt.Y("row:O", title=None, axis=None),
        color=alt.Color(
            "what happened:N", scale=OUTCOME_COLOURS, title=None, legend=alt.Legend(orient="bottom")
        ),
    )
    lines = base.mark_rule(strokeWidth=3).encode(
        x=alt.X("from:T", title="one row per landmark", axis=alt.Axis(format="%-d %b")), x2="to:T"
    )
    points = base.mark_point(filled=True, size=70).encode(x="from:T")
    names = (
        alt.Chart(rows.groupby("deal", as_index=False).first())
        .mark_text(align="right", dx=-10, fontWeight="bold")
        .encode(x="from:T", y="row:O", text="deal:N")
    )
    return alt.layer(lines, points, names).properties(width=620, height=230)


def season_picture() -> alt.LayerChart:
    """Fitted daily rates of winning and losing over one quarter."""
    simulation = simulate(deals=5000, seed=2)
    until = pd.Timestamp("2026-01-01", tz="UTC")
    models = fit_models(History.from_tables(simulation.tables), until, FitSettings(windows=1))
    days = np.arange(np.datetime64("2025-10-01"), np.datetime64("2026-01-01")).astype(np.int64)
    rows = pd.concat(
        pd.DataFrame({"day": pd.to_datetime(days, unit="D"), "rate": season.rate(days), "cause": cause})
        for cause, season in zip(("won", "lost"), models.seasons, strict=True)
    )
    line = (
        alt.Chart(rows)
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=alt.X("day:T", title="a quarter of the sample company", axis=alt.Axis(format="%-d %b")),
            y=alt.Y("rate:Q", title="times an average day", scale=alt.Scale(type="sqrt")),
            color=alt.Color(
                "cause:N",
                scale=alt.Scale(domain=["won", "lost"], range=["#1b7f5c", "#b4552d"]),
                title=None,
                legend=alt.Legend(orient="bottom"),
            ),
        )
    )
    one = (
        alt.Chart(pd.DataFrame({"rate": [1.0]}))
        .mark_rule(strokeDash=[4, 4], color="#7d8794")
        .encode(y="rate:Q")
    )
    return alt.layer(one, line).properties(width=620, height=230)


def after_a_win_picture() -> alt.Chart:
    """How many renewals and expansions are created per win, by the time since it."""
    history = History.from_tables(simulate(deals=20_000, seed=3).tables)
    until_us = as_of_us(pd.Timestamp("2026-01-01", tz="UTC"))
    bins, flat = Bins.for_follow_up(365), (Season.flat(), Season.flat())
    arrivals = fit_arrivals(history, until_us, bins, flat, np.full((2, len(bins)), -5.0))
    days = np.arange(720)
    wins = Wins(np.zeros(720, np.int64), until_us - days * DAY_US, np.zeros(720, np.int64), 0.0)
    rows = pd.concat(
        pd.DataFrame(
            {"days": days, "created": 30 * clock.per_win(wins, until_us, until_us + DAY_US), "motion": motion}
        )
        for motion, clock in zip(arrivals.motions, arrivals.creation.clocks, strict=True)
        if clock is not None
    )
    return (
        alt.Chart(rows)
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=alt.X("days:Q", title="days since a win in the account"),
            y=alt.Y("created:Q", title="deals per win and month", scale=alt.Scale(type="sqrt")),
            color=alt.Color(
                "motion:N",
                scale=alt.Scale(domain=["renewal", "expansion"], range=["#1b7f5c", "#b4552d"]),
                title=None,
                legend=alt.Legend(orient="bottom"),
            ),
        )
        .properties(width=620, height=230)
    )


PICTURES: dict[str, Callable[[], alt.TopLevelMixin]] = {
    "landmarks": landmarks_picture,
    "baseline": baseline_picture,
    "season": season_picture,
    "clock": clock_picture,
    "kinds": kinds_picture,
    "ages": ages_picture,
    "trees": trees_picture,
    "ladder": ladder_picture,
    "level": level_picture,
    "incidence": incidence_picture,
    "amount": amount_picture,
    "after_a_win": after_a_win_picture,
    "roll_up": roll_up_picture,
    "reasons": reasons_picture,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(PICTURES)))
def main(names: tuple[str, ...]) -> None:
    """Draw the pictures named, or all, into docs/images/."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in track(names or tuple(PICTURES), "drawing", console=Console(stderr=True)):
        picture = PICTURES[name]()
        svg = vlc.vegalite_to_svg(picture.configure(font="sans-serif", background="white").to_dict())
        (IMAGES / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
