"""What a period will book: booked, open and future deals by user, team, region and company.

PeriodInputs ──► hierarchy (who belongs where) ─────┐
             ──► scenarios (draws, shared shock) ───┼──► sums on every level ──► Bookings
quotas ──► one amount per entity, converted ────────┘
"""

from forecast.rollup.bookings import Bookings, roll_up
from forecast.rollup.deciding import decide, sway_of
from forecast.rollup.hierarchy import LEVELS, Hierarchy
from forecast.rollup.inputs import PeriodInputs, Uncertainty

__all__ = ["LEVELS", "Bookings", "Hierarchy", "PeriodInputs", "Uncertainty", "decide", "roll_up", "sway_of"]
