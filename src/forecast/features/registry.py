"""Every input of the models: what it is, where it comes from, when it is known, and why it is there.

One list is read by the builder, the encoder, the explanations and the documentation (docs/features.md).
Calendar position is deliberately absent: the calendar belongs to the hazard, not to the deal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["BUILT_IN", "LEADS", "FeatureSpec", "Kind", "custom_spec", "is_built_in", "label", "spec_of"]

Kind = Literal["log", "count", "number", "signed", "share", "chance", "flag", "category"]


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One input.

    kind : how the encoder treats it. `log`: non-negative, long-tailed (days, amounts); `count`: small
        non-negative integer; `number`: as it is; `signed`: long-tailed on both sides (days to a date);
        `share`: in [0, 1]; `flag`: 0 or 1; `category`: a code
    field : the field of deals or deal_events it needs; dropped from a model when that field has no history
    spline : whether the linear model may bend along it
    unit : of the value; `odds` are logarithms of odds
    """

    name: str
    kind: Kind
    label_en: str
    label_it: str
    source: str
    known: str
    why: str
    field: str = ""
    spline: bool = False
    unit: Literal["", "days", "amount", "share", "odds"] = ""


_STAGE = "deal_events.stage"
_ACTIVITY = "activities.occurred_at"
_DATE = "deal_events.expected_close_on"
_PAST = "closings recorded before the moment"
_COURSE = "stages, activities, BANT, forecast category and close dates together"
_AGAINST_ALL = "expanding, against what all win of the same kind of business, shrunk to no difference"
_AT_RECORDING = "from the moment its event is recorded"

