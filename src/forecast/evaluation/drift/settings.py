"""What a monitor may be told; `training/settings.toml` documents each for people."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MonitorSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """Thresholds.

    retrain_evidence : combined evidence from which retraining is advised
    look_evidence : evidence of a single question from which it is shown
    level_shift : size of the changes of counts looked for, log scale
    amount_shift : of amounts, as a share
    amount_tolerance : share by which amounts may be off without anything being wrong
    input_share : share of looks at unchanged inputs that may be called a drift
    psi : excess of the index over chance from which an input is shown
    missing_points : rise of the share of unknown values from which it is shown
    new_share : share of open deals in a value the bundle never saw, from which it is shown
    reference_weeks : weeks before training that inputs are compared with
    calibration_days : horizon of the calibration
    least_expected : closings expected since training, below which outcomes say nothing
    old_days : age of a bundle from which it is mentioned
    """

    retrain_evidence: float = 5.0
    look_evidence: float = 10.0
    level_shift: float = 0.35
    amount_shift: float = 0.25
    amount_tolerance: float = 0.05
    input_share: float = 0.01
    psi: float = 0.1
    missing_points: float = 0.1
    new_share: float = 0.02
    reference_weeks: int = 52
    calibration_days: float = 30.0
    least_expected: float = 10.0
    old_days: int = 365
