"""What an audit says about a field, and the thresholds it says it by."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

__all__ = ["RANK", "Figures", "Finding", "LeakRules", "Verdict"]

Verdict = Literal["leaks", "trusted", "suspicious", "too_few", "excluded", "no_history", "ok"]

# Worst first: the order of every table.
RANK: Final[dict[str, int]] = {
    "trusted": 0,
    "leaks": 1,
    "suspicious": 2,
    "too_few": 3,
    "no_history": 4,
    "excluded": 5,
    "ok": 6,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakRules:
    """From when on a field is held to leak; docs/audit.md says what each was measured to do.

    closing_hours : writes so shortly before a closing count as written by it
    min_closed : with fewer closed records than this nothing is said
    written_by_closing : share of closed deals, beyond chance, in which a field got its first value by closing
    changed_at_closing : share of closings, beyond chance, that change a field: named, not left out
    echo : association with the outcome (Cramer's V) beyond which a field repeats it
    echo_auc : the same for numbers, as AUC
    odds : how many times the odds of a value must differ between closed and open deals created at the same time
    """

    closing_hours: float = 24.0
    min_closed: int = 20
    written_by_closing: float = 0.5
    changed_at_closing: float = 0.1
    echo: float = 0.8
    echo_auc: float = 0.95
    odds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of a field; NaN where a question does not arise.

    writes : dated entries
    closing_share_won, closing_share_lost : of the writes in deals with that outcome, the share that lies within
        `closing_hours` before the closing or after it; `chance_share` is what open days would let expect
    filled_open, filled_won, filled_lost : share of the deals in which the field has a value; for dated fields
        as it stood before the closing window
    strength_landmark, strength_close : association with won or lost, 0 to 1 (Cramer's V of values, missing
        being one, or 2 |AUC - 1/2| of numbers), half-way through a deal's life, and as it stands in the end
    batch_share : of the writes by closing, the share that came with ten others at the same instant
    """

    writes: int = 0
    closing_share_won: float = math.nan
    closing_share_lost: float = math.nan
    chance_share: float = math.nan
    filled_open: float = math.nan
    filled_won: float = math.nan
    filled_lost: float = math.nan
    strength_landmark: float = math.nan
    strength_close: float = math.nan
    batch_share: float = math.nan


@dataclass(frozen=True, slots=True)
class Finding:
    """The audit's word on one field.

    field : its name; `custom` tells an attribute of the company from a field of the contract
    verdict : `leaks` and `excluded` (by the settings) and `no_history` are left out; `trusted` leaks but is
        used by order of the settings; `suspicious`, `too_few` (to tell) and `ok` are used
    code : a stable word for the kind of leak or reason
    reason : the same as a plain sentence
    """

    field: str
    verdict: Verdict
    code: str
    reason: str
    custom: bool = False
    figures: Figures = dataclasses.field(default_factory=Figures)

    @property
    def used(self) -> bool:
        """Whether models may use the field."""
        return self.verdict not in ("leaks", "excluded", "no_history")

    def to_json(self) -> dict[str, Any]:
        """Plain values; what was not measured is null."""
        figures = {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self.figures).items()
        }
        return {
            "field": self.field,
            "custom": self.custom,
            "verdict": self.verdict,
            "used": self.used,
            "code": self.code,
            "reason": self.reason,
            "figures": figures,
        }