BUILT_IN: Final[tuple[FeatureSpec, ...]] = (
    FeatureSpec("stage", "category", "stage", "fase", _STAGE, _AT_RECORDING,
                "the seller's own measure of progress"),
    FeatureSpec("days_in_stage", "log", "days in this stage", "giorni in questa fase", _STAGE, _AT_RECORDING,
                "stuck deals seldom move again", spline=True, unit="days"),
    FeatureSpec("age_days", "log", "age of the deal", "età della trattativa", "deals.created_at",
                "from creation, once the deal is first seen", "old open deals are the slow and the forgotten",
                spline=True, unit="days"),
    FeatureSpec("days_to_stage", "log", "age when this stage was reached", "età all'ingresso in questa fase",
                _STAGE, _AT_RECORDING, "fast deals stay fast", unit="days"),
    FeatureSpec("moves_forward", "count", "moves forward", "avanzamenti di fase", _STAGE, _AT_RECORDING,
                "momentum"),
    FeatureSpec("moves_back", "count", "moves back", "ritorni a fasi precedenti", _STAGE, _AT_RECORDING,
                "a step back signals doubt"),
    FeatureSpec("stages_skipped", "count", "stages skipped", "fasi saltate", _STAGE, _AT_RECORDING,
                "skipping may mean a ready buyer or a careless record"),
    FeatureSpec("times_reopened", "count", "times re-opened", "riaperture", _STAGE, _AT_RECORDING,
                "re-qualified deals behave differently"),
    FeatureSpec("amount", "log", "amount", "importo", "deal_events.amount", _AT_RECORDING,
                "large deals take longer and are lost more often", field="amount", spline=True, unit="amount"),
    FeatureSpec("amount_change", "number", "change of the amount since the start",
                "variazione dell'importo dall'inizio", "deal_events.amount", _AT_RECORDING,
                "growing deals are being negotiated", field="amount"),
    FeatureSpec("amount_changes", "count", "changes of the amount", "modifiche dell'importo",
                "deal_events.amount", _AT_RECORDING, "activity on the offer", field="amount"),
    FeatureSpec("days_to_close", "signed", "days to the seller's close date",
                "giorni alla data di chiusura prevista", _DATE, _AT_RECORDING,
                "the seller's own estimate of when", field="expected_close_on", spline=True, unit="days"),
    FeatureSpec("overdue", "flag", "close date has passed", "data di chiusura superata", _DATE, _AT_RECORDING,
                "nobody is minding the date", field="expected_close_on"),
    FeatureSpec("times_pushed", "count", "times the close date was pushed", "rinvii della data di chiusura",
                _DATE, _AT_RECORDING, "pushed deals slip again", field="expected_close_on"),
    FeatureSpec("days_pushed", "log", "days the close date was pushed in all",
                "giorni totali di rinvio della chiusura", _DATE, _AT_RECORDING, "how far it slipped",
                field="expected_close_on", unit="days"),
    FeatureSpec("first_estimate_days", "signed", "days to close as first estimated",
                "giorni alla chiusura secondo la prima stima", _DATE, _AT_RECORDING,
                "how long the seller expected it to take", field="expected_close_on", spline=True, unit="days"),
    FeatureSpec("days_to_first_date", "signed", "days to the first close date",
                "giorni alla prima data di chiusura", _DATE, _AT_RECORDING,
                "how late it is by the first promise, however often it was pushed", field="expected_close_on",
                spline=True, unit="days"),
    FeatureSpec("days_since_date_change", "log", "days since the close date was set",
                "giorni dall'ultima modifica della data di chiusura", _DATE, _AT_RECORDING,
                "a fresh estimate is worth more", field="expected_close_on", unit="days"),
    FeatureSpec("category_changes", "count", "changes of forecast category", "cambi di categoria di previsione",
                "deal_events.forecast_category", _AT_RECORDING, "a seller who revises is looking",
                field="forecast_category"),
    FeatureSpec("category", "category", "seller's forecast category", "categoria di previsione del venditore",
                "deal_events.forecast_category", _AT_RECORDING, "the seller's own judgement",
                field="forecast_category"),
    FeatureSpec("budget", "share", "budget", "budget", "deal_events.budget", _AT_RECORDING,
                "BANT: is there money", field="budget", unit="share"),
    FeatureSpec("authority", "share", "authority", "potere decisionale", "deal_events.authority", _AT_RECORDING,
                "BANT: do we talk to who decides", field="authority", unit="share"),
    FeatureSpec("need", "share", "need", "bisogno", "deal_events.need", _AT_RECORDING,
                "BANT: is there a problem to solve", field="need", unit="share"),
    FeatureSpec("timeline", "share", "timeline", "tempistica", "deal_events.timeline", _AT_RECORDING,
                "BANT: is there a date by which they must decide", field="timeline", unit="share"),
    FeatureSpec("bant_answered", "count", "BANT questions answered", "domande BANT con risposta",
                "deal_events (BANT fields)", _AT_RECORDING, "a seller who asks knows the deal", field="budget"),
    FeatureSpec("bant_balance", "number", "balance of BANT answers", "bilancio delle risposte BANT",
                "deal_events (BANT fields)", _AT_RECORDING,
                "several good answers say more than each alone: sum of (answer - 0.5)", field="budget"),
    FeatureSpec("days_since_bant", "log", "days since BANT was last updated",
                "giorni dall'ultimo aggiornamento BANT", "deal_events (BANT fields)", _AT_RECORDING,
                "old answers age", field="budget", unit="days"),
    FeatureSpec("activities_7d", "count", "activities in the last 7 days", "attività negli ultimi 7 giorni",
                _ACTIVITY, "from the moment it happened", "work on the deal now", field="activity"),
    FeatureSpec("activities_14d", "count", "activities in the last 14 days", "attività negli ultimi 14 giorni",
                _ACTIVITY, "from the moment it happened", "work on the deal lately", field="activity"),
    FeatureSpec("activities_30d", "count", "activities in the last 30 days", "attività negli ultimi 30 giorni",
                _ACTIVITY, "from the moment it happened", "work on the deal this month", field="activity"),
    FeatureSpec("activities_90d", "count", "activities in the last 90 days", "attività negli ultimi 90 giorni",
                _ACTIVITY, "from the moment it happened", "work on the deal this quarter", field="activity",
                spline=True),
    FeatureSpec("activities_180d", "count", "activities in the last 180 days",
                "attività negli ultimi 180 giorni", _ACTIVITY, "from the moment it happened",
                "work on the deal this half-year", field="activity", spline=True),
    FeatureSpec("activities_total", "count", "activities so far", "attività finora", _ACTIVITY,
                "from the moment it happened", "all the work it took", field="activity",
                spline=True),
    FeatureSpec("activities_per_week", "number", "activities per week of its life",
                "attività per settimana di vita", _ACTIVITY, "from the moment it happened",
                "buyers who want to buy keep sellers busy; drawn to one in three weeks", field="activity",
                spline=True),
    FeatureSpec("inbound_share", "share", "share of activities from the customer",
                "quota di attività dal cliente", _ACTIVITY, "from the moment it happened",
                "who writes to whom; drawn to one in three", field="activity", unit="share"),
    FeatureSpec("days_since_inbound", "log", "days since the customer's last message",
                "giorni dall'ultimo messaggio del cliente", _ACTIVITY, "from the moment it happened",
                "the customer's silence weighs more than the seller's", field="activity", unit="days"),
    FeatureSpec("inbound_30d", "count", "messages from the customer in the last 30 days",
                "messaggi dal cliente negli ultimi 30 giorni", _ACTIVITY, "from the moment it happened",
                "an interested buyer writes back", field="activity"),
    FeatureSpec("meetings_90d", "count", "calls and meetings in the last 90 days",
                "chiamate e incontri negli ultimi 90 giorni", _ACTIVITY, "from the moment it happened",
                "talking beats writing", field="activity"),
    FeatureSpec("silence_days", "log", "days of silence", "giorni di silenzio",
                "activities, and events of stage, amount and BANT", "from the moment it happened",
                "silent deals die", spline=True, unit="days"),
    FeatureSpec("owner_edge", "number", "owner's win rate above the company's",
                "tasso di vittoria del venditore rispetto all'azienda", _PAST,
                _AGAINST_ALL, "some sellers close more", unit="share"),
    FeatureSpec("owner_pace", "number", "pace of the owner's deals above the company's",
                "passo delle trattative del venditore rispetto all'azienda", "moves recorded before the moment",
                "expanding, against moves of all in the same stages and motions, shrunk to no difference",
                "whose deals move fast knows how to move them", unit="share"),
    FeatureSpec("account_edge", "number", "win rate with this account above the company's",
                "tasso di vittoria col cliente rispetto all'azienda", _PAST,
                _AGAINST_ALL, "customers buy again", unit="share"),
    FeatureSpec("account_closed", "count", "deals closed with this account", "trattative chiuse col cliente",
                _PAST, "expanding", "a known customer"),
    FeatureSpec("source_edge", "number", "win rate of this source above the company's",
                "tasso di vittoria della fonte rispetto all'azienda", _PAST,
                _AGAINST_ALL, "referrals are not cold calls", unit="share"),
    FeatureSpec("owner_changes", "count", "changes of owner", "cambi di venditore", "deal_events.owner_id",
                _AT_RECORDING, "handed-over deals lose momentum", field="owner_id"),
    FeatureSpec("motion", "category", "kind of business", "tipo di vendita", "deals.motion", "from creation",
                "a renewal is not a new customer"),
    FeatureSpec("source", "category", "source", "fonte", "deals.source", "from creation", "where it came from"),
    FeatureSpec("like_never_won", "number", "likeness to deals hardly ever won",
                "somiglianza con trattative quasi mai vinte", _COURSE, _AT_RECORDING,
                "log odds of that hidden kind: a deal that fell asleep looks like it long before it is closed",
                spline=True, unit="odds"),
    FeatureSpec("like_seldom_won", "number", "likeness to deals seldom won",
                "somiglianza con trattative vinte di rado", _COURSE, _AT_RECORDING,
                "log odds of that hidden kind, from everything recorded so far and from silence", spline=True,
                unit="odds"),
    FeatureSpec("like_often_won", "number", "likeness to deals often won",
                "somiglianza con trattative vinte spesso", _COURSE, _AT_RECORDING,
                "log odds of that hidden kind: fast moves, good answers and replies add up", spline=True,
                unit="odds"),
    FeatureSpec("course_won_30d", "chance", "wins within 30 days on such a course",
                "vittorie entro 30 giorni con un percorso simile", _COURSE, _AT_RECORDING,
                "what its hidden kinds come to from this stage: one more move may be far off", spline=True,
                unit="share"),
    FeatureSpec("course_won_90d", "chance", "wins within 90 days on such a course",
                "vittorie entro 90 giorni con un percorso simile", _COURSE, _AT_RECORDING,
                "the same for longer: early stages have time to move", spline=True, unit="share"),
    FeatureSpec("course_lost_90d", "chance", "losses within 90 days on such a course",
                "perdite entro 90 giorni con un percorso simile", _COURSE, _AT_RECORDING,
                "the same for losing: what is never decided is not lost either", spline=True, unit="share"),
)  # fmt: skip

