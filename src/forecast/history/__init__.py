"""What was recorded when: one as-of primitive over columns sorted by (deal, field, time)."""

from forecast.history.build import CATEGORIES, days, micros
from forecast.history.columns import FIELDS, Vocabulary
from forecast.history.history import Closings, History
from forecast.history.landmarks import Landmarks, make_landmarks
from forecast.history.records import DatedRecords, FrozenRecords, TrackRecords
from forecast.history.stages import LOST, OPEN, WON, StageMap

__all__ = [
    "CATEGORIES",
    "FIELDS",
    "LOST",
    "OPEN",
    "WON",
    "Closings",
    "DatedRecords",
    "FrozenRecords",
    "History",
    "Landmarks",
    "StageMap",
    "TrackRecords",
    "Vocabulary",
    "days",
    "make_landmarks",
    "micros",
]
