"""Has the business left the bundle behind? Inputs, outcomes and bookings since training, and what to do.

looks ──► inputs    do open deals look as they did?        stability
      └─► outcomes  does what is said come true?           evidence
outlook ─► bookings
               └──► verdict: keep, look, fix the data, or train again
"""

from forecast.evaluation.drift.inputs import SCORE, Inputs
from forecast.evaluation.drift.monitor import Monitoring, monitor_bundle
from forecast.evaluation.drift.outcomes import QUESTIONS, Outcomes
from forecast.evaluation.drift.settings import MonitorSettings
from forecast.evaluation.drift.verdict import Action, Reason, Verdict

__all__ = [
    "QUESTIONS",
    "SCORE",
    "Action",
    "Inputs",
    "MonitorSettings",
    "Monitoring",
    "Outcomes",
    "Reason",
    "Verdict",
    "monitor_bundle",
]
