"""Facts about single open deals: which decide the period, are at risk, want a call, or should be dropped.

Why a deal stands where it does, and what to ask about it, is told by the models in the reader's language.
Silence, age and pushes are their own features, read as of the moment, so that the page never disagrees with
what the score was made of.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.history import WON, History
from forecast.history.columns import ACTIVITY, ACTIVITY_IN, EXPECTED_CLOSE
from forecast.periods import DAY_US, as_of_us
from forecast.report.facts.plain import Fact, date_of, number, person, text
from forecast.rollup import decide, sway_of
from forecast.scoring import no_decision, open_questions, score_deals

if TYPE_CHECKING:
    from forecast.outlook import Outlook

__all__ = ["RULES", "Rules", "deal_facts", "open_deals"]


@dataclass(frozen=True, slots=True)
class Rules:
    """When a deal is put on which list. Days and probabilities are those a manager would name himself."""

    silent_days: int = 30
    quiet_days: int = 10
    pushes: int = 2
    closes_within_days: int = 7
    unanswered_days: tuple[int, int] = (2, 14)
    # Still open enough to decide anything, by chance in the period.
    unsettled: tuple[float, float] = (0.05, 0.95)
    least_effect: float = 0.01  # of the likeliest deal to decide, on the chance of reaching the quota
    # To drop: hardly any chance ever, and older than this share of the deals that were won.
    drop_probability: float = 0.05
    drop_age_quantile: float = 0.9
    drop_age_days: int = 365  # where too few wins exist to know the quantile
    # ... or small chance, and silent for `silent_days`.
    drop_silent_probability: float = 0.10
    # Of no decision, from which on a deal to drop or at risk is said to be left undecided.
    undecided_probability: float = 0.5
    wins_needed: int = 20
    shown: int = 8
    reasons: int = 5
    # A question is worth asking if its answer is expected to move the deal by half a point.
    least_move: float = 0.005


RULES: Final = Rules()


def open_deals(outlook: Outlook) -> pd.DataFrame:
    """Every open deal with its score and the dated facts a seller would recognise; one row per deal.

    Columns of the scores, and: at_stake (chance in the period x amount if won), amount_p10 and amount_p90
    (of the final amount, given a win), silence_days, age_days, days_in_stage, times_pushed, days_pushed,
    overdue_days and closes_in_days (>= 0, NaN where it does not apply), unanswered_days (since the
    customer's last message, if nothing followed it), stage_label, no_decision (chance of being neither won nor
    lost within the horizon cap).
    """
    history, at_us = outlook.history, as_of_us(outlook.as_of)
    scores = outlook.scores.reset_index(drop=True)
    deal = history.index_of(scores["deal_id"].to_numpy(object))
    moments = np.full(len(deal), at_us, dtype=np.int64)
    features = outlook.bundle.models.features(history, deal, moments)
    chance = outlook.inputs.open.set_index("deal_id")["won_in_period"]

    closes = history.last(deal, EXPECTED_CLOSE, moments)
    today = at_us // DAY_US
    code = history.stage(deal, moments)
    amount = scores["amount_if_won"].to_numpy(np.float64)
    low, high = outlook.bundle.models.amount.quantiles(history, deal, moments, (0.1, 0.9)).T
    in_period = chance.reindex(scores["deal_id"]).fillna(0.0).to_numpy(np.float64)
    return scores.assign(
        won_in_period=in_period,
        no_decision=no_decision(history, outlook.bundle, outlook.as_of, deal=deal, period=outlook.period),
        at_stake=np.nan_to_num(in_period * amount),
        amount_p10=low,
        amount_p90=high,
        silence_days=features["silence_days"],
        age_days=features["age_days"],
        days_in_stage=features["days_in_stage"],
        times_pushed=features["times_pushed"],
        days_pushed=features["days_pushed"],
        overdue_days=np.where(closes < today, today - closes, np.nan),
        closes_in_days=np.where(closes >= today, closes - today, np.nan),
        unanswered_days=_unanswered_days(history, deal, moments),
        account=history.vocabulary("account_id").take(history.columns.account[deal]),
        stage_label=np.array(history.stages.label, dtype=object)[code],
    )


def deal_facts(
    deals: pd.DataFrame,
    outlook: Outlook,
    names: dict[str, str],
    locale: str,
    rules: Rules = RULES,
    *,
    shows_undecided: bool = False,
) -> Fact:
    """The four lists. A deal is on one of the last three at most: drop before risk before follow-up.

    deals : `open_deals(outlook)`
    shows_undecided : the past shows deals that nobody decides, so a deal that will probably be one is marked
    """
    oldest = _drop_age_days(outlook, rules)
    # What is not won is lost or never decided: either way nothing is given up with it.
    drop = ((deals["win_probability"] < rules.drop_probability) & (deals["age_days"] > oldest)) | (
        (deals["win_probability"] < rules.drop_silent_probability)
        & (deals["silence_days"] >= rules.silent_days)
    )
    risk = (
        ~drop
        & (deals["at_stake"] > 0)
        & (
            (deals["silence_days"] >= rules.silent_days)
            | (deals["overdue_days"] >= 1)
            | (deals["times_pushed"] >= rules.pushes)
        )
    )
    due = (
        deals["unanswered_days"].between(*rules.unanswered_days)
        | (deals["closes_in_days"] <= rules.closes_within_days)
        | (deals["silence_days"] >= rules.quiet_days)
    )
    follow = ~drop & ~risk & (deals["at_stake"] > 0) & due
    # A call changes most where much is at stake and nothing is settled.
    leverage = deals["at_stake"] * (1.0 - deals["won_in_period"])

    def listed(chosen: pd.Series, order: pd.Series) -> pd.Index[int]:
        return order[chosen].sort_values(ascending=False, kind="stable").index[: rules.shown]

    deciding = _deciding(deals, _effects(outlook, rules), rules)
    lists = {
        "at_risk": listed(risk, deals["at_stake"]),
        "follow_up": listed(follow, leverage),
        "drop": listed(drop, deals["amount"].fillna(0.0)),
    }
    rows = sorted({place for place, _, _ in deciding}.union(*(index.tolist() for index in lists.values())))
    told = _Told.of(outlook, deals.loc[rows, "deal_id"], locale, rules)

    def facts(place: int, *, ask: bool = False, mark: bool = False) -> Fact:
        return _deal(deals.iloc[place], names, told, rules, ask=ask, mark=mark and shows_undecided)

    shown = {
        name: [facts(place, ask=name == "follow_up", mark=name != "follow_up") for place in index.tolist()]
        for name, index in lists.items()
    }
    return {
        "open": len(deals),
        "deciding": [facts(place) | {"effect": effect, "basis": basis} for place, effect, basis in deciding],
        "at_risk": _listing(deals, risk, shown["at_risk"]),
        "follow_up": _listing(deals, follow, shown["follow_up"]),
        "drop": _listing(deals, drop, shown["drop"]) | {"age_days": int(oldest)},
        "rules": {
            "silent_days": rules.silent_days,
            "quiet_days": rules.quiet_days,
            "pushes": rules.pushes,
            "closes_within_days": rules.closes_within_days,
            "drop_probability": rules.drop_probability,
            "drop_silent_probability": rules.drop_silent_probability,
        },
    }


def _effects(outlook: Outlook, rules: Rules) -> pd.DataFrame:
    """`bookings.deciding`; where no deal moves the chance of the quota, each one's share of the uncertainty.

    A quota far out of reach, or as good as booked, is decided by no single deal.
    """
    deciding = outlook.bookings.deciding
    if deciding["effect"].max() >= rules.least_effect:  # False for no deals at all
        return deciding
    return decide(outlook.bookings.company_draws, outlook.inputs.open, float("nan"))


def _deciding(deals: pd.DataFrame, deciding: pd.DataFrame, rules: Rules) -> list[tuple[int, float, str]]:
    """(place in `deals`, effect, basis) of the deals on which the period hinges, most first.

    In order of how far the chance of reaching the quota will really move, see `sway_of`.
    """
    chance = deciding["won_in_period"]
    # get_indexer: -1 for a deal that is decided by now
    place = pd.Series(pd.Index(deals["deal_id"]).get_indexer(pd.Index(deciding["deal_id"])), deciding.index)
    unsettled = (place >= 0) & chance.between(*rules.unsettled) & (deciding["effect"] > 0)
    sway = sway_of(deciding["effect"], chance)[unsettled]
    top = sway.sort_values(ascending=False, kind="stable").index[: rules.shown]
    chosen = deciding.loc[top]
    return [
        (int(row), float(effect), str(basis))
        for row, effect, basis in zip(place[top], chosen["effect"], chosen["basis"], strict=True)
    ]


def _listing(deals: pd.DataFrame, chosen: pd.Series, shown: list[Fact]) -> Fact:
    return {
        "count": int(chosen.sum()),
        "amount": float(deals.loc[chosen, "amount"].sum()),
        "at_stake": float(deals.loc[chosen, "at_stake"].sum()),
        "deals": shown,
    }


@dataclass(frozen=True)
class _Told:
    """What the models say of the deals shown, by deal id."""

    reasons: dict[str, list[Fact]]
    question: dict[str, Fact]

    @classmethod
    def of(cls, outlook: Outlook, deal_ids: pd.Series, locale: str, rules: Rules) -> _Told:
        """Only the deals shown are explained, so a report of a large book waits for no others."""
        history, bundle, as_of = outlook.history, outlook.bundle, outlook.as_of
        deal = history.index_of(deal_ids.to_numpy(object))
        scores = score_deals(
            history, bundle, deal, as_of, period=outlook.period, reasons=rules.reasons, locale=locale
        )
        asked = open_questions(history, bundle, as_of, deal=deal, period=outlook.period, locale=locale)
        worth = asked[asked["expected_move"] >= rules.least_move].drop_duplicates("deal_id")
        return cls(
            {one: json.loads(cell) for one, cell in zip(scores["deal_id"], scores["reasons"], strict=True)},
            {
                str(row["deal_id"]): {
                    "field": str(row["question"]),
                    "text": str(row["text"]),
                    **{name: number(row[name]) for name in ("if_confirmed", "if_absent", "expected_move")},
                }
                for _, row in worth.iterrows()
            },
        )


def _deal(row: pd.Series, names: dict[str, str], told: _Told, rules: Rules, *, ask: bool, mark: bool) -> Fact:
    deal_id = str(row["deal_id"])
    return {
        "deal_id": deal_id,
        "account": text(row["account"]),
        "owner": person(row["owner_id"], names),
        "stage": text(row["stage_label"]),
        "amount": number(row["amount"]),
        "amount_if_won": number(row["amount_if_won"]),
        "amount_if_won_range": [number(row["amount_p10"]), number(row["amount_p90"])],
        "won_in_period": number(row["won_in_period"]),
        "win_probability": number(row["win_probability"]),
        "no_decision": number(row["no_decision"]),
        "undecided": mark and bool(row["no_decision"] >= rules.undecided_probability),
        "at_stake": number(row["at_stake"]),
        "close_on_p50": date_of(row["close_on_p50"]),
        "age_days": int(row["age_days"]),
        "signals": _signals(row, rules),
        "reasons": told.reasons[deal_id],
        "question": told.question.get(deal_id) if ask else None,
    }


def _signals(row: pd.Series, rules: Rules) -> list[Fact]:
    """What a look at the record shows, the most telling first; words are the renderer's business."""
    found: list[Fact] = []
    if row["overdue_days"] >= 1:
        found.append({"kind": "overdue", "days": int(row["overdue_days"])})
    if row["silence_days"] >= rules.silent_days:
        found.append({"kind": "silent", "days": int(row["silence_days"])})
    if row["unanswered_days"] >= rules.unanswered_days[0] and row["silence_days"] < rules.silent_days:
        found.append({"kind": "unanswered", "days": int(row["unanswered_days"])})
    elif rules.quiet_days <= row["silence_days"] < rules.silent_days:
        found.append({"kind": "quiet", "days": int(row["silence_days"])})
    if row["times_pushed"] >= rules.pushes:
        found.append({"kind": "pushed", "times": int(row["times_pushed"]), "days": int(row["days_pushed"])})
    if row["closes_in_days"] <= rules.closes_within_days:
        found.append({"kind": "closes", "days": int(row["closes_in_days"])})
    return found


def _unanswered_days(history: History, deal: Ints, at_us: Ints) -> Floats:
    """(n,) days since the customer's last message where no activity of ours came after it, else NaN."""
    inbound, any_ = (history.last_at_us(deal, field, at_us) for field in (ACTIVITY_IN, ACTIVITY))
    waiting = (inbound >= 0) & (inbound == any_)
    return np.where(waiting, (at_us - inbound) / DAY_US, np.nan)


def _drop_age_days(outlook: Outlook, rules: Rules) -> float:
    """Age in days beyond which hardly any deal was ever won."""
    closings, history = outlook.history.closings, outlook.history
    won = (closings.kind == WON) & (closings.at_us < as_of_us(outlook.as_of))
    if won.sum() < rules.wins_needed:
        return float(rules.drop_age_days)
    ages = (closings.at_us[won] - history.columns.created_at_us[closings.deal[won]]) / DAY_US
    return float(np.quantile(ages, rules.drop_age_quantile))
