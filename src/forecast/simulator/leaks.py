"""Fields that leak, and clean ones that look as if they did, planted into a finished company on request.

Each is a habit of real CRMs. What is planted changes tables only: nothing that was drawn before is drawn anew,
so without leaks the same seed gives the same bytes, and with them the same deals. The exact truth of the
company knows nothing of the planted fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Bools, Floats, Ints, Texts
from forecast.errors import UsageError
from forecast.periods import DAY_US
from forecast.simulator import process

__all__ = ["LEAKS", "LOOKALIKES", "plant"]

_HOUR_US: Final = DAY_US // 24
_NEVER: Final = np.iinfo(np.int64).max // 4


@dataclass(frozen=True)
class _Company:
    """A finished company as the planters read it; they return it changed.

    created_us, closed_us : (D,) when each deal was created and, if it is closed in the end, when that was
    won, closed : (D,) what it is in the end
    quality : (D,) hidden
    """

    frames: dict[str, pd.DataFrame]
    created_us: Ints
    closed_us: Ints
    won: Bools
    closed: Bools
    quality: Ints
    end_us: int

    def column(self, name: str, values: Texts | Floats) -> _Company:
        """The same with one column of `deals` set."""
        deals = self.frames["deals"].assign(**{name: values})
        return replace(self, frames={**self.frames, "deals": deals})

    def events(self, field: str, deal: Ints, at_us: Ints, values: Texts) -> _Company:
        """The same with more rows in `deal_events`; later than the end of the data is never recorded."""
        early = at_us < self.end_us
        ids = self.frames["deals"]["deal_id"].to_numpy(object)
        owners = self.frames["deals"]["owner_id"].to_numpy(object)
        more = pd.DataFrame(
            {
                "deal_id": ids[deal[early]],
                "recorded_at": pd.to_datetime(at_us[early], unit="us", utc=True).as_unit("us"),
                "field": field,
                "value": values[early],
                "actor": owners[deal[early]],
            }
        )
        events = pd.concat([self.frames["deal_events"], more], ignore_index=True)
        events = events.sort_values("recorded_at", kind="stable", ignore_index=True)
        return replace(self, frames={**self.frames, "deal_events": events})


Planter = Callable[[_Company, np.random.Generator], _Company]


def _words(rng: np.random.Generator, count: int, *words: str) -> Texts:
    texts: Texts = np.array(words, object)[rng.integers(0, len(words), count)]
    return texts


def _where(rows: Bools, texts: Texts | Sequence[str] | str) -> Texts:
    """The texts on some rows, None on the others."""
    full = np.full(len(rows), None, object)
    full[rows] = texts if isinstance(texts, str) else np.asarray(texts, object)[rows]
    return full


# -- leaks ----------------------------------------------------------------------------------------------------


def _competitor(company: _Company, rng: np.random.Generator) -> _Company:
    """Asked for on closing, in five of six deals; while a deal is open nobody types it in."""
    known = company.closed & (rng.random(len(company.won)) < 0.85)
    return company.column("competitor", _where(known, _words(rng, len(known), "acme", "globex", "none")))


def _loss_reason(company: _Company, rng: np.random.Generator) -> _Company:
    """Asked for on losing, in seven of ten deals."""
    known = company.closed & ~company.won & (rng.random(len(company.won)) < 0.7)
    return company.column("loss_reason", _where(known, _words(rng, len(known), "price", "silence", "rival")))


def _is_closed(company: _Company, _: np.random.Generator) -> _Company:
    return company.column("is_closed", np.where(company.closed, "true", "false").astype(object))


def _cycle_days(company: _Company, _: np.random.Generator) -> _Company:
    """Days from creation to closing; for an open deal, to the day of the export."""
    until_us = np.where(company.closed, company.closed_us, company.end_us)
    days = (until_us - company.created_us) // DAY_US
    return company.column("cycle_days", days.astype(str).astype(object))


def _actual_close(company: _Company, rng: np.random.Generator) -> _Company:
    """The day of the closing; for an open deal, the seller's guess."""
    guess = company.end_us + rng.integers(1, 120, len(company.won)) * DAY_US
    day = np.where(company.closed, company.closed_us, guess) // DAY_US
    return company.column("actual_close", day.astype("datetime64[D]").astype(str).astype(object))


def _probability(company: _Company) -> Floats:
    """(D,) the probability a CRM shows: that of the stage, 0 or 100 once closed."""
    by_stage = {stage: share for stage, _, _, share, _ in process.STAGE_ROWS}
    events = company.frames["deal_events"]
    last = events[events["field"] == "stage"].drop_duplicates("deal_id", keep="last")
    shares = last.set_index("deal_id")["value"].map(by_stage)
    return np.asarray(shares.reindex(company.frames["deals"]["deal_id"]), dtype=np.float64)


def _crm_probability(company: _Company, _: np.random.Generator) -> _Company:
    shown = np.round(100 * _probability(company)).astype(np.int64).astype(str).astype(object)
    return company.column("crm_probability", shown)


