"""Rules between tables: a row that speaks of something no table has does not load.

Each rule is left out when the table it needs was refused: then nothing can be said about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.tables.models import Activities, DealEvents, Deals, Leads, Quotas, Stages, Users
from forecast.tables.rows import Loaded
from forecast.tables.rules import shown
from forecast.tables.tables import is_among

__all__ = ["check_relations", "stages_fault"]

Bools = NDArray[np.bool_]
_STRAY_NEEDS: Final = 20  # events, before "all the others" means anything
_MOST_TRIED: Final = 1_000  # different names for which a near one is looked for
_STRAY_GAP: Final = np.timedelta64(182, "D")


def stages_fault(stages: Loaded) -> str | None:
    """Why the stages cannot be used at all, or None."""
    if (stages.frame[Stages.kind] == "won").any():
        return None
    hint = "set the kind of the stage in which a deal is won"
    if len(stages.faults):
        hint = f"{stages.faults.reasons[0][0]} (the first of {len(stages.faults)} bad rows)"
    return f"has no stage of kind 'won', so no deal could ever be won; {hint}"


def check_relations(loaded: dict[str, Loaded]) -> list[str]:
    """Quarantine rows of the tables in `loaded` that refer to what is not there; returns warnings.

    loaded : every table that was not refused, absent optional ones without rows
    """
    stages, deals, events = (loaded.get(name) for name in ("stages", "deals", "deal_events"))
    if stages and deals:
        _check_pipelines(deals, stages)
    if deals and events:
        _check_reference(events, DealEvents.deal_id, deals, Deals.deal_id, "deal")
        if stages:
            _check_stages(events, deals, stages)
        _check_history(deals, events)
    if deals and (activities := loaded.get("activities")):
        _check_reference(activities, Activities.deal_id, deals, Deals.deal_id, "deal")
        leads = loaded.get("leads")
        if leads and leads.source.file:
            _check_reference(activities, Activities.lead_id, leads, Leads.lead_id, "lead")
    if deals and (users := loaded.get("users")) and (quotas := loaded.get("quotas")):
        _check_quotas(quotas, users, deals)
    return list(_warnings(loaded))


def _check_pipelines(deals: Loaded, stages: Loaded) -> None:
    known = stages.frame[Stages.pipeline]
    names = ", ".join(sorted(known.unique())[:8])
    deals.quarantine(
        ~is_among(deals.frame[Deals.pipeline], known),
        "unknown_pipeline",
        lambda rows: [
            f"pipeline {shown(one)} is not in stages; it has {names}" for one in rows[Deals.pipeline]
        ],
    )


def _check_reference(rows: Loaded, name: str, others: Loaded, key: str, what: str) -> None:
    ids = rows.frame[name]
    rows.quarantine(
        ids.notna().to_numpy() & ~is_among(ids, others.frame[key]),
        f"unknown_{what}",
        lambda bad: [f"{name} {shown(one)} is not among the {what}s that were loaded" for one in bad[name]],
    )


def _check_stages(events: Loaded, deals: Loaded, stages: Loaded) -> None:
    moves = (events.frame[DealEvents.field] == "stage").to_numpy()
    stage = events.frame.loc[moves, DealEvents.value].to_numpy(object)
    place = pd.Index(deals.frame[Deals.deal_id]).get_indexer(events.frame.loc[moves, DealEvents.deal_id])
    pipeline = deals.frame[Deals.pipeline].to_numpy(object)[place]
    known = pd.MultiIndex.from_frame(stages.frame[[Stages.pipeline, Stages.stage]])
    unknown = known.get_indexer(pd.MultiIndex.from_arrays([pipeline, stage])) < 0
    bad = np.zeros(len(moves), bool)
    bad[np.flatnonzero(moves)[unknown]] = True
    pairs = list(zip(stage[unknown], pipeline[unknown], strict=True))
    hints = _near_stages(dict.fromkeys(pairs), stages)
    words = [
        f"stage {shown(one)} is not a stage of pipeline {shown(its)}{hints.get((one, its), '')}"
        for one, its in pairs
    ]
    events.quarantine(bad, "unknown_stage", lambda _: words)


def _near_stages(pairs: Iterable[tuple[str, str]], stages: Loaded) -> dict[tuple[str, str], str]:
    """What may have been meant by each (stage, pipeline); more than so many different ones are no slips."""
    known = {str(its): list(rows) for its, rows in stages.frame.groupby(Stages.pipeline)[Stages.stage]}
    found = {}
    for one, its in islice(pairs, _MOST_TRIED):
        near = difflib.get_close_matches(str(one)[:80], known.get(str(its), []), 1, 0.6)
        if near:
            found[one, its] = f"; is {shown(near[0])} meant? [stages] of the settings renames stages"
    return found


def _check_history(deals: Loaded, events: Loaded) -> None:
    """A deal whose stage nobody knows cannot be placed in time; with it go its other events."""
    staged = events.frame.loc[events.frame[DealEvents.field] == "stage", DealEvents.deal_id]
    deals.quarantine(
        ~is_among(deals.frame[Deals.deal_id], staged),
        "no_stage_event",
        lambda rows: [
            f"deal {shown(one)} has no stage event that could be loaded" for one in rows[Deals.deal_id]
        ],
    )
    _check_reference(events, DealEvents.deal_id, deals, Deals.deal_id, "deal")


def _check_quotas(quotas: Loaded, users: Loaded, deals: Loaded) -> None:
    known = {
        # Who owns deals and is missing from users is still somebody who sells.
        "user": pd.concat([users.frame[Users.user_id], deals.frame[Deals.owner_id]]),
        "team": users.frame[Users.team],
        "region": users.frame[Users.region],
    }
    without_users = not len(users.frame)
    for level, names in known.items():
        words = (
            "cannot be placed without a users table" if without_users else f"is no {level} of the users table"
        )
        _check_quota_level(quotas, level, names, words)


def _check_quota_level(quotas: Loaded, level: str, names: pd.Series, words: str) -> None:
    here = quotas.frame[Quotas.level] == level
    quotas.quarantine(
        here.to_numpy() & ~is_among(quotas.frame[Quotas.entity], names),
        "unknown_entity",
        lambda rows: [f"{level} {shown(one)} {words}" for one in rows[Quotas.entity]],
    )


def _stray_moments(events: Loaded) -> Iterator[str]:
    """A year mistyped as 2052 would quietly move the default moment of every forecast there."""
    moments = np.sort(events.frame[DealEvents.recorded_at].to_numpy("datetime64[us]"))
    last = max(len(moments) // 1000, 1)
    if len(moments) < _STRAY_NEEDS or moments[-last] - moments[-last - 1] < _STRAY_GAP:
        return
    yield (
        f"{events.source.file}: the newest {last:,} of {len(moments):,} events stand half a year or more after "
        f"the others, which end {pd.Timestamp(moments[-last - 1]):%Y-%m-%d}; are their dates right? "
        "Without --as-of they set the moment of the forecast"
    )


def _warnings(loaded: dict[str, Loaded]) -> Iterator[str]:
    stages, deals, users, leads = (loaded.get(name) for name in ("stages", "deals", "users", "leads"))
    if stages:
        for pipeline, rows in stages.frame.groupby(Stages.pipeline):
            for kind in {"open", "won"} - set(rows[Stages.kind]):
                yield f"{stages.source.file}: pipeline '{pipeline}' has no stage of kind '{kind}'"
    if deals and not len(deals.frame):
        yield f"{deals.source.file}: no deal was loaded"
    if events := loaded.get("deal_events"):
        yield from _stray_moments(events)
    if deals and users and len(users.frame):
        owners = deals.frame[Deals.owner_id].dropna()
        strangers = sorted(owners[~is_among(owners, users.frame[Users.user_id])].unique())
        if strangers:
            some = ", ".join(strangers[:5])
            yield (
                f"{deals.source.file}: {len(strangers):,} owners are not in users ({some}); "
                "their deals count for no team"
            )
    if leads and deals:
        ids = leads.frame[Leads.deal_id].dropna()
        gone = int((~is_among(ids, deals.frame[Deals.deal_id])).sum())
        if gone:
            yield f"{leads.source.file}: {gone:,} leads became deals that are not among the loaded ones"
