"""Every feature has words for every value it can take, in both languages."""

from __future__ import annotations

import math
import string
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.errors import UsageError
from forecast.features import BUILT_IN, LEADS, FeatureSpec, Phrasebook, spec_of
from forecast.features.phrases import ANSWERS, BANDS, form_of, load_phrases
from forecast.history import CATEGORIES, History
from forecast.models import FittedModels
from forecast.periods import DAY_US

# What deals and leads share stands in both lists.
EVERY = tuple({spec.name: spec for spec in (*LEADS, *BUILT_IN)}.values())
EN, IT = Phrasebook("en"), Phrasebook("it")
NBSP = "\u00a0"
LEVELS = {"category": CATEGORIES, "motion": ("new", "renewal", "expansion")}
NUMBERS = (0.0, -0.0, 1.0, 0.5, 0.004, 1.99, 2.0, 34.0, -1.0, -40.0, 1e12, 1e300, -1e300)


def keys_needed(spec: FeatureSpec) -> Iterator[str]:
    form = form_of(spec)
    yield from (f"{spec.name}.{band}" for band in BANDS[form])
    yield from (f"{spec.name}.{level}" for level in LEVELS.get(spec.name, ()))


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_the_texts_are_exactly_those_the_registry_needs() -> None:
    needed = {key for spec in EVERY for key in keys_needed(spec)}
    needed |= {f"custom.{band}" for band in BANDS["custom"]}
    needed |= {"beside.days.one", "beside.days.other", "beside.stage"}
    needed |= {f"question.{name}" for name in ANSWERS}
    for locale in ("en", "it"):
        assert load_phrases(locale).keys() == needed, locale


@pytest.mark.parametrize("key", sorted(load_phrases("en")))
def test_both_languages_say_the_same_things(key: str) -> None:
    english, italian = load_phrases("en")[key], load_phrases("it")[key]
    assert placeholders(english) == placeholders(italian)
    assert english.strip() == english != ""
    assert italian.strip() == italian != ""
    assert english != italian or key in {"custom.known", "custom.bare"}


@pytest.mark.parametrize("book", [EN, IT], ids=["en", "it"])
@pytest.mark.parametrize("spec", EVERY, ids=[spec.name for spec in EVERY])
def test_every_feature_has_words_for_every_value(spec: FeatureSpec, book: Phrasebook) -> None:
    unknown = book.phrase(spec.name, None)
    assert unknown == book.phrase(spec.name, math.nan) == book.phrase(spec.name, math.inf)
    if spec.kind == "category":
        found = [book.phrase(spec.name, level) for level in (*LEVELS.get(spec.name, ()), "unknown", "Größe")]
        assert len(set(found)) == len(found)
    else:
        found = [book.phrase(spec.name, value) for value in NUMBERS]
    for text in (unknown, *found):
        assert text.strip()
        assert not set("{}") & set(text)
        assert not {"nan", "None", "inf"} & set(text.split())


