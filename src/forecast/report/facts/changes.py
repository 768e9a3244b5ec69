"""What changed since an earlier moment: both forecasts come from the same bundle, so only the deals moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from forecast.history import LOST, WON
from forecast.periods import as_of_us
from forecast.report.facts.bookings import company_facts
from forecast.report.facts.plain import Fact, date_of, person, rows

if TYPE_CHECKING:
    from forecast.outlook import Outlook

__all__ = ["change_facts"]

# In the order of the page.
_STEPS: Final = ("won", "lost", "won_early", "up", "down", "created", "arrivals", "corrected", "rest")
_MOVERS_SHOWN: Final = 6
_VISIBLE: Final = 0.5  # of the currency; less is rounding


def change_facts(now: Outlook, before: Outlook | None, names: dict[str, str]) -> Fact | None:
    """The way from the earlier expectation to today's, step by step; the steps add up exactly.

    won: booked since, less what had been counted on. lost and won_early (won, but before the period began):
    what had been counted on and is gone. created: deals that were not open then. up, down: deals open at both
    moments. corrected: bookings whose amount changed or that were taken back. arrivals: deals still to come.
    None without an earlier outlook.
    """
    if before is None:
        return None
    moves = _moves(now, before)
    by_kind = moves.groupby("kind")["change"].agg(["sum", "size"])
    then, today = company_facts(before), company_facts(now)
    arrivals = (today["arrivals"] or 0.0) - (then["arrivals"] or 0.0)
    steps = {
        str(kind): (float(amount), int(deals))
        for kind, amount, deals in zip(by_kind.index, by_kind["sum"], by_kind["size"], strict=True)
    }
    steps["arrivals"] = (arrivals, 0)
    total = (today["expected"] or 0.0) - (then["expected"] or 0.0)
    steps["rest"] = (total - sum(amount for amount, _ in steps.values()), 0)
    order = moves["change"].abs().sort_values(ascending=False, kind="stable").index[:_MOVERS_SHOWN]
    movers = moves.loc[order].reset_index(names="deal_id")
    return {
        "as_of": date_of(before.as_of),
        "days": int((now.as_of - before.as_of).days),
        "hindsight": bool(before.as_of < now.bundle.trained_until),
        "expected": then["expected"],
        "probability": then["probability"],
        "difference": total,
        "steps": [
            {"kind": kind, "amount": steps[kind][0], "deals": steps[kind][1]}
            for kind in _STEPS
            if kind in steps and abs(steps[kind][0]) >= _VISIBLE
        ],
        "movers": [
            mover | {"owner": person(mover["owner_id"], names)}
            for mover in rows(movers)
            if abs(mover["change"]) >= _VISIBLE
        ],
    }


def _moves(now: Outlook, before: Outlook) -> pd.DataFrame:
    """One row per deal that counted then or counts now: kind, before, after, change (reporting currency)."""
    both = _counted(before).add_suffix("_then").join(_counted(now).add_suffix("_now"), how="outer")
    booked_then, booked_now = both["booked_then"].fillna(0.0), both["booked_now"].fillna(0.0)
    open_then, open_now = both["open_then"].notna(), both["open_now"].notna()
    was_booked, is_booked = both["booked_then"].notna(), both["booked_now"].notna()
    history = now.history
    index = history.index_of(both.index.to_numpy(object))
    stage = history.stage(index, np.full(len(index), as_of_us(now.as_of), dtype=np.int64))
    kind_now = history.stages.kind[stage]
    then = booked_then + both["open_then"].fillna(0.0)
    after = booked_now + both["open_now"].fillna(0.0)
    kind = np.select(
        [
            was_booked,
            is_booked,
            open_then & open_now,
            open_now,
            kind_now == WON,
            kind_now == LOST,
        ],
        ["corrected", "won", "moved", "created", "won_early", "lost"],
        default="rest",
    )
    kind = np.where(kind == "moved", np.where(after >= then, "up", "down"), kind)
    owner = both["owner_id_now"].where(both["owner_id_now"].notna(), both["owner_id_then"])
    return pd.DataFrame(
        {"owner_id": owner, "kind": kind, "before": then, "after": after, "change": after - then},
        index=both.index,
    )


def _counted(outlook: Outlook) -> pd.DataFrame:
    """What each deal counts for: booked amount, or chance in the period x amount if won; by deal id."""
    booked = outlook.inputs.booked.set_index("deal_id")
    open_ = outlook.inputs.open.set_index("deal_id")
    chance = (open_["won_in_period"] * open_["amount_if_won"]).fillna(0.0)
    frame = pd.DataFrame({"booked": booked["amount"].fillna(0.0)}).join(
        pd.DataFrame({"open": chance}), how="outer"
    )
    owner = pd.concat([booked["owner_id"], open_["owner_id"]])
    return frame.assign(owner_id=owner[~owner.index.duplicated()].reindex(frame.index))
