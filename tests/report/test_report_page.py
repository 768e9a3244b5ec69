"""The page itself: safe to open, whole in one file, in one language, honest when there is little to say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import pytest
from markupsafe import Markup
from report_cases import STAGES, company, only_deals, outlook_of, with_amounts, without

from forecast.bundle import Bundle, load_bundle
from forecast.language import formats_of
from forecast.outlook import Outlook
from forecast.report import collect_facts, render
from forecast.report.phrases import Phrases
from forecast.report.words import Words, load_words
from forecast.tables import Tables

ATTACK = "\"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}'"
VOID = {"meta", "link", "br", "hr", "img", "input", "col"}


class Page(HTMLParser):
    """Elements, their attributes, and the text a reader sees; fails on tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def bundle(trained_bundle: Path) -> Bundle:
    return load_bundle(trained_bundle)


@pytest.fixture(scope="module")
def html(sample_outlook: Outlook) -> str:
    return render(json.loads(json.dumps(collect_facts(sample_outlook))))


@pytest.fixture(scope="module")
def italian(sample_outlook: Outlook) -> str:
    return render(collect_facts(sample_outlook, "it"))


# -- safe and whole ---------------------------------------------------------------------------------------


def test_nothing_is_loaded_and_nothing_runs(html: str) -> None:
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "image", "use"}
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")} | names & {
        "src",
        "srcset",
        "style",
        "action",
    }
    links = [attributes["href"] for _, attributes in page.elements if "href" in attributes]
    assert links
    assert all(link is not None and link.startswith("#") for link in links)
    assert set(re.findall(r"https?://[^\"'\s<)]+", html)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in html
    assert "@import" not in html


def test_links_inside_the_page_lead_somewhere(html: str) -> None:
    page = Page(html)
    places = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(places) == len(set(places))
    assert {attributes["href"] for attributes in page.all("a")} <= {f"#{place}" for place in places}


def test_the_content_policy_allows_this_style_sheet_only(html: str) -> None:
    (policy,) = [meta["content"] for meta in Page(html).all("meta") if meta.get("http-equiv")]
    style = html[html.index("<style>") + len("<style>") : html.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_names_from_outside_never_become_elements(bundle: Bundle, html: str) -> None:
    tables = company()

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        """Two deals with ids that would act if they were not escaped."""
        ids = table["deal_id"]
        return table.assign(deal_id=ids.mask(ids.isin(["F1", "S1"]), ids + ATTACK))

    hostile = company(
        stages=STAGES.assign(label=STAGES["label"] + ATTACK + "\x0b"),
        deals=renamed(tables.deals).assign(account_id=ATTACK, owner_id=ATTACK, source=ATTACK),
        deal_events=renamed(tables.deal_events),
        activities=renamed(tables.activities),
        users=tables.users.assign(
            user_id=[ATTACK, "x"], name=ATTACK, team=[ATTACK, "y"], region=[ATTACK, "z"]
        ),
        quotas=without(tables, "quotas").quotas,
    )
    page = Page(render(collect_facts(outlook_of(hostile, bundle))))
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in Page(html).elements}
    assert not {name for _, attributes in page.elements for name in attributes if name.startswith("on")}
    assert "<script>alert(1)</script>" in page.text  # as text, for everybody to see
    assert "{{7*7}}" in page.text


def test_an_email_is_nobodys_business(html: str) -> None:
    assert "@" not in Page(html).text


# -- readable ---------------------------------------------------------------------------------------------


def test_every_picture_says_what_it_shows(html: str) -> None:
    for picture in Page(html).all("svg"):
        spoken = picture.get("role") == "img" and picture.get("aria-label")
        assert spoken or picture.get("aria-hidden") == "true"


def test_charts_keep_vega_lites_schema(sample_outlook: Outlook, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[dict[str, Any]] = []

    def keep(spec: dict[str, Any], label: str) -> Markup:
        drawn.append(spec)
        return Markup("<svg></svg>")

    monkeypatch.setattr("forecast.report.drawing.draw", keep)
    render(collect_facts(sample_outlook))
    assert len(drawn) == 14  # seven pictures, wide and narrow
    for spec in drawn:
        alt.LayerChart.from_dict(spec, validate=True)


def test_one_heading_answers_the_question(html: str) -> None:
    assert len(Page(html).all("h1")) == 1
    assert re.search(r"<h1><strong>€[\d.,]+[kM]?</strong> expected, \d+% of quota</h1>", html)
    assert Page(html).all("html") == [{"lang": "en"}]


def test_italian_throughout(italian: str, html: str) -> None:
    page = Page(italian)
    assert page.all("html") == [{"lang": "it"}]
    english, words = load_words("en"), load_words("it")
    # Every whole English sentence of three words or more that is not the same in Italian.
    sentences = {
        part.strip(" .:;,()*")
        for key, text in english.items()
        if words[key] != text
        for part in re.split(r"\{\w+\}|\*\*", text)
    }
    spoken = " ".join(
        [page.text, *(svg["aria-label"] or "" for svg in page.all("svg") if "aria-label" in svg)]
    )
    assert not {s for s in sentences if len(s.split()) >= 3 and s in spoken}
    assert re.search(r"\d{1,3}\.\d{3}", page.text)
    assert not re.search(r"\d,\d{3}\b", page.text)
    assert "gen 2026" in page.text.replace("\u00a0", " ")
    assert "Jan" not in page.text


def test_the_page_says_which_deals_decide_each_quota_and_what_to_ask(
    html: str, italian: str, sample_outlook: Outlook
) -> None:
    for page, locale, title, ask in (
        (
            html,
            "en",
            "Deals that decide each quota",
            r"Ask about the \w+: confirmed → [<>\d]+%, absent → [<>\d]+%",
        ),
        (
            italian,
            "it",
            "Le trattative che decidono ciascun obiettivo",
            r"Chiedere .+?: se confermat[oa] [<>\d]+%",
        ),
    ):
        text = Page(page).text
        assert title in text
        assert re.search(ask, text)
        facts = collect_facts(sample_outlook, locale, compare_days=None)
        lines = [line for group in facts["groups"] for line in group["lines"] if line["deciding"]]
        assert all(line["deciding"][0]["deal_id"] in text for line in lines)
        assert "cause" in text or "causa" in text  # that reasons are associations is said on the page itself


def test_nothing_is_said_twice_of_a_deal(sample_outlook: Outlook) -> None:
    facts = collect_facts(sample_outlook, compare_days=None)
    say = Phrases(Words(formats_of("en")))
    for name, on in (("at_risk", "risk"), ("follow_up", "period"), ("drop", "ever")):
        for deal in facts["deals"][name]["deals"]:
            lines = say.details(deal, on=on)
            starts = [line.split(":")[0] for line in lines]
            assert len(set(starts)) == len(starts)
            assert sum(line.startswith("Silent for") for line in lines) <= 1
            assert 0 < len(lines) <= 4


def test_the_footer_says_what_it_was_made_from(html: str, sample_outlook: Outlook) -> None:
    text = Page(html).text.replace("\u00a0", " ")
    for part in (
        "1 Jan 2026, 00:00 UTC",
        sample_outlook.bundle.id,
        sample_outlook.tables.fingerprint,
        "seed = 1",
        "quarantine not checked",
        "Forecast 0",
    ):
        assert part in text


# -- honest -----------------------------------------------------------------------------------------------

OPEN = ["S1", "F1", "R1", "N1"]
CASES: dict[str, tuple[Callable[[], Tables], str | None]] = {
    "no quotas": (lambda: without(company(), "quotas"), "There is no company quota for this period"),
    "no closed deals": (lambda: only_deals(company(), ["F1", "N1"]), "so there is no funnel yet"),
    "no open deals": (lambda: only_deals(company(), ["W1", "W2", "L1"]), "No deal is open"),
    "one deal": (lambda: only_deals(company(), ["F1"]), None),
    "no users": (lambda: without(company(), "users", "quotas"), "bruno"),
    "users only": (lambda: without(company(), "quotas", "activities"), None),
    "unknown owner": (
        lambda: replace(company(), users=company().users.iloc[:1], quotas=company().quotas.iloc[:0]),
        "Not assigned",
    ),
    "one user": (
        lambda: replace(only_deals(company(), ["W1", "S1"]), users=company().users.iloc[:1]),
        "Ana Rossi",
    ),
    "zero amounts": (lambda: with_amounts(company(), 0.0), None),
    "unknown amounts": (lambda: with_amounts(company(), float("nan")), "have no known amount"),
    "negative amounts": (lambda: with_amounts(company(), -500.0), None),
    "no exchange rate for one deal": (
        lambda: replace(company(), deals=company().deals.assign(currency=["XXX", *["EUR"] * 7])),
        "or an exchange rate for it",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_little_data_gives_an_honest_page(name: str, bundle: Bundle) -> None:
    make, expected = CASES[name]
    outlook = outlook_of(make(), bundle)
    text = Page(render(collect_facts(outlook))).text
    assert not re.search(r"\b(nan|None|inf|undefined|NaT)\b", text)
    if expected is not None:
        assert expected in text


def test_quarantined_rows_are_counted_by_table(sample_outlook: Outlook) -> None:
    facts: dict[str, Any] = collect_facts(sample_outlook, compare_days=None)
    facts["provenance"]["quarantined"] = {"deals": 2, "quotas": 1200}
    text = Page(render(facts)).text
    assert "1,202 rows in quarantine (deals 2, quotas 1,200)" in text


# -- deals that nobody decides ----------------------------------------------------------------------------


def test_the_share_that_nobody_decides_is_told_in_both_languages(html: str, italian: str) -> None:
    english, other = Page(html).text, Page(italian).text
    assert re.search(
        r"Of €[\d.]+M in open deals, about \d+% \(€\d+k\) will probably never be decided", english
    )
    assert "Will probably never be decided (" in english
    assert re.search(r"circa il \d+% \(\d+k €\) resterà probabilmente senza decisione", other)
    assert "Probabilmente resterà senza decisione (" in other
    assert Page(html).text.count("Days open: ") == 10


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("too_few", "cannot be told yet: only {followed} deals were first seen"),
        ("not_seen", "are not known here: of {followed} first seen at least two years ago, {left} were left"),
    ],
)
def test_without_proof_no_share_is_told(sample_outlook: Outlook, verdict: str, said: str) -> None:
    facts = collect_facts(sample_outlook, compare_days=None)
    page = Page(render(facts | {"undecided": facts["undecided"] | {"verdict": verdict}})).text
    past = facts["undecided"]["followed"]
    assert past["deals"] > 400
    assert said.format(followed=past["deals"], left=past["undecided"]) in page
    assert "in open deals, about" not in page
    assert "Days open: " not in page