@pytest.mark.parametrize(
    ("name", "value", "beside", "english", "italian"),
    [
        ("silence_days", 34.9, None, "silent for 34 days", "in silenzio da 34 giorni"),
        ("silence_days", 1.0, None, "silent for 1 day", "in silenzio da 1 giorno"),
        ("silence_days", 1234.0, None, "silent for 1,234 days", "in silenzio da 1.234 giorni"),
        ("days_in_stage", 12.4, "Negotiation", "in Negotiation for 12 days", "in Negotiation da 12 giorni"),
        ("days_in_stage", 1.0, None, "in this stage for 1 day", "in questa fase da 1 giorno"),
        ("days_in_stage", 0.3, "Demo", "in Demo since today", "in Demo da oggi"),
        ("budget", 1.0, None, "budget confirmed", "budget confermato"),
        ("budget", 0.5, None, "budget partly confirmed", "budget confermato in parte"),
        ("budget", 0.0, None, "no budget", "budget assente"),
        ("budget", None, None, "budget never established", "budget mai accertato"),
        ("times_pushed", 3.0, 42.0, "close date pushed 3 times (42 days)",
         "data di chiusura rinviata 3 volte (42 giorni)"),
        ("times_pushed", 1.0, 1.0, "close date pushed once (1 day)",
         "data di chiusura rinviata una volta (1 giorno)"),
        ("times_pushed", 0.0, 0.0, "close date never pushed", "data di chiusura mai rinviata"),
        ("owner_edge", 0.062, None, "sales owner wins 6 points more than the company",
         "il venditore vince 6 punti più dell'azienda"),
        ("owner_edge", -0.011, None, "sales owner wins 1 point less than the company",
         "il venditore vince 1 punto meno dell'azienda"),
        ("owner_edge", 0.004, None, "sales owner wins as often as the company",
         "il venditore vince quanto l'azienda"),
        ("lead_age_days", 12.7, None, "lead open for 12 days", "lead aperto da 12 giorni"),
        ("inbound_all", 0.0, None, "no message from the customer so far",
         "nessun messaggio dal cliente finora"),
        ("owner_conversion_edge", 0.031, None, "owner converts 3 points more than the company",
         "il responsabile converte 3 punti più dell'azienda"),
        ("source_conversion_edge", -0.012, None, "conversion rate of this source 1 point below the company's",
         "tasso di conversione di questa fonte 1 punto sotto quello dell'azienda"),
        ("inbound_share", 0.312, None, "about 31% of the activities come from the customer",
         "circa il 31% delle attività viene dal cliente"),
        ("days_since_inbound", None, None, "the customer never wrote or called",
         "il cliente non si è mai fatto vivo"),
        ("amount_change", math.log(1.12), None, "amount up 12%", "importo aumentato del 12%"),
        ("amount_change", math.log(0.89), None, "amount down 11%", "importo ridotto dell'11%"),
        ("amount_change", 0.001, None, "amount as at the start", "importo come all'inizio"),
        ("amount", 24_000.0, None, "amount €24k", f"importo di 24k{NBSP}€"),
        ("activities_30d", 0.0, None, "no activity in the last 30 days",
         "nessuna attività negli ultimi 30 giorni"),
        ("activities_30d", 1.0, None, "1 activity in the last 30 days",
         "1 attività negli ultimi 30 giorni"),
        ("category", "commit", None, "category: commit", "categoria: commit"),
        ("category", "omitted", None, "category: left out of the forecast",
         "categoria: esclusa dalla previsione"),
        ("motion", "renewal", None, "renewal", "rinnovo"),
        ("motion", "upsell", None, "kind of business: upsell", "tipo di vendita: upsell"),
        ("days_to_close", -0.4, None, "close date is today", "la data di chiusura è oggi"),
        ("days_to_close", 0.2, None, "close date is tomorrow", "la data di chiusura è domani"),
        ("days_to_close", -1.5, None, "close date was yesterday", "data di chiusura superata ieri"),
        ("days_to_close", -9.0, None, "close date passed 9 days ago", "data di chiusura superata da 9 giorni"),
        ("overdue", 1.0, None, "close date has passed", "data di chiusura superata"),
        ("custom:region", "Italia", None, "region: Italia", "region: Italia"),
        ("custom:region", None, None, "region: not known", "region: non noto"),
        ("custom:seats", 12.5, None, "seats: 12.5", "seats: 12,5"),
        ("calendar", None, None, "calendar", "calendar"),  # a group of some model, no feature
    ],
)  # fmt: skip
def test_known_sentences(
    name: str, value: float | str | None, beside: float | str | None, english: str, italian: str
) -> None:
    assert EN.phrase(name, value, beside) == english
    assert IT.phrase(name, value, beside) == italian


@given(st.sampled_from([spec for spec in EVERY if form_of(spec) == "count"]), st.floats(0, 1e6))
def test_one_is_singular_and_nothing_else_is(spec: FeatureSpec, value: float) -> None:
    text = EN.phrase(spec.name, value)
    band = "zero" if value < 1 else "one" if value < 2 else "other"
    assert text == load_phrases("en")[f"{spec.name}.{band}"].format(n=f"{int(value):,}", beside=_beside(spec))


def _beside(spec: FeatureSpec) -> str:
    return {"days_in_stage": "this stage", "times_pushed": "–"}.get(spec.name, "")


def test_a_long_attribute_is_cut_and_braces_in_it_stay() -> None:
    assert EN.phrase("custom:note", "x" * 2000) == f"note: {'x' * 59}…"
    assert EN.phrase("custom:{note}", "{value}") == "{note}: {value}"


def test_another_language_is_refused() -> None:
    with pytest.raises(UsageError, match="locale 'de'"):
        Phrasebook("de")


def test_rows_of_a_matrix_read_as_their_values_do(
    sample_history: History, sample_models: FittedModels
) -> None:
    at_us = 20_454 * DAY_US
    deal = sample_history.open_deals(at_us)
    features = sample_models.features(sample_history, deal, np.full(len(deal), at_us))
    frame, rows = features.to_frame(), np.arange(len(deal))[::3]
    for name in features.names:
        found = IT.phrases(features, name, rows.tolist(), features[name][rows].tolist())
        for row, text in zip(rows.tolist(), found, strict=True):
            value, beside = frame[name].iloc[row], None
            stage = sample_history.stages.label[int(features["stage"][row])]
            if name == "stage":
                value = stage
            elif spec_of(name).kind == "category" and not isinstance(value, str):
                value = None
            if name == "days_in_stage":
                beside = stage
            elif name == "times_pushed":
                beside = frame["days_pushed"].iloc[row]
            assert text == IT.phrase(name, value, beside)
