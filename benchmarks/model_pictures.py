"""Pictures of how hazards are made: hats, clock, trees, ladder, level (drawn by `benchmarks.pictures`).

All are fitted to sample companies; none is a sketch.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from forecast.arrays import Floats
from forecast.bundle import Bundle
from forecast.features import FeatureMatrix, build
from forecast.features.kinds import KINDS, Kinds
from forecast.features.kinds.courses import BANDS_DAYS, Labels
from forecast.history import DatedRecords, History, Landmarks, make_landmarks
from forecast.models import (
    BoostedHazard,
    FitSettings,
    FittedModels,
    LinearHazard,
    Survival,
    fit_models,
)
from forecast.models.bins import hats
from forecast.models.level import quarterly_residuals
from forecast.models.rows import looks_per_closing
from forecast.periods import DAY_US, as_of_us
from forecast.scoring import score_deals
from forecast.simulator import Simulation, simulate
from forecast.simulator.process import AGE_BREAKS_DAYS, WIN_BY_AGE

__all__ = [
    "CAUSE_COLOURS",
    "END",
    "GREEN",
    "GREY",
    "RED",
    "WIDTH",
    "ages_picture",
    "baseline_picture",
    "clock_picture",
    "company",
    "fitted",
    "kinds_picture",
    "ladder_picture",
    "level_picture",
    "trees_picture",
]

GREEN, RED, GREY = "#1b7f5c", "#b4552d", "#7d8794"
CAUSE_COLOURS = alt.Scale(domain=["won", "lost"], range=[GREEN, RED])
WIDTH, HEIGHT = 620, 230
END = pd.Timestamp("2026-01-01", tz="UTC")
BELOW = alt.Legend(orient="bottom")
_OLDEST_DAYS = 260.0


@cache
def company() -> tuple[Simulation, History]:
    """The sample company of most pictures."""
    simulation = simulate(deals=20_000, seed=3)
    return simulation, History.from_tables(simulation.tables)


@cache
def fitted() -> FittedModels:
    """What its whole history teaches; prints how the ladder was judged."""
    models = fit_models(company()[1], END, FitSettings())
    for rung in models.ladder:
        print(f"{rung.name}{' (chosen)' if rung.chosen else ''}: {rung.reason}")
    return models


def _learnt(history: History, most: int, kinds: Kinds | None) -> tuple[Landmarks, FeatureMatrix]:
    """Landmarks and features of a history."""
    marks = make_landmarks(history, until_us=as_of_us(END)).thin(most, np.random.default_rng(0))
    return marks, build(history, marks.deal, marks.at_us, DatedRecords.of(history), kinds)


@cache
def _linear_models() -> FittedModels:
    """Models with the linear stage alone, by the same choices."""
    recipe = replace(fitted().recipe, rung=LinearHazard.name)
    return fit_models(company()[1], END, FitSettings(), recipe=recipe)


def _linear_stage() -> LinearHazard:
    outcome = _linear_models().outcome
    if isinstance(outcome, LinearHazard):
        return outcome
    raise TypeError(f"the sample company's ladder stopped at {outcome.name}")


def kinds_picture() -> alt.HConcatChart:
    """How the four kinds of the sample's deals are worked on, and how they end."""
    kinds = fitted().kinds
    if kinds is None:
        raise TypeError("the sample company's ladder does without kinds")
    share = np.exp(kinds.prior[-1, -1])
    told = ("hardly ever won", "seldom won", "middling", "often won")
    names = [f"{name}, {part:.0%} of deals" for name, part in zip(told, share, strict=True)]
    colours = alt.Scale(domain=names, range=[GREY, RED, "#3b5bdb", GREEN])
    ends = [*BANDS_DAYS[1:], 365.0]
    worked = pd.concat(
        pd.DataFrame(
            {
                "days": [*BANDS_DAYS, ends[-1]],
                "rate": 7.0 * np.append(kinds.working[:, kind], kinds.working[-1, kind]),
                "kind": names[kind],
            }
        )
        for kind in range(KINDS)
    )
    legend = alt.Legend(orient="bottom", columns=2)
    left = (
        alt.Chart(worked)
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=alt.X("days:Q", title="age of the deal in days"),
            y=alt.Y("rate:Q", title="activities a week, usual stage"),
            color=alt.Color("kind:N", scale=colours, sort=names, title=None, legend=legend),
        )
        .properties(width=300, height=HEIGHT)
    )
    labels = Labels(len(kinds.stages))
    ratio = np.exp(kinds.weights[: labels.activity].reshape(labels.stages, labels.targets, KINDS))
    last = labels.stages - 1
    ended = pd.DataFrame(
        [
            {"kind": names[kind], "cause": cause, "ratio": ratio[last, labels.stages + at, kind]}
            for kind in range(KINDS)
            for at, cause in enumerate(("won", "lost"))
        ]
    )
    right = (
        alt.Chart(ended)
        .mark_bar()
        .encode(
            x=alt.X("ratio:Q", title="closings from the last stage, 1 = usual"),
            y=alt.Y("cause:N", sort=["won", "lost"], title=None),
            row=alt.Row("kind:N", sort=names, title=None, header=alt.Header(labels=False)),
            color=alt.Color("kind:N", scale=colours, sort=names, title=None, legend=legend),
        )
        .properties(width=220, height=40)
    )
    return alt.hconcat(left, right)


