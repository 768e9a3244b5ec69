"""The other company keeps the contract, and what it calls the truth is what happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.another import AnotherCompany, another_company
from benchmarks.another.rules import FIRST_DAY
from benchmarks.simulated import MONTHS, monthly_landmarks
from forecast.features import FeatureMatrix, build
from forecast.history import WON, DatedRecords, History, Landmarks
from forecast.periods import as_of_us
from forecast.tables import read_folder, write_folder

pytestmark = pytest.mark.slow

HORIZONS = (0, 1, 30, 90, 180)


@pytest.fixture(scope="module")
def company() -> AnotherCompany:
    """Without the luck of quarters: only then must outcomes agree with chances that are means over it."""
    return another_company(deals=6_000, seed=4, moments=MONTHS, luck=False)


@pytest.fixture(scope="module")
def history(company: AnotherCompany) -> History:
    return History.from_tables(company.tables)


@pytest.fixture(scope="module")
def asked(company: AnotherCompany, history: History) -> Landmarks:
    return monthly_landmarks(history, as_of_us(company.until))


@pytest.fixture(scope="module")
def features(history: History, asked: Landmarks) -> FeatureMatrix:
    return build(history, asked.deal, asked.at_us, DatedRecords.of(history))


@pytest.fixture(scope="module")
def truth(company: AnotherCompany, history: History, asked: Landmarks) -> np.ndarray:
    as_of = pd.to_datetime(asked.at_us, unit="us", utc=True)
    return company.truth_within(history.deal_ids[asked.deal], as_of, HORIZONS)


def test_its_tables_are_read_without_a_word(company: AnotherCompany, tmp_path: Path) -> None:
    write_folder(company.tables, tmp_path)
    reading = read_folder(tmp_path)
    assert reading.tables.fingerprint == company.tables.fingerprint
    assert reading.report.quarantine.empty
    assert not reading.report.refused


def test_the_same_seed_gives_the_same_company_and_another_seed_another() -> None:
    one, same, other = (another_company(deals=200, seed=seed, moments=MONTHS) for seed in (1, 1, 2))
    assert one.tables.fingerprint == same.tables.fingerprint != other.tables.fingerprint


def test_chances_begin_at_nothing_never_fall_and_stay_below_one(truth: np.ndarray) -> None:
    assert (truth[:, 0] == 0.0).all()
    assert (np.diff(truth, axis=1) >= 0.0).all()
    assert (truth < 1.0).all()


@pytest.mark.parametrize(
    "by",
    ["chance", "stage", "source", "owner_edge", "amount", "answers", "silence_days", "age_days", "month"],
)
@pytest.mark.parametrize("horizon", [30, 90, 180])
def test_as_many_are_won_as_the_truth_says(
    by: str, horizon: int, asked: Landmarks, features: FeatureMatrix, truth: np.ndarray
) -> None:
    """In every group by what is recorded: one that is off would be something the truth does not know.

    The months of one deal share its outcome, so they are one draw.
    """
    chance = truth[:, HORIZONS.index(horizon)]
    off = ((asked.cause == WON) & (asked.duration_days < horizon)) - chance
    group = _groups(by, asked, features, chance)
    off_by_deal = pd.Series(off).groupby([group, asked.deal]).sum()
    sums = off_by_deal.groupby(level=0).sum()
    spread = np.sqrt((off_by_deal**2).groupby(level=0).sum())
    assert len(sums) > 2
    assert (sums.abs() < 4.0 * spread + 1.0).all()  # one more where next to none was to be expected


def _groups(by: str, asked: Landmarks, features: FeatureMatrix, chance: np.ndarray) -> np.ndarray:
    values = {
        "chance": lambda: chance,
        "month": lambda: asked.at_us.astype(np.float64),
        "answers": lambda: np.sum(
            [np.nan_to_num(features[name], nan=-1.0) for name in ("budget", "authority", "need", "timeline")],
            axis=0,
        ),
    }.get(by, lambda: features[by])()
    values = np.nan_to_num(values, nan=-1.0)
    if len(np.unique(values)) > 30:
        values = np.searchsorted(np.quantile(values, np.linspace(0.1, 0.9, 9)), values)
    return np.unique(values, return_inverse=True)[1]


def test_only_the_moments_it_was_made_for_are_known(company: AnotherCompany) -> None:
    with pytest.raises(ValueError, match="as of"):
        company.truth_within(["d000001"], pd.DatetimeIndex([FIRST_DAY]), (30,))


def test_a_deal_that_is_closed_has_no_truth(company: AnotherCompany) -> None:
    ended = company.tables.deal_events.query("value == 'won'")["deal_id"].iloc[0]
    with pytest.raises(KeyError, match="not open"):
        company.truth_within([ended], pd.DatetimeIndex(MONTHS[:1]), (30,))
