"""What a forecast has to beat: the rules everybody uses, behind two interfaces.

Of a deal's chances (`Baseline`, all in `all_baselines`):

| name | what it is |
|---|---|
| `base_rate` | the same number for every deal: how often open deals were won within h days |
| `stage_rate` | share won of the decided deals that passed through the stage, at every horizon |
| `stage_weighted` | the CRM's own probability of the stage if the seller's date lies within h days, else 0 |
| `aalen_johansen` | how often open deals of the stage were won within h days, losses competing |
| `stage_week` | the same by stage and week of the quarter |
| `naive_bayes` | win and loss counts of every field's values, multiplied: Odoo's predictive lead scoring |
| `closed_only` | boosted trees on closed deals only, times how long won deals took: the usual way |

Of a period's bookings (`BookingsBaseline`, all in `all_bookings_baselines`): booked, open and the rest.

| name | what it is |
|---|---|
| `stage_weighted` | booked + open deals due by the seller's date x the CRM's probability of their stage |
| `conversion` | booked + open deals due x past conversion of the stage at this time + what else came then |
| `seller_commit`, `seller_best_case` | booked + the whole amount of what sellers put in these categories |
| `linearity` | booked to date / share of a period that is usually booked by now |
| `last_year` | the same period one year before x growth |

`stage_weighted_amounts` and `seller_commit_amounts` give two of them deal by deal.
"""

from forecast.arrays import Floats
from forecast.evaluation.baselines.bookings import (
    SellerBestCase,
    SellerBookings,
    StageWeightedBookings,
    booked_amount,
    seller_commit_amounts,
    stage_weighted_amounts,
)
from forecast.evaluation.baselines.closed_only import ClosedOnly
from forecast.evaluation.baselines.conversion import ConversionBookings, StageWeek
from forecast.evaluation.baselines.incidence import AalenJohansenByStage, BaseRate, aalen_johansen
from forecast.evaluation.baselines.interface import Baseline, BookingsBaseline, PeriodForecast
from forecast.evaluation.baselines.naive_bayes import NaiveBayes
from forecast.evaluation.baselines.pacing import Linearity, SameQuarterLastYear
from forecast.evaluation.baselines.stages import StageRate, StageWeighted

__all__ = [
    "AalenJohansenByStage",
    "BaseRate",
    "Baseline",
    "BookingsBaseline",
    "ClosedOnly",
    "ConversionBookings",
    "Linearity",
    "NaiveBayes",
    "PeriodForecast",
    "SameQuarterLastYear",
    "SellerBestCase",
    "SellerBookings",
    "StageRate",
    "StageWeek",
    "StageWeighted",
    "StageWeightedBookings",
    "aalen_johansen",
    "all_baselines",
    "all_bookings_baselines",
    "booked_amount",
    "seller_commit_amounts",
    "stage_weighted_amounts",
]


def all_baselines(seed: int = 0) -> tuple[Baseline, ...]:
    """One of each, not yet fitted, in the order in which tables show them."""
    return (
        BaseRate(),
        StageRate(),
        StageWeighted(),
        AalenJohansenByStage(),
        StageWeek(),
        NaiveBayes(),
        ClosedOnly(seed=seed),
    )


def all_bookings_baselines(otherwise: Floats | None = None) -> tuple[BookingsBaseline, ...]:
    """One of each, in the order in which tables show them.

    otherwise: (S,) probabilities for stages without one of the CRM's, e.g. of a fitted `StageRate`
    """
    return (
        StageWeightedBookings(otherwise),
        ConversionBookings(),
        SellerBookings(),
        SellerBestCase(),
        Linearity(),
        SameQuarterLastYear(),
    )