def baseline_picture() -> alt.VConcatChart:
    """Four hats over log time, and the hazards of the average deal with and without a baseline per bin."""
    model = _linear_stage()
    edges = model.bins.edges_days.copy()
    edges[0] = 0.5  # log time has no zero
    days = np.unique(np.concatenate((model.knots_days, [edges[0], edges[-1]])))
    shapes = pd.concat(
        pd.DataFrame({"days": days, "weight": weight, "hat": f"peaks at {knot:.0f} days"})
        for weight, knot in zip(hats(model.knots_days, days), model.knots_days, strict=True)
    )
    axis = alt.X("days:Q", scale=alt.Scale(type="log", domain=[0.5, edges[-1]]), title=None)
    above = (
        alt.Chart(shapes)
        .mark_line(strokeWidth=1.8)
        .encode(
            x=axis,
            y=alt.Y("weight:Q", title="hat functions"),
            color=alt.Color(
                "hat:N",
                title=None,
                legend=alt.Legend(orient="right"),
                sort=[f"peaks at {knot:.0f} days" for knot in model.knots_days],
                scale=alt.Scale(range=["#3b5bdb", "#5f8dd3", "#8a6fb0", "#5a4275"]),
            ),
        )
        .properties(width=480, height=110)
    )
    smooth = model.intercept @ model.basis
    rows = pd.concat(
        pd.DataFrame(
            {
                "days": edges,
                "rate": np.exp(np.append(log_hazard[k], log_hazard[k, -1])) * 100,
                "cause": cause,
                "with": what,
            }
        )
        for what, log_hazard in (("hats and baseline", smooth + model.baseline), ("hats alone", smooth))
        for k, cause in enumerate(("won", "lost"))
    )
    below = (
        alt.Chart(rows)
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=axis.title("days after the landmark"),
            y=alt.Y("rate:Q", title="% per day, average deal"),
            color=alt.Color("cause:N", scale=CAUSE_COLOURS, title=None, legend=alt.Legend(orient="right")),
            strokeDash=alt.StrokeDash(
                "with:N",
                sort=["hats and baseline", "hats alone"],
                title=None,
                legend=alt.Legend(orient="right"),
            ),
        )
        .properties(width=480, height=170)
    )
    return alt.vconcat(above, below).resolve_scale(color="independent")


def clock_picture() -> alt.LayerChart:
    """The pace at which renewals and new business are won, by age: a clock by age, whatever windows chose."""
    recipe = replace(fitted().recipe, rung=LinearHazard.name, clock="age_days")
    clock = fit_models(company()[1], END, FitSettings(), recipe=recipe).clock
    paces = {motion: clock.pace[0, at] for at, motion in enumerate(clock.groups, start=1)}
    return _paces(clock.edges_days[:-1], paces, "times the hazard of winning")