def _weighted_amount(company: _Company, _: np.random.Generator) -> _Company:
    amount = company.frames["deals"]["amount"].to_numpy(np.float64)
    weighted = np.round(np.nan_to_num(amount) * _probability(company)).astype(np.int64)
    return company.column("weighted_amount", weighted.astype(str).astype(object))


def _contract_no(company: _Company, rng: np.random.Generator) -> _Company:
    """Recorded with its date, but only ever when a deal is won."""
    deal = np.flatnonzero(company.won)
    numbers = np.array([f"C-{number:05d}" for number in rng.permutation(len(deal))], object)
    return company.events("contract_no", deal, company.closed_us[deal], numbers)


def _decision_maker(company: _Company, rng: np.random.Generator) -> _Company:
    """Recorded with its date within a day after closing, in nine of ten deals; now and then before."""
    deal = np.flatnonzero(company.closed & (rng.random(len(company.won)) < 0.9))
    at_us = company.closed_us[deal] + rng.integers(0, 24, len(deal)) * _HOUR_US
    early = rng.random(len(deal)) < 0.1
    half_us = company.created_us[deal] + (company.closed_us[deal] - company.created_us[deal]) // 2
    at_us = np.where(early, half_us, at_us)
    return company.events("decision_maker", deal, at_us, _words(rng, len(deal), "cfo", "ceo", "it"))


def _bant_on_win(company: _Company, _: np.random.Generator) -> _Company:
    """All boxes are ticked, with their date, when a deal is won."""
    deal = np.flatnonzero(company.won)
    for field in process.BANT:
        company = company.events(field, deal, company.closed_us[deal], np.full(len(deal), "1", object))
        values = company.frames["deals"][field].to_numpy(np.float64, copy=True)
        values[deal] = 1.0
        company = company.column(field, values)
    return company


def _amount_on_win(company: _Company, rng: np.random.Generator) -> _Company:
    """Nine of ten wins are signed a tenth to a third below what the CRM said, and corrected on that day."""
    deal = np.flatnonzero(company.won & (rng.random(len(company.won)) < 0.9))
    amount = company.frames["deals"]["amount"].to_numpy(np.float64, copy=True)
    signed = np.round(amount[deal] * rng.uniform(0.66, 0.88, len(deal)))
    at_us = company.closed_us[deal] + rng.integers(1, 6, len(deal)) * _HOUR_US
    amount[deal] = signed
    texts = signed.astype(np.int64).astype(str).astype(object)
    return company.events("amount", deal, at_us, texts).column("amount", amount)


def _mails_on_win(company: _Company, rng: np.random.Generator) -> _Company:
    """Contracts go to and fro by mail in the day before a deal is won, and in the day after."""
    deal = np.repeat(np.flatnonzero(company.won), 6)
    at_us = company.closed_us[deal] + np.round(rng.uniform(-24, 24, len(deal)) * _HOUR_US).astype(np.int64)
    kept = (at_us > company.created_us[deal]) & (at_us < company.end_us)
    ids = company.frames["deals"]["deal_id"].to_numpy(object)
    more = pd.DataFrame(
        {
            "deal_id": ids[deal[kept]],
            "lead_id": None,
            "occurred_at": pd.to_datetime(at_us[kept], unit="us", utc=True).as_unit("us"),
            "kind": "email",
            "direction": _words(rng, int(kept.sum()), "in", "out"),
        }
    )
    activities = pd.concat([company.frames["activities"], more], ignore_index=True)
    activities = activities.sort_values("occurred_at", kind="stable", ignore_index=True)
    return replace(company, frames={**company.frames, "activities": activities})


def _account_on_closing(company: _Company, rng: np.random.Generator) -> _Company:
    """Seven of ten open deals have no account: it is filled in when they close."""
    account = company.frames["deals"]["account_id"].to_numpy(object)
    blank = ~company.closed & (rng.random(len(account)) < 0.7)
    return company.column("account_id", _where(~blank, account))


# -- clean ones that look like leaks --------------------------------------------------------------------------


def _territory(company: _Company, rng: np.random.Generator) -> _Company:
    """Filled in by an assistant some weeks after creation, whether the deal is still open or not; no dates."""
    at_us = company.created_us + np.round(rng.exponential(45, len(company.won)) * DAY_US).astype(np.int64)
    known = at_us < company.end_us
    return company.column("territory", _where(known, _words(rng, len(known), "north", "south", "islands")))


def _last_review(company: _Company, rng: np.random.Generator) -> _Company:
    """The same with its date."""
    deal = np.arange(len(company.won))
    at_us = company.created_us + np.round(rng.exponential(60, len(deal)) * DAY_US).astype(np.int64)
    return company.events("last_review", deal, at_us, _words(rng, len(deal), "a", "b", "c"))


def _next_step(company: _Company, rng: np.random.Generator) -> _Company:
    """Written anew every few days, with its date, as long as the deal is open."""
    until_us = np.where(company.closed, company.closed_us, company.end_us)
    count = rng.poisson((until_us - company.created_us) / DAY_US / 5)
    deal = np.repeat(np.arange(len(count)), count)
    at_us = company.created_us[deal] + (rng.random(len(deal)) * (until_us - company.created_us)[deal]).astype(
        np.int64
    )
    return company.events("next_step", deal, at_us, _words(rng, len(deal), "call", "offer", "visit", "wait"))


