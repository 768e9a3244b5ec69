"""`POST /v1/leads/score`: from the bytes of a request to leads that can be scored, and to the answer.

A lead has no events: its columns are what is known now (docs/leads.md), its activities and its outcome have
their dates. A lead converted or disqualified before as_of is not scored; later outcomes are the future.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from forecast.bundle import Bundle
from forecast.history import leads_from_request
from forecast.periods import to_timestamp
from forecast.scoring import score_lead_arrays
from forecast.service.catalogue import Catalogue
from forecast.service.deals import BANT, MAX_ATTRIBUTES, parse_activities
from forecast.service.encoding import moment, rows
from forecast.service.options import as_of_option, locale_option, reasons_option
from forecast.service.refusals import Invalid, Refusal
from forecast.service.requests import CLOCK_SKEW_US, MAX_DEALS
from forecast.service.strict_json import loads
from forecast.service.values import (
    Check,
    attribute,
    established,
    identifier,
    moment_us,
    only,
    optional,
    plain_word,
)

__all__ = ["LeadRequest", "lead_answer", "parse_lead_request"]

_COLUMNS: Final[dict[str, Check]] = {
    "lead_id": identifier,
    "created_at": moment_us,
    "source": optional(identifier),
    "owner_id": optional(identifier),
    "account_id": optional(identifier),
    **{name: optional(established) for name in BANT},
    "converted_at": optional(moment_us),
    "deal_id": optional(identifier),
    "disqualified_at": optional(moment_us),
}


@dataclass(frozen=True, slots=True)
class LeadRequest:
    """Leads to be scored as known before `as_of_us`.

    leads : those still open then, in the order of the request, shaped for `leads_from_request`
    skipped : ids of the others and what became of them, in the order of the request
    reasons : how many to name for each lead; locale : the language they are told in
    """

    as_of_us: int
    leads: list[dict[str, Any]]
    skipped: list[dict[str, str]]
    reasons: int
    locale: str


def parse_lead_request(body: bytes, known: Catalogue, now_us: int) -> LeadRequest:
    """Read the body of `POST /v1/leads/score`.

    now_us : the moment of the request, for an as_of that is not given
    Raises Refusal: 400 with code, field and row, or 413 `too_many_leads`.
    """
    raw = loads(body)
    if type(raw) is not dict:
        raise Refusal(400, "not_an_object", "the body is a JSON object with the key leads")
    try:
        only({"as_of", "leads", "reasons", "locale"}, raw)
    except Invalid as invalid:
        raise invalid.refusal(None, None) from None
    given_us = as_of_option(raw.get("as_of"), now_us)
    reasons = reasons_option(raw["reasons"]) if "reasons" in raw else reasons_option()
    locale = locale_option(raw["locale"]) if "locale" in raw else locale_option()
    leads = _leads(raw.get("leads"), known)
    as_of_us = given_us if given_us is not None else _now(leads, now_us)
    still_open: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for row, lead in enumerate(leads):
        if lead["created_at"] >= as_of_us:
            raise Refusal(
                400, "after_as_of", "lies after as_of: the lead is not known yet", field="created_at", row=row
            )
        left = _outcome(lead, as_of_us)
        if left is None:
            still_open.append(lead)
        else:
            skipped.append({"lead_id": lead["lead_id"], "reason": left})
    return LeadRequest(as_of_us, still_open, skipped, reasons, locale)


def lead_answer(bundle: Bundle, request: LeadRequest, model: dict[str, str]) -> dict[str, Any]:
    """Scores in the order of the request, those of `forecast score --leads`.

    model : the reference to the bundle that every answer carries
    Raises Refusal 409 `no_lead_models` for a bundle that was trained without leads.
    """
    if bundle.leads is None:
        raise Refusal(
            409, "no_lead_models", "the bundle in use was trained without leads and cannot score any"
        )
    history = leads_from_request(request.leads, bundle.models.money)
    scores = score_lead_arrays(
        history,
        bundle,
        history.open_deals(request.as_of_us),
        to_timestamp(request.as_of_us),
        reasons=request.reasons,
        locale=request.locale,
    )
    by_id = {row["lead_id"]: row for row in rows(scores, moments=("as_of",), json_texts=("reasons",))}
    return {
        "model": model,
        "as_of": moment(request.as_of_us),
        "scores": [by_id[lead["lead_id"]] for lead in request.leads],
        "skipped": request.skipped,
    }


def _leads(raw: Any, known: Catalogue) -> list[dict[str, Any]]:
    if raw is None:
        raise Refusal(400, "missing", "is required", field="leads")
    if type(raw) is not list:
        raise Refusal(400, "not_a_list", "expected a list of leads", field="leads")
    if len(raw) > MAX_DEALS:
        raise Refusal(413, "too_many_leads", f"at most {MAX_DEALS} leads in one request", field="leads")
    leads: list[dict[str, Any]] = []
    seen: set[str] = set()
    for row, item in enumerate(raw):
        lead = _lead(item, row, known)
        if lead["lead_id"] in seen:
            raise Refusal(400, "duplicate_lead", "comes twice in this request", field="lead_id", row=row)
        seen.add(lead["lead_id"])
        leads.append(lead)
    return leads


def _lead(raw: Any, row: int, known: Catalogue) -> dict[str, Any]:
    """Check one lead; moments become int microseconds, attributes text."""
    if type(raw) is not dict:
        raise Refusal(400, "not_an_object", "a lead is a JSON object", row=row)
    name: str | None = None
    try:
        lead: dict[str, Any] = {}
        attributes = 0
        for name, value in raw.items():
            check = _COLUMNS.get(name)
            if check is not None:
                lead[name] = check(known.established(name, value) if name in BANT else value)
            elif name == "events":
                raise Invalid("unknown_key", "a lead has no events; send its columns as they are now")
            elif name != "activities":
                lead[name] = attribute(name, value)
                attributes += 1
        name = None
        if attributes > MAX_ATTRIBUTES:
            raise Invalid("too_many_attributes", f"a lead takes at most {MAX_ATTRIBUTES} custom attributes")
        for name in ("lead_id", "created_at"):
            if name not in lead:
                raise Invalid("missing", "is required")
        name = "activities"
        lead["activities"] = parse_activities(raw.get("activities"))
    except Invalid as invalid:
        raise invalid.refusal(plain_word(name), row) from None
    return lead


def _outcome(lead: dict[str, Any], as_of_us: int) -> str | None:
    """What became of a lead before as_of, by the rules of `forecast.history.leads`; None while it is open."""
    converted_us, disqualified_us = lead.get("converted_at"), lead.get("disqualified_at")
    if converted_us is None and lead.get("deal_id") is not None:
        # The deal is there, the date is not: nobody ever saw this lead open.
        converted_us = lead["created_at"]
    dated = ((converted_us, "converted"), (disqualified_us, "disqualified"))
    ends = [(at_us, what) for at_us, what in dated if at_us is not None]
    if not ends:
        return None
    at_us, what = min(ends, key=lambda end: end[0])
    return what if max(at_us, lead["created_at"]) < as_of_us else None


def _now(leads: list[dict[str, Any]], now_us: int) -> int:
    """The default as-of: now, or just after the newest entry if the sender's clock runs a little ahead."""
    newest_us = now_us
    for lead in leads:
        for at_us in (lead["created_at"], *(activity["occurred_at"] for activity in lead["activities"])):
            if newest_us <= at_us <= now_us + CLOCK_SKEW_US:
                newest_us = at_us + 1
    return newest_us