def ages_picture() -> alt.LayerChart:
    """The pace at which deals of every kind are won, by age, and that of the simulator's renewals."""
    kinds = fitted().kinds
    if kinds is None:
        raise TypeError("the sample company's ladder does without kinds")
    paces = {motion: kinds.ages.pace[at, 1] for at, motion in enumerate(kinds.motions)}
    learnt = _paces(kinds.ages.edges_days, paces, "times the usual rate of winning")
    true = pd.DataFrame(
        {
            "age": [0.0, *AGE_BREAKS_DAYS, _OLDEST_DAYS],
            "pace": [*WIN_BY_AGE[1].tolist(), WIN_BY_AGE[1, -1]],
        }
    )
    dashed = (
        alt.Chart(true)
        .mark_line(interpolate="step-after", strokeDash=[2, 3], color=GREEN)
        .encode(x="age:Q", y="pace:Q")
    )
    return alt.layer(learnt, dashed)


def _paces(begin_days: Floats, paces: dict[str, Floats], title: str) -> alt.LayerChart:
    """Steps of a pace by age, a line for each motion."""
    names = {"new": "new business", "renewal": "renewal", "expansion": "expansion"}
    rows = pd.concat(
        pd.DataFrame(
            {
                "age": np.append(np.minimum(begin_days, _OLDEST_DAYS), _OLDEST_DAYS),
                "pace": np.append(pace, pace[-1]),
                "motion": names[motion],
            }
        )
        for motion, pace in paces.items()
    )
    one = alt.Chart(pd.DataFrame({"pace": [1.0]})).mark_rule(strokeDash=[4, 4], color=GREY).encode(y="pace:Q")
    lines = (
        alt.Chart(rows)
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=alt.X("age:Q", title="age of the deal, days"),
            y=alt.Y(
                "pace:Q",
                title=title,
                scale=alt.Scale(type="log", domain=[0.3, 3.5], nice=False),
            ),
            color=alt.Color(
                "motion:N",
                scale=alt.Scale(
                    domain=["new business", "renewal", "expansion"], range=["#5f8dd3", GREEN, "#8a6fb0"]
                ),
                title=None,
                legend=BELOW,
            ),
        )
    )
    return alt.layer(one, lines).properties(width=WIDTH, height=HEIGHT)


def trees_picture() -> alt.Chart:
    """How far from the truth linear hazards, trees and their mean are, for the deals open at the end."""
    simulation, history = company()
    chosen = fitted()
    if not isinstance(chosen.outcome, BoostedHazard):
        raise TypeError("the sample company's ladder has no trees to draw")
    alone = fit_models(history, END, FitSettings(), recipe=replace(chosen.recipe, share=1.0))
    ways = {
        "linear hazards": _linear_models(),
        "trees": alone,
        "mean of both": chosen,
    }
    deal = history.open_deals(as_of_us(END))
    horizons = (30, 90, 180)
    truth = simulation.truth_within(history.deal_ids[deal], END, horizons)
    rows = []
    for way, models in ways.items():
        scores = score_deals(history, Bundle("picture", {}, models, []), deal, END, reasons=0)
        found = scores[[f"won_{days}d" for days in horizons]].to_numpy()
        distance = np.abs(found - truth).mean(axis=0)
        print(f"{way}: {', '.join(f'{one:.4f}' for one in distance)} at 30, 90 and 180 days")
        rows += [
            {"days": f"within {days} days", "order": days, "way": way, "distance": one}
            for days, one in zip(horizons, distance, strict=True)
        ]
    order = list(ways)
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y("way:N", sort=order, title=None),
        x=alt.X("distance:Q", title="mean distance from the exact probability of winning"),
    )
    bars = base.mark_bar(height=14).encode(
        color=alt.Color("way:N", sort=order, scale=alt.Scale(range=[GREY, "#5f8dd3", GREEN]), legend=None)
    )
    told = base.mark_text(align="left", dx=4, fontSize=11).encode(text=alt.Text("distance:Q", format=".4f"))
    drawn: alt.Chart = (
        alt.layer(bars, told)
        .properties(width=WIDTH - 120, height=66)
        .facet(row=alt.Row("days:N", sort=alt.SortField("order"), title=None))
    )
    return drawn