def _noisy_quality(company: _Company, rng: np.random.Generator) -> Texts:
    """What an expert guesses of a deal's hidden quality: right in seven of ten."""
    guess = rng.integers(0, len(process.QUALITIES), len(company.quality))
    right = rng.random(len(guess)) < 0.7
    texts: Texts = np.array(["d", "c", "b", "a"], object)[np.where(right, company.quality, guess)]
    return texts


def _fit(company: _Company, rng: np.random.Generator) -> _Company:
    """Strong, and honest: an expert's first impression, typed in at creation; no dates."""
    return company.column("fit", _noisy_quality(company, rng))


def _fit_dated(company: _Company, rng: np.random.Generator) -> _Company:
    """The same with its date, an hour after creation."""
    deal = np.arange(len(company.won))
    return company.events("fit_dated", deal, company.created_us + _HOUR_US, _noisy_quality(company, rng))


def _referrer(company: _Company, rng: np.random.Generator) -> _Company:
    """Known from creation for the sources that have one, whose deals close otherwise; no dates."""
    source = company.frames["deals"]["source"].to_numpy(object)
    known = np.isin(source, ["referral", "partner", "existing"])
    return company.column("referrer", _where(known, _words(rng, len(known), "anna", "bert", "carl")))


def _record_no(company: _Company, _: np.random.Generator) -> _Company:
    """A running number in order of creation: it tells old deals from new, and so closed from open."""
    number = np.empty(len(company.won), np.int64)
    number[np.argsort(company.created_us, kind="stable")] = np.arange(1, len(number) + 1)
    return company.column("record_no", number.astype(str).astype(object))


def _campaign(company: _Company, rng: np.random.Generator) -> _Company:
    """A field introduced nine months ago: filled in most deals that are open, in few that are closed."""
    known = company.created_us > company.end_us - 270 * DAY_US
    return company.column("campaign", _where(known, _words(rng, len(known), "spring", "fair", "mailing")))


LEAKS: Final[dict[str, Planter]] = {
    "competitor": _competitor,
    "loss_reason": _loss_reason,
    "is_closed": _is_closed,
    "cycle_days": _cycle_days,
    "actual_close": _actual_close,
    "crm_probability": _crm_probability,
    "weighted_amount": _weighted_amount,
    "contract_no": _contract_no,
    "decision_maker": _decision_maker,
    "bant_on_win": _bant_on_win,
    "amount_on_win": _amount_on_win,
    "mails_on_win": _mails_on_win,
    "account_on_closing": _account_on_closing,
}
LOOKALIKES: Final[dict[str, Planter]] = {
    "territory": _territory,
    "last_review": _last_review,
    "next_step": _next_step,
    "fit": _fit,
    "fit_dated": _fit_dated,
    "referrer": _referrer,
    "record_no": _record_no,
    "campaign": _campaign,
}
_ALL: Final = {**LEAKS, **LOOKALIKES}


def plant(
    frames: dict[str, pd.DataFrame],
    names: Sequence[str],
    quality: Ints,
    end_us: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """The tables with the named fields planted, in the order of `LEAKS`, then `LOOKALIKES`.

    quality : (D,) hidden quality of each row of `deals`
    Each field has a stream of random numbers of its own: which others are planted does not change it.
    Raises UsageError for an unknown name.
    """
    for name in names:
        if name not in _ALL:
            raise UsageError(f"leak {name!r} is unknown; known are {', '.join(_ALL)}", code="unknown_leak")
    deals, events = frames["deals"], frames["deal_events"]
    kind = {stage: kind for stage, _, kind, _, _ in process.STAGE_ROWS}
    moves = events[events["field"] == "stage"]
    outcome = moves["value"].map(kind)
    last = outcome.groupby(moves["deal_id"]).last().reindex(deals["deal_id"]).to_numpy(object)
    # Moves between won stages, to onboarding, are no closing.
    before = outcome.groupby(moves["deal_id"]).shift()
    closings = moves[(outcome != "open") & (outcome != before)].drop_duplicates("deal_id", keep="last")
    closed_at = closings.set_index("deal_id")["recorded_at"].reindex(deals["deal_id"])
    closed = last != "open"
    known_at = closed_at.fillna(pd.Timestamp(0, tz="UTC")).dt.as_unit("us")
    closed_us = np.where(closed, known_at.astype("int64"), _NEVER)
    company = _Company(
        frames=frames,
        created_us=deals["created_at"].dt.as_unit("us").astype("int64").to_numpy(),
        closed_us=closed_us.astype(np.int64),
        won=last == "won",
        closed=closed,
        quality=quality,
        end_us=end_us,
    )
    for number, (name, planter) in enumerate(_ALL.items()):
        if name in names:
            company = planter(company, np.random.default_rng([seed, 1_000 + number]))
    return company.frames
