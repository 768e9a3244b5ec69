"""Pictures of what hazards answer: curves, amounts, sums, reasons (drawn by `benchmarks.pictures`)."""

from __future__ import annotations

import json
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from benchmarks.model_pictures import END, GREEN, GREY, RED, WIDTH, company, fitted
from forecast.bundle import Bundle
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.models.amount import SLICES
from forecast.outlook import Outlook, make_outlook
from forecast.periods import Period, as_of_us
from forecast.rollup.exact import exact_total
from forecast.simulator import simulate

__all__ = ["amount_picture", "incidence_picture", "reasons_picture", "roll_up_picture"]

QUARTER = Period.parse("2026Q1")


@cache
def outlook() -> Outlook:
    """The sample company's coming quarter, with all reasons of every deal."""
    simulation, history = company()
    bundle = Bundle("picture", {}, fitted(), [])
    return make_outlook(simulation.tables, bundle, as_of=END, period=QUARTER, history=history, reasons=50)


@cache
def small_outlook() -> Outlook:
    """The same quarter of a company so small that its sellers have a handful of deals each."""
    simulation = simulate(deals=1000, seed=3)
    history = History.from_tables(simulation.tables)
    bundle = Bundle("picture", {}, fit_models(history, END, FitSettings()), [])
    return make_outlook(simulation.tables, bundle, as_of=END, period=QUARTER, history=history, reasons=0)


def _typical_deal() -> pd.Series:
    """The scores of a deal that may go either way, or wait."""
    scores = outlook().scores
    won, lost = scores["won_in_period"], scores["lost_90d"]
    return scores.iloc[((won - 0.4).abs() + (lost - 0.2).abs()).argmin()]


def _late_deal() -> pd.Series:
    """The scores of the deal that is likeliest to be won in the last two weeks of the quarter."""
    scores, history = outlook().scores, company()[1]
    deal = history.index_of(scores["deal_id"].to_numpy(object))
    won = fitted().incidence(history, deal, as_of_us(END), [76.0, 90.0])[:, 1]
    return scores.iloc[int((won[:, 1] - won[:, 0]).argmax())]


def incidence_picture() -> alt.LayerChart:
    """One deal: the chances of being won, lost or still open on each coming day add up to one."""
    history, models = company()[1], fitted()
    row, at_us = _late_deal(), as_of_us(END)
    deal = history.index_of(np.array([row["deal_id"]], dtype=object))
    days = np.arange(0.0, 181.0)
    shares = models.incidence(history, deal, at_us, np.maximum(days, 1e-6))[0]
    dates = pd.to_datetime(END.tz_localize(None)) + pd.to_timedelta(days, unit="D")
    rows = pd.concat(
        pd.DataFrame({"date": dates, "share": shares[at], "state": state, "order": order})
        for order, (state, at) in enumerate((("won", 1), ("open", 0), ("lost", 2)))
    )
    area = (
        alt.Chart(rows)
        .mark_area()
        .encode(
            x=alt.X(
                "date:T",
                title=f"one deal in {row['stage']}, seen on 1 January",
                axis=alt.Axis(format="%-d %b"),
            ),
            y=alt.Y(
                "share:Q", stack="zero", title=None, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])
            ),
            color=alt.Color(
                "state:N",
                sort=["won", "open", "lost"],
                scale=alt.Scale(domain=["won", "open", "lost"], range=[GREEN, "#d5dae0", RED]),
                title=None,
                legend=alt.Legend(orient="bottom"),
            ),
            order=alt.Order("order:Q"),
        )
    )  # fmt: skip
    ends = pd.DataFrame({"date": [pd.Timestamp("2026-04-01")], "text": ["end of the quarter"]})
    rule = alt.Chart(ends).mark_rule(strokeDash=[4, 4], color="#333").encode(x="date:T")
    text = (
        alt.Chart(ends).mark_text(align="left", dx=5, dy=-95, color="#333").encode(x="date:T", text="text:N")
    )
    return alt.layer(area, rule, text).properties(width=WIDTH, height=230)


def amount_picture() -> alt.LayerChart:
    """Final over current amount of new business: the 50 slices of equal probability, in order."""
    segment = fitted().amount.table["sales/new"]
    share = np.arange(SLICES + 1) / SLICES
    rows = pd.DataFrame({"share": share, "ratio": np.append(segment.ratio, segment.ratio[-1])})
    mean = pd.DataFrame({"ratio": [segment.ratio.mean()], "text": [f"mean {segment.ratio.mean():.3f}"]})
    line = (
        alt.Chart(rows)
        .mark_line(interpolate="step-after", strokeWidth=1.8, color=GREEN)
        .encode(
            x=alt.X(
                "share:Q",
                title=f"share of {segment.won_deals:,.0f} wins signed at no more than this",
                axis=alt.Axis(format="%"),
            ),
            y=alt.Y("ratio:Q", title="final over current amount", scale=alt.Scale(zero=False)),
        )
    )
    rule = alt.Chart(mean).mark_rule(strokeDash=[4, 4], color=GREY).encode(y="ratio:Q")
    text = alt.Chart(mean).mark_text(align="left", dx=8, dy=8, color="#333").encode(
        x=alt.datum(0.6), y="ratio:Q", text="text:N"
    )  # fmt: skip
    return alt.layer(rule, line, text).properties(width=WIDTH, height=230)


