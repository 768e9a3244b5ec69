"""The scoreboard of a back-test on one screen: how far off, better than the rules in use, and where not."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console
from rich.table import Table

from forecast.report.facts.plain import Fact
from training.backtest.origin import OURS
from training.summary import LABELS

__all__ = ["show"]

_VERDICTS: Final = {
    "better": "ours clearly nearer",
    "ahead": "ours nearer, may be luck",
    "behind": "rule nearer, may be luck",
    "worse": "rule clearly nearer",
}
_LINES: Final = {"remaining": "still to come", "arrivals": "not yet created", "open": "open deals"}
_MOST_LOSSES: Final = 8


def show(console: Console, facts: Fact, notes: tuple[str, ...]) -> None:
    """Print the facts of `facts.collect`, the answer first; `notes` are plain sentences."""
    for sentence in _answer(facts):
        console.print(sentence, style="bold", markup=False)
    if facts["rules"]:
        console.print(_rules(facts))
        console.print(_levels(facts))
    console.print(_deals(facts))
    for sentence in (*_losses(facts), *_cautions(facts), *notes):
        console.print(sentence, style="yellow", markup=False)


def _answer(facts: Fact) -> list[str]:
    tested = f"{len(facts['quarters'])} quarters, {facts['quarters'][0]} to {facts['quarters'][-1]}"
    ours, nearest = facts["ours"], facts["nearest"]
    if ours is None or ours["value"] is None:
        return [f"Tested on {tested}: no deal has an amount, so only chances are measured."]
    between = ""
    if ours["lower"] is not None:
        between = f" ({facts['interval_share']:.0%} interval {ours['lower']:.1%} to {ours['upper']:.1%})"
    side = "high" if ours["bias"] > 0 else "low"
    found = [
        f"Off by {ours['value']:.1%} of bookings{between}, {abs(ours['bias']):.1%} too {side} on the whole: "
        f"{tested}, {facts['looks']} looks."
    ]
    if nearest is not None:
        found.append(
            f"Nearest of the other rules: {LABELS[nearest['name']]}, off by {nearest['value']:.1%}: "
            f"{_VERDICTS.get(nearest['verdict'] or '', 'not comparable')}."
        )
    return found


def _rules(facts: Fact) -> Table:
    table = Table(
        title=f"Bookings of the company in {facts['currency']}, all looks together",
        caption="Error: sum of absolute distances over what came (WAPE), of the total and of what was still to "
        "come. Difference: ours less the rule's, with its interval.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("", no_wrap=True)
    for heading in ("error", "still to come", "bias", "MASE", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    remaining = {rule["name"]: rule["value"] for rule in facts["remaining"]}
    for rule in facts["rules"]:
        apart = rule["difference"]
        table.add_row(
            LABELS[rule["name"]],
            _percent(rule["value"]),
            _percent(remaining.get(rule["name"])),
            _percent(rule["bias"], "+.0%"),
            "-" if rule["mase"] is None else f"{rule['mase']:.2f}",
            "" if apart is None else _points(apart),
            _VERDICTS.get(rule["verdict"] or "", ""),
            style="bold"
            if rule["name"] == OURS
            else "red"
            if rule["verdict"] in ("behind", "worse")
            else None,
        )
    return table


def _levels(facts: Fact) -> Table:
    table = Table(title="By level: error, and how often ranges held what came", title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in ("error", "in 80 % range", "in 95 % range", "CRPS"):
        table.add_column(heading, justify="right")
    table.add_column("nearest other rule", no_wrap=True)
    for level in facts["levels"]:
        nearest = level["nearest"]
        table.add_row(
            level["level"],
            _percent(None if level["ours"] is None else level["ours"]["value"]),
            f"{_percent(level['coverage_80']['value'], '.0%')} ±{_half(level['width_80'])}",
            f"{_percent(level['coverage_95']['value'], '.0%')} ±{_half(level['width_95'])}",
            _percent(level["crps"]["value"]),
            "" if nearest is None else f"{LABELS[nearest['name']]} {_percent(nearest['value'])}",
        )
    return table


def _deals(facts: Fact) -> Table:
    table = Table(title="Chances of open deals", title_justify="left")
    for heading in ("won", "looks", "share won", "Brier", "skill", "AUC", "slope", "nearest other rule"):
        table.add_column(heading, justify="left" if heading in ("won", "nearest other rule") else "right")
    for horizon in facts["deals"]:
        ours = next(rule for rule in horizon["rules"] if rule["name"] == OURS)
        other = next(rule for rule in horizon["rules"] if rule["name"] != OURS)
        table.add_row(
            "in the quarter" if horizon["horizon"] == "in_period" else f"within {horizon['horizon']}",
            f"{horizon['rows']:,}",
            _percent(horizon["share_won"]),
            _number(ours["value"]),
            _percent(ours["skill"], "+.1%"),
            _number(ours["auc"], ".3f"),
            _number(horizon["calibration_slope"]["value"], ".2f"),
            f"{LABELS[other['name']]} {_number(other['value'])}",
        )
    return table


def _losses(facts: Fact) -> list[str]:
    losses = facts["losses"]
    if not losses:
        return ["No other rule came nearer than ours in any comparison."]
    shown = [
        f"{_where(loss)}: {LABELS[loss['name']]} {_error(loss, 'theirs')} against {_error(loss, 'ours')}"
        + (" (clearly)" if loss["verdict"] == "worse" else "")
        for loss in sorted(losses, key=lambda loss: loss["verdict"] != "worse")[:_MOST_LOSSES]
    ]
    more = f"; {len(losses) - len(shown)} more are on the page" if len(losses) > len(shown) else ""
    return [f"Another rule came nearer in {len(losses)} comparisons: {'; '.join(shown)}{more}."]


def _where(loss: Fact) -> str:
    if loss["part"] == "quota":
        return "reaching quota"
    if loss["part"] == "deals":
        return "won in the quarter" if loss["horizon"] == "in_period" else f"won within {loss['horizon']}"
    week = f" in week {loss['week']}" if loss["week"] else ""
    return f"{loss['level']} {_LINES.get(loss['line'], loss['line'])}{week}"


def _error(loss: Fact, whose: str) -> str:
    return _number(loss[whose]) if loss["metric"] == "brier" else _percent(loss[whose])


def _cautions(facts: Fact) -> list[str]:
    count = len(facts["quarters"])
    if not facts["enough"]:
        number = "1 quarter is one number" if count == 1 else f"{count} quarters are too few for intervals"
        return [f"{number}: the size of errors is shown, not which rule is better."]
    return [f"{count} quarters cannot separate two rules whose errors differ by a point or two."]


def _percent(value: float | None, style: str = ".1%") -> str:
    return "-" if value is None else format(value, style)


def _number(value: float | None, style: str = ".4f") -> str:
    return "-" if value is None else format(value, style)


def _half(width: Any) -> str:
    return "-" if width["value"] is None else f"{width['value'] / 2:.0%}"


def _points(apart: Fact) -> str:
    if apart["value"] is None:
        return "-"
    text = f"{100 * apart['value']:+.1f}"
    return (
        text
        if apart["lower"] is None
        else f"{text} [{100 * apart['lower']:+.1f}, {100 * apart['upper']:+.1f}]"
    )