_HAPPENED: Final = "from the moment it happened"
_LEFT: Final = "leads converted or disqualified before the moment"
_SHRUNK: Final = "expanding, shrunk to no difference; "
_FILLED_ALIKE: Final = (
    "a snapshot without dates: only if filled as often in open leads as in converted and in disqualified ones"
)

# Inputs of the model of leads. `field` is the column of `leads` the field policy judges. A name that deals have
# too means the same there: one label serves both.
LEADS: Final[tuple[FeatureSpec, ...]] = (
    FeatureSpec("lead_age_days", "log", "age of the lead", "età del lead", "leads.created_at",
                "from creation", "old open leads are the slow and the forgotten", spline=True, unit="days"),
    FeatureSpec("activities_7d", "count", "activities in the last 7 days", "attività negli ultimi 7 giorni",
                _ACTIVITY, _HAPPENED, "work on the lead now", field="activity"),
    FeatureSpec("activities_14d", "count", "activities in the last 14 days", "attività negli ultimi 14 giorni",
                _ACTIVITY, _HAPPENED, "work on the lead lately", field="activity"),
    FeatureSpec("activities_30d", "count", "activities in the last 30 days", "attività negli ultimi 30 giorni",
                _ACTIVITY, _HAPPENED, "work on the lead this month", field="activity"),
    FeatureSpec("activities_90d", "count", "activities in the last 90 days", "attività negli ultimi 90 giorni",
                _ACTIVITY, _HAPPENED, "work on the lead this quarter", field="activity", spline=True),
    FeatureSpec("inbound_30d", "count", "messages from the customer in the last 30 days",
                "messaggi dal cliente negli ultimi 30 giorni", _ACTIVITY, _HAPPENED,
                "who is interested writes back", field="activity"),
    FeatureSpec("inbound_all", "count", "messages from the customer so far", "messaggi dal cliente finora",
                _ACTIVITY, _HAPPENED, "whether there ever was an answer", field="activity"),
    FeatureSpec("meetings_90d", "count", "calls and meetings in the last 90 days",
                "chiamate e incontri negli ultimi 90 giorni", _ACTIVITY, _HAPPENED, "talking beats writing",
                field="activity"),
    FeatureSpec("silence_days", "log", "days of silence", "giorni di silenzio",
                "activities, and leads.created_at", _HAPPENED, "silent leads go cold", spline=True,
                unit="days"),
    FeatureSpec("owner_conversion_edge", "number", "owner's conversion rate above the company's",
                "tasso di conversione del responsabile rispetto all'azienda", _LEFT, _SHRUNK + _FILLED_ALIKE,
                "some people convert more", field="owner_id", unit="share"),
    FeatureSpec("source_conversion_edge", "number", "conversion rate of this source above the company's",
                "tasso di conversione della fonte rispetto all'azienda", _LEFT, _SHRUNK + _FILLED_ALIKE,
                "referrals are not cold calls", field="source", unit="share"),
    FeatureSpec("account_edge", "number", "win rate with this account above the company's",
                "tasso di vittoria col cliente rispetto all'azienda", _PAST, _SHRUNK + _FILLED_ALIKE,
                "customers buy again", field="account_id", unit="share"),
    FeatureSpec("account_closed", "count", "deals closed with this account", "trattative chiuse col cliente",
                _PAST, "expanding; " + _FILLED_ALIKE, "a known customer", field="account_id"),
    FeatureSpec("budget", "share", "budget", "budget", "leads.budget", _FILLED_ALIKE, "BANT: is there money",
                field="budget", unit="share"),
    FeatureSpec("authority", "share", "authority", "potere decisionale", "leads.authority", _FILLED_ALIKE,
                "BANT: do we talk to who decides", field="authority", unit="share"),
    FeatureSpec("need", "share", "need", "bisogno", "leads.need", _FILLED_ALIKE,
                "BANT: is there a problem to solve", field="need", unit="share"),
    FeatureSpec("timeline", "share", "timeline", "tempistica", "leads.timeline", _FILLED_ALIKE,
                "BANT: is there a date by which they must decide", field="timeline", unit="share"),
    FeatureSpec("source", "category", "source", "fonte", "leads.source", _FILLED_ALIKE, "where it came from",
                field="source"),
)  # fmt: skip

_BY_NAME: Final = {spec.name: spec for spec in (*LEADS, *BUILT_IN)}


def custom_spec(name: str) -> FeatureSpec:
    """The specification of a custom attribute; whether it may be used is the field policy's question."""
    return FeatureSpec(
        f"custom:{name}",
        "category",
        name,
        name,
        f"deals.{name} or deal_events.{name}",
        _AT_RECORDING
        + "; an attribute without events only if it is filled as often while open as when closed",
        "an attribute this company keeps",
        field=name,
    )


def spec_of(name: str) -> FeatureSpec:
    """Specification by feature name, custom attributes included."""
    return _BY_NAME[name] if name in _BY_NAME else custom_spec(name.removeprefix("custom:"))


def is_built_in(name: str) -> bool:
    """Whether a feature is one of `BUILT_IN` or `LEADS`, and not an attribute of some company."""
    return name in _BY_NAME


def label(name: str, locale: str = "en") -> str:
    """The feature in words a manager reads, in English (`en`) or Italian (`it`)."""
    spec = spec_of(name)
    return spec.label_it if locale == "it" else spec.label_en