def roll_up_picture() -> alt.VConcatChart:
    """The quarter of the company, from scenarios, and of one seller with a handful of deals, exactly."""
    seen = outlook()
    table = seen.bookings.table
    whole = table[table["level"] == "company"].iloc[0]
    draws = seen.bookings.company_draws
    counts, edges = np.histogram(draws / 1e6, bins=60)
    company_rows = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "share": counts / counts.sum()})
    above = _against_quota(
        company_rows,
        float(whole["quota"]) / 1e6,
        float(whole["attainment_probability"]),
        "the company, millions",
    )

    few = small_outlook()
    inputs, table = few.inputs, few.bookings.table
    deals = inputs.open.groupby("owner_id").size()
    sellers = table[(table["level"] == "user") & table["quota"].gt(0)]
    seller = sellers.loc[sellers["entity"].map(deals).idxmin()]
    mine = inputs.open[inputs.open["owner_id"] == seller["entity"]]
    coming = inputs.arrivals[inputs.arrivals["owner_id"] == seller["entity"]]
    if inputs.amount_shapes is None:
        raise TypeError("a fitted model always has amounts")
    total = exact_total(mine.fillna({"amount_if_won": 0.0}), inputs.amount_shapes, coming, inputs.uncertainty)
    # One bar for nothing at all, then one per two thousand.
    points = np.arange(len(total.mass)) * total.step / 1e3
    start = np.where(points > 0, np.floor(points / 2.0) * 2.0, -1.0)
    rows = pd.DataFrame({"from": start, "share": total.mass}).groupby("from", as_index=False).sum()
    rows["to"] = np.where(rows["from"] < 0, 0.0, rows["from"] + 2.0)
    rows = rows[rows["share"].cumsum() < 0.995]
    below = _against_quota(
        rows,
        float(seller["quota"]) / 1e3,
        total.at_least(float(seller["quota"])),
        f"a seller with {len(mine)} open deals, thousands",
    )
    return alt.vconcat(above, below)


def _against_quota(rows: pd.DataFrame, quota: float, chance: float, title: str) -> alt.LayerChart:
    reached = rows.assign(what=np.where(rows["from"] >= quota, "quota reached", "below"))
    bars = (
        alt.Chart(reached)
        .mark_rect()
        .encode(
            x=alt.X("from:Q", title=title, scale=alt.Scale(nice=False, zero=False)),
            x2="to:Q",
            y=alt.Y("share:Q", title="probability", axis=alt.Axis(format="%")),
            y2=alt.datum(0),
            color=alt.Color(
                "what:N",
                scale=alt.Scale(domain=["quota reached", "below"], range=[GREEN, "#c8ced6"]),
                title=None,
                legend=alt.Legend(orient="bottom"),
            ),
        )
    )
    mark = pd.DataFrame({"from": [quota], "text": [f"quota: reached with {chance:.0%}"]})
    rule = alt.Chart(mark).mark_rule(strokeDash=[4, 4], color="#333").encode(x="from:Q")
    text = (
        alt.Chart(mark)
        .mark_text(align="right", fontWeight="bold", color="#333")
        .encode(x=alt.value(WIDTH - 5), y=alt.value(10), text="text:N")
    )
    return alt.layer(bars, rule, text).properties(width=WIDTH, height=140)


def reasons_picture() -> alt.LayerChart:
    """From the average deal's chance to this one's, feature by feature."""
    row = _typical_deal()
    reasons = json.loads(row["reasons"])
    chance = float(row["win_probability"])
    reference = chance - sum(reason["effect"] for reason in reasons)
    steps = [("the average deal", reference, "level")]
    steps += [
        (reason["text"], reason["effect"], "for" if reason["effect"] > 0 else "against")
        for reason in reasons[:8]
    ]
    steps.append((f"{len(reasons) - 8} more", sum(reason["effect"] for reason in reasons[8:]), "rest"))
    start, rows = 0.0, []
    for text, effect, kind in steps:
        rows.append(
            {"text": text, "from": start, "to": start + effect, "kind": kind, "said": f"{100 * effect:+.0f}"}
        )
        start += effect
    rows.append({"text": "this deal", "from": 0.0, "to": chance, "kind": "level", "said": f"{chance:.0%}"})
    rows[0]["said"] = f"{reference:.0%}"
    table = pd.DataFrame(rows)
    table["end"] = table[["from", "to"]].max(axis=1)
    base = alt.Chart(table).encode(y=alt.Y("text:N", sort=None, title=None, axis=alt.Axis(labelLimit=260)))
    bars = base.mark_bar(height=14).encode(
        x=alt.X(
            "from:Q",
            title="probability of being won",
            axis=alt.Axis(format="%"),
            scale=alt.Scale(domain=[0, 1]),
        ),
        x2="to:Q",
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=["level", "for", "against", "rest"], range=[GREY, GREEN, RED, "#c8ced6"]),
            legend=None,
        ),
    )
    said = base.mark_text(align="left", dx=4).encode(x="end:Q", text="said:N")
    return alt.layer(bars, said).properties(width=430, height=260)
