"""`forecast show`: the answer for a period on one screen of a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from forecast.cli.data_source import data_option
from forecast.cli.options import (
    as_of_option,
    bundle_option,
    locale_option,
    open_inputs,
    period_option,
)
from forecast.database_url import DataSource
from forecast.language import formats_of
from forecast.report.phrases import Phrases
from forecast.report.words import Words

__all__ = ["command", "screen"]

_WIDTH: Final = 100
_MOST_LINES: Final = 8
_MOST_DEALS: Final = 6
_MOST_QUESTIONS: Final = 3
_BAR: Final = 62
# Told apart by texture as well as colour: a log file has no colours.
_PARTS: Final = (("booked", "█", "blue"), ("open", "▓", "bright_blue"), ("arrivals", "░", "cyan"))
_EPILOG = """\b
Example:
  forecast show --data sample --bundle models/current --period 2026Q1 --report report.html
"""


@click.command("show", epilog=_EPILOG)
@data_option()
@bundle_option
@as_of_option
@period_option(required=False)
@locale_option("Language of the answer.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the HTML report there too.",
)
def command(
    data: DataSource, bundle: Path, as_of: str | None, period: str | None, locale: str, report: Path | None
) -> None:
    """Print the answer for a period on one screen.

    Expected bookings and their range against quota, in total and by team, and the deals that decide it. The
    period is the coming quarter unless one is named.
    """
    from forecast.outlook import make_outlook
    from forecast.receipts import publish
    from forecast.report import DEALS_PER_QUOTA, collect_facts, render

    reading, loaded, moment, span = open_inputs(data, bundle, as_of, period, "report")
    outlook = make_outlook(
        reading.tables,
        loaded,
        as_of=moment,
        period=span,
        reasons=0,  # the facts explain the deals they show
        deciding=0 if report is None else DEALS_PER_QUOTA,
        check=reading.report,
    )
    # Four weeks ago is a second forecast; only the report shows it.
    facts = collect_facts(outlook, locale, compare_days=None if report is None else 28)
    if report is not None:
        publish(
            report,
            render(facts).encode(),
            "report",
            reading=reading,
            bundle=loaded,
            as_of=moment,
            period=outlook.period,
            locale=locale,
        )
    console = Console(highlight=False)
    console = Console(highlight=False, width=min(console.width, _WIDTH) if console.is_terminal else _WIDTH)
    console.print(screen(facts, report))


def screen(facts: dict[str, Any], report: Path | None = None) -> RenderableType:
    """The answer of `collect_facts` as one screen: at most 40 lines of 100 columns."""
    words = Words(formats_of(facts["locale"], facts["currency"]))
    say = Phrases(words)
    parts: list[RenderableType] = [
        _answer(facts, words),
        _bar(facts["company"], words),
        *_undecided(facts, words),
        Text(),
        _groups(facts, words, say),
    ]
    if facts["deals"]["deciding"]:
        parts += [Text(), _deals(facts, words, say)]
    asked = [deal for deal in facts["deals"]["follow_up"]["deals"] if deal["question"]]
    if asked:
        parts += [Text(), _questions(asked[:_MOST_QUESTIONS], words, say)]
    parts.append(_made_from(facts, words, say, report))
    return Group(*parts)


def _answer(facts: dict[str, Any], words: Words) -> Text:
    f, company = words.formats, facts["company"]
    span = words("page.span", start=f.day(facts["period"]["start"]), end=f.date(facts["period"]["last_day"]))
    text = Text(
        f"{words('page.eyebrow')} · {f.period(facts['period']['label'])} ({span}) · "
        f"{words('page.as_of', date=f.date(facts['as_of']))}\n",
        style="dim",
    )
    key = "head.with_quota" if company["quota"] else "head.without_quota"
    attainment = f.percent(company["attainment"])
    text.append(
        words(key, expected=f.compact(company["expected"]), attainment=attainment) + "\n", "bold not dim"
    )
    text.append(
        words("head.range", low=f.compact(company["p10"]), high=f.compact(company["p90"])) + " ", "not dim"
    )
    if company["quota"]:
        text.append(
            words(
                "head.chance",
                quota=f.compact(company["quota"]),
                verdict=words(f"verdict.{company['verdict']}"),
                probability=f.percent(company["probability"]),
            ),
            "not dim",
        )
    else:
        text.append(words("head.no_quota"), "not dim")
    text.append("\n")
    return text


def _bar(company: dict[str, Any], words: Words) -> Text:
    """Booked, open and not yet created as a bar, with the quota as a mark."""
    f = words.formats
    top = max(company["expected"], company["quota"] or 0.0) or 1.0
    text, drawn, end = Text(), 0, 0.0
    for kind, glyph, colour in _PARTS:
        end += company[kind] or 0.0
        cells = max(round(_BAR * end / top) - drawn, 0)
        text.append(glyph * cells, colour)
        drawn += cells
    if company["quota"]:
        at = round(_BAR * company["quota"] / top)
        text.append("·" * max(at - drawn, 0), "dim")
        text = text[:at] + Text("│", "bold red") + text[at:]
        text.append(f" {words('part.quota')} {f.compact(company['quota'])}", "bold red")
    text.append("\n")
    for kind, glyph, colour in _PARTS:
        text.append(f"{glyph} ", colour)
        text.append(f"{words(f'part.{kind}')} {f.compact(company[kind])}   ")
    return text


def _undecided(facts: dict[str, Any], words: Words) -> list[Text]:
    """One line on the share that nobody will decide, where the past shows such deals."""
    f, found = words.formats, facts["undecided"]
    total = found["total"]
    if found["verdict"] != "seen" or not total["amount"]:
        return []
    shown = {
        "open": f.compact(total["amount"]),
        "share": f.percent(total["share_of_amount"]),
        "amount": f.compact(total["undecided_amount"]),
    }
    return [Text(words("undecided.short", **shown))]


def _groups(facts: dict[str, Any], words: Words, say: Phrases) -> Table:
    """The company and its teams (people, where there are no teams)."""
    f = words.formats
    by_level = {group["level"]: group["lines"] for group in facts["groups"]}
    level = next((level for level in ("team", "region", "user") if level in by_level), "team")
    table = _table(words(f"groups.{level}"))
    table.add_column(words(f"groups.entity_{level}"), ratio=3, no_wrap=True)
    for key in ("quota", "expected", "range", "chance", "gap"):
        table.add_column(words(f"groups.{key}"), justify="right", no_wrap=True)
    lines = by_level.get(level, [])
    named = [(_printable(say.entity(line)), line) for line in lines[:_MOST_LINES]]
    for name, line in [(words("pipeline.total"), facts["company"]), *named]:
        table.add_row(
            Text(name),
            f.integer(line["quota"]),
            f.integer(line["expected"]),
            f"{f.compact(line['p10'])} – {f.compact(line['p90'])}",
            f.percent(line["probability"]),
            f.integer(line["gap"]),
            style="bold" if line is facts["company"] else None,
        )
    if len(lines) > _MOST_LINES:
        table.add_row(Text(words("show.more", n=len(lines) - _MOST_LINES), style="dim"))
    return table


def _deals(facts: dict[str, Any], words: Words, say: Phrases) -> Table:
    f = words.formats
    table = _table(words("deals.deciding"))
    table.add_column(words("deals.deal"), no_wrap=True, max_width=16, overflow="ellipsis")
    table.add_column(words("deals.owner"), no_wrap=True, max_width=20, overflow="ellipsis")
    table.add_column(words("deals.amount"), justify="right", no_wrap=True)
    table.add_column(words("show.chance"), justify="right", no_wrap=True)
    table.add_column(words("deals.why"), ratio=1, no_wrap=True, overflow="ellipsis")
    for deal in facts["deals"]["deciding"][:_MOST_DEALS]:
        table.add_row(
            Text(_printable(deal["deal_id"])),
            Text(_printable(say.owner(deal["owner"]))),
            f.integer(deal["amount_if_won"] if deal["amount"] is None else deal["amount"]),
            f.percent(deal["won_in_period"]),
            Text(_printable(say.why(deal))),
        )
    return table


def _questions(asked: list[dict[str, Any]], words: Words, say: Phrases) -> Table:
    """What to ask about the deals to follow up, with the chance that goes with either answer."""
    table = _table(words("show.ask"))
    table.add_column(words("deals.deal"), no_wrap=True, max_width=16, overflow="ellipsis")
    table.add_column(words("deals.owner"), no_wrap=True, max_width=20, overflow="ellipsis")
    table.add_column(words("deals.why"), ratio=1, no_wrap=True, overflow="ellipsis")
    for deal in asked:
        table.add_row(
            Text(_printable(deal["deal_id"])),
            Text(_printable(say.owner(deal["owner"]))),
            Text(_printable(deal["question"]["text"])),
        )
    table.show_header = False
    return table


def _made_from(facts: dict[str, Any], words: Words, say: Phrases, report: Path | None) -> Text:
    made = facts["provenance"]
    text = Text("\n")
    if report is not None:
        text.append(words("show.report") + " ")
        text.append(_printable(str(report)), "bold")
        text.append("\n")
    text.append(
        words(
            "show.made_from",
            bundle=made["bundle"][:12],
            rung=say.rung(made),
            left_out=say.left_out(made),
        ),
        "dim",
    )
    return text


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=None, expand=True, pad_edge=False,
        header_style="dim", padding=(0, 2, 0, 0),
    )  # fmt: skip


def _printable(text: str) -> str:
    """Without characters that move a cursor or colour a screen: names are written by others."""
    # Spaces of any kind are harmless as plain ones: in dates they keep day and month together.
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )
