"""An invented B2B company, its CRM's history, and the exact truth about every open deal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints, Texts
from forecast.errors import UsageError
from forecast.periods import DAY_US, Period, as_of_us, parse_as_of, to_timestamp
from forecast.simulator import process, writing
from forecast.simulator.assembly import as_dates, as_texts, assemble, make_log
from forecast.simulator.calendar import Calendar, Shift, make_calendar, quarter_of
from forecast.simulator.cohort import Cohort, Customers, effects, follow_on, make_customers, new_business
from forecast.simulator.company import Company, make_company, make_rates, rate_at
from forecast.simulator.evidence import Points
from forecast.simulator.lead_truth import LeadTruth
from forecast.simulator.leads import make_leads
from forecast.simulator.leaks import plant
from forecast.simulator.paths import Paths, walk
from forecast.simulator.quotas import make_quotas
from forecast.simulator.truth import Truth
from forecast.simulator.writing import Written
from forecast.tables import Tables

__all__ = ["Simulation", "simulate"]

_BEYOND_DAYS: Final = 1200  # the calendar goes on after the end, so that the truth can look ahead
_ONBOARDING_SHARE: Final = 0.6


@dataclass(frozen=True)
class Simulation:
    """The tables a CRM would export, and the truth no CRM knows."""

    tables: Tables
    until: pd.Timestamp
    _truth: Truth
    _customers: Customers
    _rates: pd.DataFrame
    _lead_truth: LeadTruth

    @cached_property
    def _position(self) -> pd.Index[Any]:
        position: pd.Index[Any] = pd.Index(self.tables.deals["deal_id"])
        return position

    def truth(
        self,
        deal_ids: Sequence[str] | Texts | pd.Series[str],
        as_of: pd.Timestamp | Sequence[pd.Timestamp] | pd.DatetimeIndex,
        until: pd.Timestamp | Sequence[pd.Timestamp] | pd.DatetimeIndex,
        *,
        shocks: str = "mean",
    ) -> Floats:
        """P(won in [as_of, until) | everything recorded before as_of), exactly.

        deal_ids : (n,); as_of : one moment, or (n,) one for each deal.
        until : one moment gives (n,); a sequence of H moments gives (n, H).
        shocks : what the days from as_of on have of the quarters' shared shocks: "mean" (nobody knows them
            yet) or "realised" (what came; sharper, for checks against outcomes). The past always has its own.

        NaN for a deal that is not open at as_of. UsageError for an unknown deal, an as_of after the end of
        the data, or an `until` beyond the simulator's calendar.
        """
        deal = self._deals(deal_ids)
        as_of_each = np.broadcast_to(_moments_us(as_of), deal.shape)
        ends = _moments_us(until)
        until_us = np.broadcast_to(ends.reshape(-1), (len(deal), ends.size))
        answer = self._ask(deal, as_of_each, until_us, shocks, self._truth.win_probability)
        return answer if ends.ndim else answer[:, 0]

    def truth_within(
        self,
        deal_ids: Sequence[str] | Texts | pd.Series[str],
        as_of: pd.Timestamp | Sequence[pd.Timestamp] | pd.DatetimeIndex,
        horizons_days: Sequence[float] | Floats,
        *,
        shocks: str = "mean",
    ) -> Floats:
        """P(won within each of H horizons of its own as_of): (n, H). Otherwise as `truth`."""
        deal = self._deals(deal_ids)
        as_of_each = np.broadcast_to(_moments_us(as_of), deal.shape)
        ahead_us = np.round(np.asarray(horizons_days, np.float64) * DAY_US).astype(np.int64)
        until = as_of_each[:, None] + ahead_us
        return self._ask(deal, as_of_each, until, shocks, self._truth.win_probability)

    def undecided_within(
        self,
        deal_ids: Sequence[str] | Texts | pd.Series[str],
        as_of: pd.Timestamp | Sequence[pd.Timestamp] | pd.DatetimeIndex,
        horizons_days: Sequence[float] | Floats,
        *,
        shocks: str = "mean",
    ) -> Floats:
        """P(neither won nor lost within each of H horizons of its own as_of): (n, H). Otherwise as `truth`."""
        deal = self._deals(deal_ids)
        as_of_each = np.broadcast_to(_moments_us(as_of), deal.shape)
        ahead_us = np.round(np.asarray(horizons_days, np.float64) * DAY_US).astype(np.int64)
        until = as_of_each[:, None] + ahead_us
        return self._ask(deal, as_of_each, until, shocks, self._truth.undecided_probability)

    def never_closes(
        self,
        deal_ids: Sequence[str] | Texts | pd.Series[str],
        as_of: pd.Timestamp | Sequence[pd.Timestamp] | pd.DatetimeIndex,
    ) -> Floats:
        """(n,) P(deal is a zombie, one that nothing will ever close | everything recorded before as_of)."""
        deal = self._deals(deal_ids)
        posterior = self._truth.quality(deal, np.broadcast_to(_moments_us(as_of), deal.shape))
        return posterior[:, process.QUALITIES.index("zombie")]

    def truth_at(
        self, as_of: pd.Timestamp, horizons_days: Sequence[float] = (30, 90, 180, 365)
    ) -> pd.DataFrame:
        """The truth of every deal open at `as_of`: columns deal_id, as_of, horizon_days, probability."""
        ids = self.open_deals(as_of)
        probability = self.truth_within(ids, as_of, horizons_days)
        return pd.DataFrame(
            {
                "deal_id": np.repeat(ids, len(horizons_days)),
                "as_of": as_of,
                "horizon_days": np.tile(np.asarray(horizons_days), len(ids)),
                "probability": probability.ravel(),
            }
        )

    def open_deals(self, as_of: pd.Timestamp) -> Texts:
        """Ids of the deals open at `as_of`, in the order of the deals table."""
        deal = np.arange(len(self._position))
        stage, _ = self._truth.stage_at(deal, np.full(len(deal), as_of_us(as_of)))
        return self._position.to_numpy()[(stage >= 0) & (stage < process.OPEN_STAGES)]

    def open_leads(self, as_of: pd.Timestamp) -> Texts:
        """Ids of the leads open at `as_of`, in the order of the leads table."""
        lead_ids = self.tables.leads["lead_id"].to_numpy(object)
        every = np.arange(len(lead_ids))
        return lead_ids[self._lead_truth.is_open(every, np.full(len(every), as_of_us(as_of)))]

    def lead_truth_within(
        self,
        lead_ids: Sequence[str] | Texts | pd.Series[str],
        as_of: pd.Timestamp | Sequence[pd.Timestamp] | pd.DatetimeIndex,
        horizons_days: Sequence[float] | Floats,
    ) -> Floats:
        """P(lead converted within each of H horizons | everything recorded before as_of), exactly: (n, H).

        NaN for a lead that is not open at as_of. Leads feel no shared shocks. UsageError for an unknown lead,
        or moments the simulator's calendar does not know.
        """
        lead = _places(pd.Index(self.tables.leads["lead_id"]), lead_ids, "lead")
        as_of_each = np.broadcast_to(_moments_us(as_of), lead.shape)
        ahead_us = np.round(np.asarray(horizons_days, np.float64) * DAY_US).astype(np.int64)
        until = as_of_each[:, None] + ahead_us
        self._check_span(as_of_each, until)
        return self._lead_truth.converted(lead, as_of_each, until)

    def expected_bookings(self, as_of: pd.Timestamp, period: Period) -> pd.DataFrame:
        """What the deals open at `as_of` will book in `period`, truly expected, in reporting currency.

        Columns deal_id, won_in_period, amount_if_won, expected. Revisions of an amount have mean one, so only
        the correction at signature moves it; the exchange rate is the one in force at `as_of`.
        """
        ids = self.open_deals(as_of)
        begin = max(as_of, period.start)
        won = self.truth(ids, as_of, [begin, max(begin, period.end)])
        deal = self._deals(ids)
        events = self.tables.deal_events
        known = events[(events["field"] == "amount") & (events["recorded_at"] < as_of)]
        last = known.drop_duplicates("deal_id", keep="last").set_index("deal_id")["value"].astype(float)
        rate = rate_at(
            self._rates,
            self._customers.dollars[self._truth.cohort.account[deal]],
            np.full(len(deal), as_of_us(as_of)),
        )
        signed = 1 + process.SIGNED_SHARE * (sum(process.SIGNED_RANGE) / 2 - 1)
        amount = last.reindex(ids).to_numpy(np.float64) * rate * signed
        chance = won[:, 1] - won[:, 0]
        return pd.DataFrame(
            {"deal_id": ids, "won_in_period": chance, "amount_if_won": amount, "expected": chance * amount}
        )

    def _deals(self, deal_ids: Sequence[str] | Texts | pd.Series[str]) -> Ints:
        return _places(self._position, deal_ids, "deal")

    def _ask(
        self, deal: Ints, as_of: Ints, until: Ints, shocks: str, answer: Callable[..., Floats]
    ) -> Floats:
        if shocks not in ("mean", "realised"):
            raise UsageError(
                f"shocks {shocks!r} is unknown; expected 'mean' or 'realised'", code="bad_shocks"
            )
        self._check_span(as_of, until)
        return answer(deal, as_of, until, realised=shocks == "realised")

    def _check_span(self, as_of: Ints, until: Ints) -> None:
        if (as_of > as_of_us(self.until)).any():
            raise UsageError(f"as_of lies after the end of the data, {self.until:%Y-%m-%d}", code="bad_as_of")
        limit_us = as_of_us(self.until) + _BEYOND_DAYS * DAY_US
        if (until > limit_us).any():
            raise UsageError(
                f"until lies beyond the simulator's calendar, which ends {to_timestamp(limit_us):%Y-%m-%d}",
                code="bad_until",
            )


def _places(position: pd.Index[Any], ids: Sequence[str] | Texts | pd.Series[str], what: str) -> Ints:
    """Rows of ids in their table; UsageError names the first unknown one."""
    asked = np.asarray(ids, object)
    found = position.get_indexer(pd.Index(asked))
    if (found < 0).any():
        raise UsageError(f"{what} {asked[found < 0][0]!r} is not in this simulation", code=f"unknown_{what}")
    return found.astype(np.int64)


def _moments_us(moments: Any) -> Ints:
    """Timestamps as microseconds, () for one and (n,) for several; without a zone they are UTC."""
    if isinstance(moments, pd.Timestamp | str):
        return np.array(as_of_us(parse_as_of(str(moments))), np.int64)
    index = pd.DatetimeIndex(moments)
    index = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    return index.as_unit("us").asi8.astype(np.int64)


def simulate(
    deals: int = 5000,
    seed: int = 0,
    *,
    start: str | pd.Timestamp = "2022-01-01",
    until: str | pd.Timestamp = "2026-01-01",
    drift_per_year: float = 0.0,
    shift: Shift | None = None,
    leaks: Sequence[str] = (),
) -> Simulation:
    """Invent a company with exactly `deals` deals created in [start, until), follow-on deals included.

    drift_per_year : added to the log rate of winning with each year since `start`.
    shift : rates that change on one day, e.g. to see how soon a monitor notices.
    leaks : names of `simulator.leaks` to plant (LEAKS, and LOOKALIKES that leak nothing); the truth does not
        know of them

    The same arguments give the same tables to the byte. UsageError for fewer than one deal, for days that are
    not midnights, or for less than 30 days.
    """
    begin, end = parse_as_of(str(start)), parse_as_of(str(until))
    if deals < 1:
        raise UsageError(f"deals is {deals}; expected at least 1", code="bad_deals")
    if begin.normalize() != begin or end.normalize() != end or end - begin < pd.Timedelta(days=30):
        raise UsageError(
            f"start {begin} and until {end} must be midnights at least 30 days apart",
            code="bad_span",
        )
    start_us, end_us = as_of_us(begin), as_of_us(end)
    # One stream of random numbers for each part: changing one leaves the others as they were.
    rng = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(13)]

    calendar, expected = _calendars(begin, end, drift_per_year, shift, rng[0])
    company = make_company(deals, start_us, end_us, rng[1])
    rates = make_rates(begin, end, rng[2])
    customers = make_customers(max(1, deals), rng[3])
    cohort, paths = _deals_and_paths(deals, customers, company, rates, calendar, end_us, rng[4])
    effect = effects(cohort, customers, company)

    entries = writing.entries_of(cohort, paths)
    clock = calendar.touch
    evidence: list[Points] = []
    fields: dict[str, Written] = {}
    for number, name in enumerate(process.BANT):
        answered, points = writing.answers(number, cohort, paths, clock, rng[5])
        evidence.append(points)
        fields[name] = answered.named(np.array(process.BANT_VALUES, object))
    done, points, activity_risk = writing.activities(cohort, paths, clock, rng[6])
    evidence.append(points)
    dates, points, overdue_risk = writing.close_dates(cohort, paths, entries, clock, end_us, rng[7])
    evidence.append(points)
    judged, points = writing.categories(cohort, entries, rng[8])
    evidence.append(points)
    amounts = writing.amounts(cohort, paths, clock, rng[9])
    owner = writing.owners(cohort, paths, company, end_us, rng[10])

    fields = {
        "amount": Written(amounts.deal, amounts.moment_us, as_texts(amounts.value)),
        "expected_close_on": Written(dates.deal, dates.moment_us, as_dates(dates.value)),
        "forecast_category": judged.named(np.array(process.CATEGORIES, object)),
        **fields,
    }
    last = rng[11]
    log = make_log(cohort, paths, _onboarding(paths, last), fields, owner, company, end_us)
    leads = make_leads(cohort, customers, company, clock, end_us, rng[12])
    quotas = make_quotas(
        company, *_bookings(cohort, customers, company, paths, amounts, owner, rates, begin, end), last
    )
    known_size = last.random(deals) < 0.85
    frames = assemble(cohort, customers, company, log, done, leads, quotas, rates, known_size, end_us)
    if leaks:
        frames = plant(frames, leaks, cohort.quality, end_us, seed)
    truth = Truth(
        cohort=cohort,
        effect=effect,
        paths=paths,
        points=Points.concat(evidence),
        exposures=[activity_risk, overdue_risk],
        calendar=calendar,
        expected=expected,
    )
    return Simulation(Tables.from_frames(**frames), end, truth, customers, rates, LeadTruth(leads, clock))


def _calendars(
    begin: pd.Timestamp, end: pd.Timestamp, drift: float, shift: Shift | None, rng: np.random.Generator
) -> tuple[Calendar, Calendar]:
    """The calendar with the shocks that came, and the one with every shock at its mean."""
    days = pd.date_range(
        begin.tz_localize(None), end.tz_localize(None) + pd.Timedelta(days=_BEYOND_DAYS), freq="D"
    )
    quarter = quarter_of(days)
    number = quarter - quarter[0]

    def shock(sd: float) -> Floats:
        of_quarter: Floats = np.exp(rng.normal(-sd * sd / 2, sd, int(number[-1]) + 1))
        of_day: Floats = of_quarter[number]
        return of_day

    win_shock, lose_shock = shock(process.WIN_SHOCK_SD), shock(process.LOSE_SHOCK_SD)
    calendar = make_calendar(
        days, drift_per_year=drift, win_shock=win_shock, lose_shock=lose_shock, shift=shift
    )
    return calendar, calendar.without_shocks(win_shock, lose_shock)


def _deals_and_paths(
    deals: int,
    customers: Customers,
    company: Company,
    rates: pd.DataFrame,
    calendar: Calendar,
    end_us: int,
    rng: np.random.Generator,
) -> tuple[Cohort, Paths]:
    """Exactly `deals` deals in order of creation, with their paths.

    A new deal, what follows its win, what follows those, and so on are a family. Families are taken whole, in
    an order drawn before anything is known of them, until there are as many deals as asked for; of the last
    one its first deals are taken. So wins are followed by as much near the end as long before it.
    """
    generation = new_business(deals, customers, company, rates, calendar.touch, end_us, rng)
    family = rng.permutation(deals)
    cohorts: list[Cohort] = []
    paths: list[Paths] = []
    families: list[Ints] = []
    count = 0
    while len(generation):
        walked = walk(generation, effects(generation, customers, company), calendar, end_us, rng)
        cohorts.append(generation)
        paths.append(walked.renumbered(np.arange(count, count + len(generation))))
        families.append(family)
        count += len(generation)
        won = np.flatnonzero(walked.move_to == process.WON)
        winner = walked.move_deal[won]
        generation, after = follow_on(
            generation.take(winner),
            walked.move_us[won],
            customers,
            company,
            rates,
            calendar.touch,
            end_us,
            rng,
        )
        family = family[winner[after]]

    cohort = Cohort.concat(cohorts)
    taken = np.lexsort((cohort.created_us, np.concatenate(families)))[:deals]
    taken = taken[np.argsort(cohort.created_us[taken], kind="stable")]
    number = np.full(count, -1)
    number[taken] = np.arange(deals)
    return cohort.take(taken), Paths.concat(paths).of(number >= 0).renumbered(number)


def _onboarding(paths: Paths, rng: np.random.Generator) -> Written:
    """The post-purchase stage some wins enter a few weeks later."""
    won = np.flatnonzero(paths.move_to == process.WON)
    won = won[rng.random(len(won)) < _ONBOARDING_SHARE]
    later_us = rng.integers(5, 40, len(won)) * DAY_US
    return Written(paths.move_deal[won], paths.move_us[won] + later_us, np.full(len(won), process.ONBOARDING))


def _bookings(
    cohort: Cohort,
    customers: Customers,
    company: Company,
    paths: Paths,
    amounts: Written,
    owner: Written,
    rates: pd.DataFrame,
    begin: pd.Timestamp,
    end: pd.Timestamp,
) -> tuple[Floats, Floats, list[Period]]:
    """Bookings by quarter, bookings by seller, and the quarters up to the two coming ones."""
    quarters = [Period.containing(begin)]
    while quarters[-1].start < end:
        quarters.append(quarters[-1].next())
    past = len(quarters) - 1 if quarters[-1].start == end else len(quarters)
    quarters = [*quarters[:past], Period.coming(end), Period.coming(end).next()]

    won = np.flatnonzero(paths.move_to == process.WON)
    deal, won_us = paths.move_deal[won], paths.move_us[won]
    final = np.empty(len(cohort))
    final[amounts.deal] = amounts.value  # sorted by time: the last one stays
    value = final[deal] * rate_at(rates, customers.dollars[cohort.account[deal]], won_us)
    seller = np.empty(len(cohort), np.int64)
    seller[owner.deal] = owner.value
    edges = np.array([quarter.start_us for quarter in quarters])
    number = np.searchsorted(edges, won_us, side="right") - 1
    by_quarter = np.bincount(number, value, minlength=past)[:past].astype(np.float64)
    by_seller = np.bincount(seller[deal], value, minlength=len(company.team)).astype(np.float64)
    return by_quarter, by_seller, quarters