def ladder_picture() -> alt.LayerChart:
    """Scores of the rungs in four later windows, each as the ladder of its own training judged it."""
    history = History.from_tables(simulate(deals=5000, seed=2).tables)
    rows = []
    for until in ("2025-04-01", "2025-07-01", "2025-10-01", "2026-01-01"):
        moment = pd.Timestamp(until, tz="UTC")
        ladder = fit_models(history, moment, FitSettings(windows=1)).ladder
        scores = {rung.name: rung.log_score for rung in ladder}
        rows += [
            {"window": f"90 days to {moment:%-d %b %Y}", "rung": name, "score": score, "order": until}
            for name, score in scores.items()
            if score is not None
        ]
    rungs = ["aalen-johansen", "linear", "boosted"]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y("window:N", sort=alt.SortField("order"), title=None),
        x=alt.X(
            "score:Q",
            title="log score per landmark (right is better)",
            scale=alt.Scale(zero=False),
            axis=alt.Axis(tickCount=6),
        ),
    )
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        color=alt.Color(
            "rung:N",
            scale=alt.Scale(domain=rungs, range=[GREY, "#5f8dd3", GREEN]),
            title=None,
            legend=BELOW,
        ),
        shape=alt.Shape("rung:N", scale=alt.Scale(domain=rungs), title=None, legend=BELOW),
    )
    return alt.layer(base.mark_line(color="#c8ced6").encode(detail="window:N"), points).properties(
        width=500, height=150
    )


def level_picture() -> alt.LayerChart:
    """Quarters of a company that wins ever faster, against a fit without drift, and what is made of them."""
    history = History.from_tables(simulate(deals=5000, seed=4, drift_per_year=0.25).tables)
    models = fit_models(history, END, FitSettings(windows=1, min_boosted_deals=1_000_000))
    marks, features = _learnt(history, FitSettings().max_landmarks, models.kinds)
    model = models.outcome
    survival = Survival.of(marks, model.bins, models.seasons).paced(models.log_pace(features))
    came, expected = quarterly_residuals(
        survival,
        model.coefficients(features) @ model.basis + model.baseline,
        marks.at_us,
        marks.duration_days,
        model.bins,
        as_of_us(END),
    )
    looks = looks_per_closing(marks)
    seen, foretold = came[0] / looks + 0.5, expected[0] / looks + 0.5
    ratio, error = np.log(seen / foretold), 1.0 / np.sqrt(foretold)
    middle = pd.to_datetime(
        (as_of_us(END) / DAY_US - 91.3125 * np.arange(len(ratio), 0, -1) + 45.7), unit="D"
    )
    rows = pd.DataFrame({"quarter": middle, "ratio": ratio, "low": ratio - error, "high": ratio + error})
    coming = pd.DataFrame({"quarter": [END.tz_localize(None)], "until": [pd.Timestamp("2026-04-01")]})
    coming["shift"] = models.level.shift[0]
    told = models.level.reason.split(";")[0]
    y = alt.Y("ratio:Q", title="log of wins that came over expected")
    zero = (
        alt.Chart(pd.DataFrame({"ratio": [0.0]})).mark_rule(strokeDash=[4, 4], color=GREY).encode(y="ratio:Q")
    )
    quarters = alt.Chart(rows).encode(x=alt.X("quarter:T", title=None))
    return (
        alt.layer(
            zero,
            quarters.mark_rule(color=GREEN).encode(y=alt.Y("low:Q"), y2="high:Q"),
            quarters.mark_point(filled=True, size=60, color=GREEN, opacity=1).encode(y=y),
            alt.Chart(coming)
            .mark_rule(strokeWidth=4, color="#3b5bdb")
            .encode(x="quarter:T", x2="until:T", y="shift:Q"),
            alt.Chart(coming)
            .mark_text(align="right", dy=14, dx=54, color="#3b5bdb", fontWeight="bold")
            .encode(x="quarter:T", y="shift:Q", text=alt.value("added from now on")),
        )
        .properties(width=WIDTH, height=HEIGHT, title=alt.Title(told, fontSize=12, fontWeight="normal"))
    )  # fmt: skip
