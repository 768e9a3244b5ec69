"""Models of deal outcomes, amounts and arrivals. They know stages and features, and no CRM."""

from forecast.models.amount import AmountModel
from forecast.models.arrivals import ArrivalModel
from forecast.models.bins import Bins
from forecast.models.boosted import BoostedHazard, fit_boosted
from forecast.models.cells import StageCells, fit_cells
from forecast.models.clock import DealClock, fit_clock
from forecast.models.fit import fit_models
from forecast.models.fitted import RUNGS, FittedModels, Grades, Rung
from forecast.models.fresh import FreshDeals, fit_fresh
from forecast.models.hazard import CAUSES, OutcomeModel, Survival, outcome_log_score
from forecast.models.incidence import HORIZON_CAP_DAYS, Cells, Curves
from forecast.models.ladder import Outcome, OwnRung, fit_outcome
from forecast.models.leads import LeadModels, fit_leads
from forecast.models.level import Level
from forecast.models.linear import LinearHazard, fit_linear
from forecast.models.recipe import Recipe
from forecast.models.rows import Rows
from forecast.models.season import Season, fit_season
from forecast.models.settings import FitSettings
from forecast.models.shock import Shock

__all__ = [
    "CAUSES",
    "HORIZON_CAP_DAYS",
    "RUNGS",
    "AmountModel",
    "ArrivalModel",
    "Bins",
    "BoostedHazard",
    "Cells",
    "Curves",
    "DealClock",
    "FitSettings",
    "FittedModels",
    "FreshDeals",
    "Grades",
    "LeadModels",
    "Level",
    "LinearHazard",
    "Outcome",
    "OutcomeModel",
    "OwnRung",
    "Recipe",
    "Rows",
    "Rung",
    "Season",
    "Shock",
    "StageCells",
    "Survival",
    "fit_boosted",
    "fit_cells",
    "fit_clock",
    "fit_fresh",
    "fit_leads",
    "fit_linear",
    "fit_models",
    "fit_outcome",
    "fit_season",
    "outcome_log_score",
]
