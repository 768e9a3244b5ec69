"""Which unanswered question would move a deal most: its chances if the answer were yes, and if it were no.

For every BANT field of an open deal that was never established, or only in part, the deal is scored again as if
the answer had been recorded in the last instant before the as-of moment: once as confirmed (1), once as absent
(0). Everything else stays as it is; only what an answer itself changes does change, which is the days since
BANT was updated, the days of silence, and the kind of deal its course is like. So the deal scores exactly
`if_confirmed` once that answer is in.

With q the share of comparable deals whose answer was yes, the answer is expected to move the win probability by

    2 q (1 - q) |if_confirmed - if_absent|

the mean absolute deviation of a variable with these two values. A question whose answer is known beforehand, or
makes no difference, is worth nothing by it.

This is association: of deals like this one, those with the answer were won so often. Asking changes no deal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.bundle import Bundle
from forecast.features import ANSWERS, KIND_FEATURES, FeatureMatrix, Phrasebook, bant_totals, label
from forecast.features.kinds import Likeness, likeness_of
from forecast.history import FIELDS, OPEN, History
from forecast.models import Cells
from forecast.periods import DAY_US, Period, as_of_us
from forecast.scoring.scores import marks_and_span

__all__ = ["QUESTION_COLUMNS", "AnswerRates", "answer_rates", "open_questions"]

QUESTION_COLUMNS: Final = (
    "deal_id", "as_of", "question", "label", "win_probability", "if_confirmed", "if_absent", "confirmed_share",
    "expected_move", "text",
)  # fmt: skip
_BLOCK: Final = 4_096
_JUST_NOW_DAYS: Final = 1.0 / DAY_US  # recorded in the last instant before the as-of moment
_RESET: Final = ("days_since_bant", "silence_days")
# A stage's share of yes is diluted with this many answers of all stages, and that with two half-and-half ones.
_PRIOR_STAGE: Final = 10.0
_PRIOR_ALL: Final = 2.0


@dataclass(frozen=True)
class AnswerRates:
    """How often the answer was yes.

    share : (4, S) by question in the order of `ANSWERS` and stage in which the deal was when it was given
    answers : (4, S) how many it was learnt from
    """

    share: Floats
    answers: Ints


def answer_rates(history: History, as_of: pd.Timestamp) -> AnswerRates:
    """Learn from the first answer of every deal recorded before `as_of`, while the deal was open.

    What is written when a deal closes, or after, is left out: it was filled in because of the outcome. An
    answer in between (0.5) counts as so much of a yes.
    """
    at_us, size = as_of_us(as_of), len(history.stages)
    every = np.arange(len(history))
    share, answers = np.empty((len(ANSWERS), size)), np.empty((len(ANSWERS), size), dtype=np.int64)
    for place, name in enumerate(ANSWERS):
        group = every * len(history.fields) + FIELDS.index(name)
        first = history.index.starts[group]
        given = first < history.end(every, FIELDS.index(name), np.int64(at_us))
        deal, entry = every[given], first[given]
        # The stage known with the answer: one that closed the deal in the same instant closes it here, too.
        stage = history.stage(deal, history.at_us[entry] + 1)
        value = history.value[entry]
        usable = (stage >= 0) & (history.stages.kind[stage] == OPEN) & np.isfinite(value)
        stage, value = stage[usable], value[usable]
        overall = (value.sum() + 0.5 * _PRIOR_ALL) / (len(value) + _PRIOR_ALL)
        answers[place] = np.bincount(stage, minlength=size)
        yes = np.bincount(stage, weights=value, minlength=size)
        share[place] = (yes + _PRIOR_STAGE * overall) / (answers[place] + _PRIOR_STAGE)
    return AnswerRates(share, answers)


def open_questions(
    history: History,
    bundle: Bundle,
    as_of: pd.Timestamp,
    *,
    deal: Ints | None = None,
    period: Period | None = None,
    rates: AnswerRates | None = None,
    locale: str = "en",
) -> pd.DataFrame:
    """Every open question of open deals in order of deal id, and of one deal the question worth most first.

    deal : indices of open deals; None takes all that are open as of `as_of`
    period : the one the scores are made with, if any: it only makes both agree to the last bit
    rates : `answer_rates(history, as_of)` unless given

    Returns QUESTION_COLUMNS. There are no rows where the model in use does not read BANT: a bundle with stage
    rates alone, or data in which these fields have no history.
    """
    models, at_us = bundle.models, as_of_us(as_of)
    chosen = history.open_deals(at_us) if deal is None else deal
    known = answer_rates(history, as_of) if rates is None else rates
    when = np.full(len(chosen), at_us)
    features = models.features(history, chosen, when)
    likeness = None
    if models.kinds is not None:
        likeness = likeness_of(history, chosen, when, models.kinds, models.records.bind(history))
    stage = features["stage"].astype(np.int64)
    cells = models.cells(at_us, marks_and_span(as_of, period)[0])
    now = _win_probability(bundle, features, cells)
    book = Phrasebook(locale, history.money.reporting)

    parts = []
    for place, name in enumerate(ANSWERS):
        if name not in models.outcome.groups:
            continue
        value = features[name]
        rows = np.flatnonzero(np.isnan(value) | ((value > 0.0) & (value < 1.0)))
        asked = features.take(rows)
        like = None if likeness is None else likeness.take(rows)
        yes, no = (
            _win_probability(bundle, _answered(asked, like, name, answer), cells) for answer in (1.0, 0.0)
        )
        share = known.share[place][stage[rows]]
        parts.append(
            pd.DataFrame(
                {
                    "row": rows,
                    "question": name,
                    "label": label(name, locale),
                    "win_probability": now[rows],
                    "if_confirmed": yes,
                    "if_absent": no,
                    "confirmed_share": share,
                    "expected_move": 2.0 * share * (1.0 - share) * np.abs(yes - no),
                    "text": [book.question(name, a, b) for a, b in zip(yes, no, strict=True)],
                }
            )
        )
    if not parts:
        return _nothing()
    table = pd.concat(parts, ignore_index=True)
    table = table.sort_values(["row", "expected_move"], ascending=[True, False], kind="stable")
    row = table["row"].to_numpy(np.int64)
    table = table.assign(
        deal_id=history.deal_ids[chosen[row]],
        as_of=pd.Series(at_us, index=table.index, dtype="int64").astype("datetime64[us, UTC]"),
    )
    texts = dict.fromkeys(("deal_id", "question", "label", "text"), "str")
    return table[list(QUESTION_COLUMNS)].astype(texts).reset_index(drop=True)


def _answered(features: FeatureMatrix, like: Likeness | None, name: str, answer: float) -> FeatureMatrix:
    """The same deals with one question answered just now."""
    question = ANSWERS.index(name)
    answers = np.stack([features[each] for each in ANSWERS])
    answers[question] = answer
    given, balance = bant_totals(answers)
    changed: dict[str, float | Floats] = {name: answer, "bant_answered": given, "bant_balance": balance}
    changed |= dict.fromkeys(_RESET, _JUST_NOW_DAYS)
    if like is not None:
        changed |= zip(KIND_FEATURES, like.answered(question, answer).features(), strict=True)
    return features.replaced(changed)


def _win_probability(bundle: Bundle, features: FeatureMatrix, cells: Cells) -> Floats:
    """(n,) the win probability as `score_arrays` has it, to the last bit."""
    found = np.empty(len(features))
    for start in range(0, len(features), _BLOCK):
        rows = slice(start, start + _BLOCK)
        found[rows] = cells.curves(bundle.models.log_hazard(features.take(rows))).won[:, -1]
    return found


def _nothing() -> pd.DataFrame:
    texts = dict.fromkeys(("deal_id", "question", "label", "text"), "str")
    dtypes = dict.fromkeys(QUESTION_COLUMNS, "float64") | texts | {"as_of": "datetime64[us, UTC]"}
    return pd.DataFrame(columns=list(QUESTION_COLUMNS)).astype(dtypes)
