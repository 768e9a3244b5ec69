"""What a forecast has to beat: the rules everybody uses, behind one interface.

| name | what it is |
|---|---|
| `base_rate` | the same number for every deal: how often open deals were won within h days |
| `stage_rate` | share won of the decided deals that passed through the stage, at every horizon |
| `stage_weighted` | the CRM's own probability of the stage if the seller's date lies within h days, else 0 |
| `aalen_johansen` | how often open deals of the stage were won within h days, losses competing |
| `closed_only` | boosted trees on closed deals only, times how long won deals took: the usual way |

`stage_weighted_amounts` and `seller_commit_amounts` are the same for bookings of a period.
"""

from forecast.evaluation.baselines.bookings import (
    booked_amount,
    seller_commit_amounts,
    stage_weighted_amounts,
)
from forecast.evaluation.baselines.closed_only import ClosedOnly
from forecast.evaluation.baselines.incidence import AalenJohansenByStage, BaseRate, aalen_johansen
from forecast.evaluation.baselines.interface import Baseline
from forecast.evaluation.baselines.stages import StageRate, StageWeighted

__all__ = [
    "AalenJohansenByStage",
    "BaseRate",
    "Baseline",
    "ClosedOnly",
    "StageRate",
    "StageWeighted",
    "aalen_johansen",
    "all_baselines",
    "booked_amount",
    "seller_commit_amounts",
    "stage_weighted_amounts",
]


def all_baselines(seed: int = 0) -> tuple[Baseline, ...]:
    """One of each, not yet fitted, in the order in which tables show them."""
    return BaseRate(), StageRate(), StageWeighted(), AalenJohansenByStage(), ClosedOnly(seed=seed)
