"""Whose rows a key may see: every answer made from stored scores, forecasts and judgements starts here.

`own` is the deals a user owned when the snapshot was made, and that user's row of the forecast. `team` is the
deals, the row and the users' rows of a team as it was then. What lies outside is not refused but absent, by
the same query as for what does not exist.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, false, or_, select, true

from forecast.access import Scope
from forecast.ledger.schema import FORECASTS, JUDGEMENTS, SCORES, SNAPSHOTS

__all__ = ["UNASSIGNED", "visible_deal", "visible_forecasts", "visible_judgements", "visible_scores"]

UNASSIGNED: Final = "unassigned"
"""What has no owner or no team is summed up under this name; it is nobody's own."""


def visible_scores(scope: Scope) -> Select[Any]:
    """Scores in scope with their snapshots. Callers add conditions, never take one away."""
    return (
        select(SCORES, SNAPSHOTS)
        .join(SNAPSHOTS, SCORES.c.snapshot == SNAPSHOTS.c.number)
        .where(_of_scores(scope))
    )


def visible_forecasts(scope: Scope) -> Select[Any]:
    """Rows of forecasts in scope."""
    return select(FORECASTS).where(_of_forecasts(scope))


def visible_deal(scope: Scope, deal_id: str) -> Select[Any]:
    """The newest score of a deal if it is in scope, else nothing: who owns a deal now decides who sees it."""
    newest = (
        select(SCORES.c.snapshot)
        .join(SNAPSHOTS, SCORES.c.snapshot == SNAPSHOTS.c.number)
        .where(SCORES.c.deal_id == deal_id)
        .order_by(SNAPSHOTS.c.as_of_us.desc(), SNAPSHOTS.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    return visible_scores(scope).where(SCORES.c.deal_id == deal_id, SCORES.c.snapshot == newest)


def visible_judgements(scope: Scope, deal_id: str) -> Select[Any]:
    """Judgements on a deal, if the deal is in scope."""
    seen = visible_deal(scope, deal_id).with_only_columns(SCORES.c.deal_id).scalar_subquery()
    return select(JUDGEMENTS).where(JUDGEMENTS.c.deal_id == seen)


def _of_scores(scope: Scope) -> ColumnElement[bool]:
    if scope.kind == "all":
        return true()
    column = SCORES.c.owner_id if scope.kind == "own" else SCORES.c.team
    return column == scope.entity


def _of_forecasts(scope: Scope) -> ColumnElement[bool]:
    if scope.kind == "all":
        return true()
    level, entity, team = FORECASTS.c.level, FORECASTS.c.entity, FORECASTS.c.team
    if scope.kind == "own":
        if scope.entity == UNASSIGNED:
            return false()
        return and_(level == "user", entity == scope.entity)
    return or_(and_(level == "team", entity == scope.entity), and_(level == "user", team == scope.entity))
