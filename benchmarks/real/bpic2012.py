"""BPI Challenge 2012 (van Dongen, 4TU, doi 10.4121/uuid:3926db30-f712-4394-aebc-75976070e91f) as our tables.

The event log of a Dutch lender: 13,087 loan applications, October 2011 to March 2012. The adapter decides:

- The pipeline starts at A_PREACCEPTED: what is declined before, mostly by a machine within minutes, was
  never a deal.
- A deal is won at the first of A_APPROVED, A_REGISTERED, A_ACTIVATED, and lost at A_DECLINED or
  A_CANCELLED, whichever of all five comes first. These, O_ACCEPTED and O_DECLINED say the outcome and
  nothing else: none of them becomes a feature, an activity or a change of owner.
- O_CANCELLED is left out too. It closes an offer when the next one is made, which the next O_SENT tells; or
  when the whole application is cancelled, and then it is the outcome told a moment early.
- O_SENT after O_SENT_BACK is a second offer: the deal moves back to "offer sent".
- W_ items are work done by people: activities, counted when somebody starts on one. Planning (SCHEDULE) is
  done by the system, and the end of a piece of work (COMPLETE) would count it twice.
- Where the work says how far a deal is and no event of its own does, its start is a stage: filling in what the
  application lacks, calling about an offer that is out, assessing the papers, calling for missing ones. A
  lender's seller would have these stages in a CRM. Work that belongs to an earlier stage (a call about the
  offer while the papers are assessed) moves no deal back.
- The amount is the one applied for; what was granted is not in the log, so it never changes.
- Resource 112 is the automatic user and never owns a deal. The owner is the last person who entered an A_
  or O_ event.
- Times carry the offset of Amsterdam, summer and winter; they become UTC.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from benchmarks.real.source import raw_file, read_text
from forecast.tables import Tables

__all__ = ["ACTIVITIES", "OUTCOMES", "adapt", "load"]

NAME: Final = "bpic2012"
ZONE: Final = "Europe/Amsterdam"
START: Final = "A_PREACCEPTED"
AUTOMATIC: Final = "112"

_STAGES: Final = (
    # event in the log, stage, kind, label
    ("A_SUBMITTED", "submitted", "open", "Submitted"),
    ("A_PREACCEPTED", "preaccepted", "open", "Pre-accepted"),
    ("W_Completeren aanvraag", "completing", "open", "Completing the application"),
    ("A_ACCEPTED", "accepted", "open", "Accepted for assessment"),
    ("A_FINALIZED", "finalized", "open", "Application complete"),
    ("O_SENT", "offer_sent", "open", "Offer sent"),
    ("W_Nabellen offertes", "following_up", "open", "Calling about the offer"),
    ("O_SENT_BACK", "offer_back", "open", "Offer sent back by the customer"),
    ("W_Valideren aanvraag", "assessing", "open", "Assessing the papers"),
    ("W_Nabellen incomplete dossiers", "incomplete", "open", "Calling for missing papers"),
    ("A_APPROVED", "won", "won", "Loan granted"),
    ("A_REGISTERED", "won", "won", "Loan granted"),
    ("A_ACTIVATED", "won", "won", "Loan granted"),
    ("A_DECLINED", "declined", "lost", "Declined by the lender"),
    ("A_CANCELLED", "cancelled", "lost", "Cancelled"),
)
_STAGE_OF: Final = {event: stage for event, stage, _, _ in _STAGES}
# The stages from which work leads on to its own; other work moves a deal from any stage.
_ONLY_FROM: Final[dict[str, frozenset[str]]] = {
    "completing": frozenset({"preaccepted"}),
    "following_up": frozenset({"finalized", "offer_sent"}),
}
OUTCOMES: Final = frozenset(event for event, _, kind, _ in _STAGES if kind != "open")
_ECHOES: Final = frozenset({*OUTCOMES, "O_ACCEPTED", "O_DECLINED", "O_CANCELLED"})

# Work item -> (kind, direction). Calls are those the log itself names so ("nabellen" is to call after).
ACTIVITIES: Final[dict[str, tuple[str, str]]] = {
    "W_Afhandelen leads": ("task", ""),  # follow up an incomplete first submission
    "W_Completeren aanvraag": ("task", ""),  # fill in what the application lacks
    "W_Nabellen offertes": ("call", "out"),  # call the customer about the offer
    "W_Nabellen incomplete dossiers": ("call", "out"),  # call for missing papers
    "W_Valideren aanvraag": ("task", ""),  # assess the application
    "W_Beoordelen fraude": ("other", ""),  # look into suspected fraud
    "W_Wijzigen contractgegevens": ("other", ""),  # change the contract's details
}


def load(folder: Path | None = None) -> Tables:
    """Contract tables from `bpic2012/events.csv.gz` in the folder of raw data (default: see `source`)."""
    return adapt(read_text(raw_file(NAME, "events.csv.gz", folder=folder)))


def adapt(log: pd.DataFrame, *, start: str = START) -> Tables:
    """Contract tables from the raw log (all cells text, as in the file).

    start : the event a deal starts with; A_SUBMITTED puts a stage before the others
    """
    at = pd.to_datetime(log["timestamp"], format="ISO8601", utc=True).dt.as_unit("us")
    log = log.assign(at=at).sort_values("at", kind="stable", ignore_index=True)
    started = log.loc[log["activity"] == start].drop_duplicates("case_id")
    log = log[log["case_id"].isin(started["case_id"])]
    # What is told of a deal ends with its outcome: what follows is book-keeping.
    ends_at = log.loc[log["activity"].isin(OUTCOMES)].groupby("case_id")["at"].min()
    ended = log["at"] >= log["case_id"].map(ends_at)

    owners = _owner_events(log[~ended])
    deals = pd.DataFrame(
        {
            "deal_id": started["case_id"],
            "pipeline": "loans",
            "motion": "new",
            "created_at": started["at"],
            "owner_id": started["case_id"].map(owners.groupby("deal_id")["value"].last()),
            "amount": started["amount_req"].astype("float64"),
            "currency": "EUR",
        }
    )
    amounts = pd.DataFrame(
        {
            "deal_id": started["case_id"],
            "recorded_at": started["at"],
            "field": "amount",
            "value": started["amount_req"],
            "actor": started["resource"],
        }
    )
    stages = _stages(start)
    of_event = {event: stage for event, stage in _STAGE_OF.items() if stage in set(stages["stage"])}
    events = pd.concat([_stage_events(log, ended, of_event), amounts, owners], ignore_index=True)
    return Tables.from_frames(
        stages=stages,
        deals=deals,
        deal_events=events.sort_values("recorded_at", kind="stable", ignore_index=True),
        activities=_activities(log[~ended]),
        users=_users(owners),
    )


def _stages(start: str) -> pd.DataFrame:
    """The stages from the one a deal starts with."""
    frame = pd.DataFrame(_STAGES, columns=["event", "stage", "kind", "label"]).drop_duplicates("stage")
    frame = frame.iloc[frame["event"].tolist().index(start) :]
    return frame.drop(columns="event").assign(pipeline="loans", position=range(1, len(frame) + 1))


def _stage_events(log: pd.DataFrame, ended: pd.Series, of_event: dict[str, str]) -> pd.DataFrame:
    """Stages while the deal is open, then its first outcome."""
    outcome = log[log["activity"].isin(OUTCOMES)].drop_duplicates("case_id")
    tells = ~log["activity"].str.startswith("W_") | (log["lifecycle"] == "START")
    open_stage = log[log["activity"].isin(set(of_event) - OUTCOMES) & tells & ~ended]
    open_stage = open_stage[_moves(open_stage["case_id"], open_stage["activity"].map(of_event))]
    told = pd.concat([open_stage, outcome])
    return _events(told, "stage", told["activity"].map(of_event))


def _moves(case_id: pd.Series, stage: pd.Series) -> list[bool]:
    """Whether each event, in order of time, moves its case to another stage; what repeats a stage does not."""
    now: dict[str, str] = {}
    moves = []
    for case, to in zip(case_id, stage, strict=True):
        allowed = to not in _ONLY_FROM or now.get(case) in _ONLY_FROM[to]
        moves.append(allowed and now.get(case) != to)
        if moves[-1]:
            now[case] = to
    return moves


def _owner_events(log: pd.DataFrame) -> pd.DataFrame:
    """One event per change of the person behind the application or the offer, outcomes aside."""
    entered = log["activity"].str.startswith(("A_", "O_")) & ~log["activity"].isin(_ECHOES)
    people = log[entered & log["resource"].notna() & (log["resource"] != AUTOMATIC)]
    changed = people["resource"] != people.groupby("case_id")["resource"].shift()
    return _events(people[changed], "owner_id", people.loc[changed, "resource"])


def _activities(log: pd.DataFrame) -> pd.DataFrame:
    work = log[log["activity"].isin(list(ACTIVITIES)) & (log["lifecycle"] == "START")]
    kinds = work["activity"].map(lambda name: ACTIVITIES[name])
    return pd.DataFrame(
        {
            "deal_id": work["case_id"],
            "occurred_at": work["at"],
            "kind": kinds.str[0],
            "direction": kinds.str[1].replace("", None),
        }
    )


def _users(owners: pd.DataFrame) -> pd.DataFrame:
    """Everybody who ever owned a deal; the log knows numbers, no names and no teams."""
    people = pd.Series(sorted(owners["value"].unique()), dtype="str")
    return pd.DataFrame({"user_id": people, "name": "resource " + people})


def _events(log: pd.DataFrame, field: str, value: pd.Series) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "deal_id": log["case_id"],
            "recorded_at": log["at"],
            "field": field,
            "value": value,
            "actor": log["resource"],
        }
    )
