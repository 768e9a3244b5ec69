"""The numbers of the invented sales process: what it does depends on a deal's hidden quality.

Quality is never written anywhere; it is drawn at a deal's creation from what is recorded then and acts
through every rate below. Everything the CRM records of a deal is independent of everything else given quality
and the path through the stages. That is what makes the truth exactly computable (see `truth.py`).

Arrays are indexed [quality, stage] or [quality, from, to]; rates are per day of the clock named beside them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

QUALITIES: Final = ("zombie", "low", "mid", "high")
STAGES: Final = (
    "prospecting",
    "qualification",
    "demo",
    "proposal",
    "negotiation",
    "won",
    "lost",
    "onboarding",
)
OPEN_STAGES: Final = 5
QUALIFICATION, WON, LOST, ONBOARDING = 1, 5, 6, 7
# Contract columns of the stages table: position, kind, the CRM's default probability, label.
STAGE_ROWS: Final = (
    ("prospecting", 1, "open", 0.05, "Prospecting"),
    ("qualification", 2, "open", 0.15, "Qualification"),
    ("demo", 3, "open", 0.30, "Demo or meeting"),
    ("proposal", 4, "open", 0.50, "Proposal"),
    ("negotiation", 5, "open", 0.75, "Negotiation and commitment"),
    ("won", 6, "won", 1.0, "Won"),
    ("onboarding", 7, "won", 1.0, "Post-purchase"),
    ("lost", 8, "lost", 0.0, "Lost"),
)

MOTIONS: Final = ("new", "renewal", "expansion")
SOURCES: Final = ("inbound", "outbound", "referral", "event", "partner", "existing")
NEW_SOURCE_SHARE: Final = (0.36, 0.28, 0.12, 0.14, 0.10)

# P(quality | source) of new business, P(quality | motion) of business after a win.
QUALITY_BY_SOURCE: Final = np.array(
    [
        [0.035, 0.455, 0.38, 0.13],  # inbound
        [0.050, 0.590, 0.29, 0.07],  # outbound
        [0.020, 0.320, 0.43, 0.23],  # referral
        [0.045, 0.535, 0.32, 0.10],  # event
        [0.035, 0.415, 0.39, 0.16],  # partner
        [0.020, 0.230, 0.43, 0.32],  # existing
    ]
)

# -- moves between open stages, clock `progress`; a deal may skip qualification, and may fall back
_FORWARD: Final = np.zeros((OPEN_STAGES, OPEN_STAGES))
_FORWARD[0, 1], _FORWARD[0, 2], _FORWARD[1, 2], _FORWARD[2, 3], _FORWARD[3, 4] = (
    0.034,
    0.011,
    0.040,
    0.036,
    0.034,
)
_BACK: Final = np.zeros((OPEN_STAGES, OPEN_STAGES))
_BACK[2, 1], _BACK[3, 2], _BACK[4, 3] = 0.0035, 0.0040, 0.0050
PROGRESS_RATE: Final = (
    np.array([0.45, 0.70, 1.0, 1.35])[:, None, None] * _FORWARD
    + np.array([0.60, 1.60, 1.0, 0.60])[:, None, None] * _BACK
)

# -- closing; a zombie never closes
WIN_RATE: Final = np.array([0.0, 0.28, 1.0, 1.9])[:, None] * np.array([0.0, 0.0, 0.0, 0.0032, 0.024])
LOSE_RATE: Final = np.array([0.0, 1.65, 1.0, 0.50])[:, None] * np.array(
    [0.0088, 0.0084, 0.0078, 0.0078, 0.0086]
)
CLEAN_RATE: Final = np.array([0.0, 1.8, 1.0, 0.40])[:, None] * np.array([0.060, 0.065, 0.065, 0.055, 0.045])

# A deal's own clock. Ages at which rates may change; the renewal of a contract is signed when it runs out,
# about 90 days after the renewal deal was opened.
AGE_BREAKS_DAYS: Final = (45, 75, 120)
WIN_BY_AGE: Final = np.array(
    [[1.0, 1.0, 1.0, 1.0], [0.35, 0.80, 2.4, 1.2], [1.0, 1.0, 1.0, 1.0]]
)  # [motion, band]

# -- after a loss, clock `progress`: some lost deals stay warm for a while and come back to qualification
WARM_SHARE: Final = 0.20
REOPEN_RATE: Final = 0.0075
COOL_RATE: Final = 0.0060

# -- what sellers write and do, clock `touch`
BANT: Final = ("budget", "authority", "need", "timeline")
BANT_VALUES: Final = ("0", "0.5", "1")
ANSWER_RATE: Final = np.array([0.005, 0.018, 0.014, 0.010, 0.008])  # by stage, each question
RE_ANSWER_SHARE: Final = 0.15  # once answered, a question is asked again this much less often
# P(value | question, quality): [field, quality, value]
ANSWERS: Final = np.array(
    [
        [[0.42, 0.36, 0.22], [0.43, 0.33, 0.24], [0.26, 0.32, 0.42], [0.14, 0.25, 0.61]],
        [[0.43, 0.34, 0.23], [0.40, 0.34, 0.26], [0.27, 0.33, 0.40], [0.18, 0.28, 0.54]],
        [[0.26, 0.39, 0.35], [0.27, 0.37, 0.36], [0.17, 0.32, 0.51], [0.09, 0.25, 0.66]],
        [[0.50, 0.33, 0.17], [0.39, 0.35, 0.26], [0.30, 0.35, 0.35], [0.21, 0.32, 0.47]],
    ]
)
ACTIVITY_KINDS: Final = ("call", "email", "meeting", "note", "task")
ACTIVITY_KIND_SHARE: Final = (0.27, 0.40, 0.14, 0.11, 0.08)
# Activities by [quality, age band, stage]; a zombie falls silent.
_ACTIVITY_BY_QUALITY: Final = np.array(
    [[0.90, 0.50, 0.25, 0.08], [0.85, 0.80, 0.70, 0.60], [1.0, 1.0, 0.95, 0.85], [1.15, 1.15, 1.1, 1.05]]
)
ACTIVITY_RATE: Final = _ACTIVITY_BY_QUALITY[:, :, None] * np.array([0.045, 0.070, 0.085, 0.085, 0.110])
# P(inbound | quality) of calls and e-mails: good buyers answer.
INBOUND_SHARE: Final = np.array([0.20, 0.28, 0.35, 0.41])
AMOUNT_RATE: Final = np.array([0.0010, 0.0020, 0.0040, 0.0060, 0.0060])  # by stage
AMOUNT_LOG_SD: Final = 0.20  # revisions have mean one
SIGNED_SHARE: Final = 0.55  # this share of wins is signed at another amount than the last one written ...
SIGNED_RANGE: Final = (0.78, 1.04)  # ... by a factor uniform in this range

# The seller's close date: log-normal days ahead by [quality, stage]; often moved to the month's last day.
ESTIMATE_LOG_DAYS: Final = (
    np.log([95.0, 82.0, 64.0, 42.0, 24.0])[None, :] + np.array([0.14, 0.10, 0.0, -0.10])[:, None]
)
ESTIMATE_LOG_SD: Final = 0.45
MONTH_END_SHARE: Final = 0.45
RE_ESTIMATE_SHARE: Final = 0.4  # of moves between open stages that come with a new date
PUSH_RATE: Final = np.array([0.040, 0.11, 0.13, 0.15])  # of an overdue date, by quality

CATEGORIES: Final = ("omitted", "pipeline", "best_case", "commit")
# P(category | quality, stage), said anew whenever a deal enters an open stage: [quality, stage, category]
_EARLY: Final = [0.03, 0.97, 0.0, 0.0]
CATEGORY_SHARE: Final = np.array(
    [
        [_EARLY, _EARLY, [0.08, 0.82, 0.10, 0.0], [0.10, 0.55, 0.30, 0.05], [0.08, 0.30, 0.42, 0.20]],
        [_EARLY, _EARLY, [0.10, 0.80, 0.10, 0.0], [0.10, 0.52, 0.32, 0.06], [0.07, 0.26, 0.43, 0.24]],
        [_EARLY, _EARLY, [0.05, 0.77, 0.18, 0.0], [0.05, 0.42, 0.40, 0.13], [0.03, 0.17, 0.40, 0.40]],
        [_EARLY, _EARLY, [0.03, 0.71, 0.26, 0.0], [0.03, 0.33, 0.43, 0.21], [0.01, 0.11, 0.34, 0.54]],
    ]
)

# -- what is recorded at creation and matters, beside quality: effects on the log rates
INDUSTRIES: Final = ("manufacturing", "software", "retail", "health", "logistics", "finance", "public")
INDUSTRY_SHARE: Final = (0.26, 0.18, 0.16, 0.11, 0.12, 0.10, 0.07)
INDUSTRY_WIN: Final = np.array([0.10, 0.15, -0.10, 0.0, 0.05, -0.10, -0.25])
INDUSTRY_PROGRESS: Final = np.array([0.0, 0.15, 0.05, -0.05, 0.0, -0.10, -0.30])
SOURCE_WIN: Final = np.array([0.05, -0.15, 0.20, -0.10, 0.05, 0.10])
SOURCE_LOSE: Final = np.array([0.0, 0.15, -0.10, 0.10, -0.05, -0.10])
MOTION_WIN: Final = np.array([0.0, 0.30, 0.15])
MOTION_LOSE: Final = np.array([0.0, -0.35, -0.15])
MOTION_PROGRESS: Final = np.array([0.0, 0.25, 0.30])
SKILL_SD: Final = 0.30
SKILL_WIN, SKILL_LOSE, SKILL_PROGRESS = 1.0, -0.35, 0.30
AMOUNT_WIN, AMOUNT_PROGRESS = -0.16, -0.10  # per unit of log(amount / TYPICAL_AMOUNT)
TYPICAL_AMOUNT: Final = 15_000.0

# Where deals of each motion begin: share starting in [prospecting .. negotiation]
FIRST_STAGE: Final = np.array(
    [[0.84, 0.16, 0.0, 0.0, 0.0], [0.0, 0.60, 0.0, 0.40, 0.0], [0.30, 0.50, 0.20, 0.0, 0.0]]
)

WIN_SHOCK_SD: Final = 0.14
LOSE_SHOCK_SD: Final = 0.08
