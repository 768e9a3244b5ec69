"""What the ladder decided, apart from what was then learnt: enough to fit the same kind of model again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Recipe"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Choices of one climb of the ladder.

    A fit that is given a recipe compares nothing: it learns coefficients, season, clock, trees and all other
    parts anew, in the way that was chosen. This is how a back-test refits at every moment with choices made
    before the period it tests.

    rung : name of the rung
    ridge : strength of shrinkage
    clock : what the deals' own clock counts; empty for none
    rounds : rounds of trees for won and for lost
    share : of these trees in their mean with the linear stage
    kinds : whether likeness to hidden kinds of deals is read, where enough closed to learn them
    """

    rung: str
    ridge: float
    clock: str
    rounds: tuple[int, int]
    share: float = 0.5
    kinds: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "rung": self.rung,
            "ridge": self.ridge,
            "clock": self.clock,
            "rounds": list(self.rounds),
            "share": self.share,
            "kinds": self.kinds,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        """Inverse of `to_json`."""
        won, lost = data["rounds"]
        return cls(
            str(data["rung"]),
            float(data["ridge"]),
            str(data["clock"]),
            (int(won), int(lost)),
            float(data["share"]),
            bool(data["kinds"]),
        )
