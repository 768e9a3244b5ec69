"""The gate: whether a candidate may take the champion's place. docs/promotion.md says how to read it."""

from training.gate.checks import BETTER, FAILS, PASSES, TOLD, Check
from training.gate.judge import Outcome, judge

__all__ = ["BETTER", "FAILS", "PASSES", "TOLD", "Check", "Outcome", "judge"]
