"""What was recorded when: one as-of primitive over columns sorted by (deal, field, time)."""

from forecast.history.build import CATEGORIES, days, micros
from forecast.history.columns import FIELDS, Vocabulary
from forecast.history.history import Closings, History
from forecast.history.landmarks import Landmarks, make_landmarks
from forecast.history.leads import CONVERTED, DISQUALIFIED, LEAD_STAGES, Leads, leads_from_request
from forecast.history.records import DatedRecords, FrozenRecords, TrackRecords
from forecast.history.sheet import DealSheet, Told
from forecast.history.stages import LOST, OPEN, WON, StageMap

__all__ = [
    "CATEGORIES",
    "CONVERTED",
    "DISQUALIFIED",
    "FIELDS",
    "LEAD_STAGES",
    "LOST",
    "OPEN",
    "WON",
    "Closings",
    "DatedRecords",
    "DealSheet",
    "FrozenRecords",
    "History",
    "Landmarks",
    "Leads",
    "StageMap",
    "Told",
    "TrackRecords",
    "Vocabulary",
    "days",
    "leads_from_request",
    "make_landmarks",
    "micros",
]
