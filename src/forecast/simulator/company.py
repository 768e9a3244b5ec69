"""The invented company: its people, teams and regions, and what a dollar was worth."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Bools, Floats, Ints
from forecast.periods import DAY_US
from forecast.simulator import process
from forecast.simulator.calendar import NEVER_US

__all__ = ["OPERATIONS", "REPORTING", "TEAMS", "Company", "make_company", "make_rates", "rate_at"]

REPORTING: Final = "EUR"
OPERATIONS: Final = "operations"  # the user who closes forgotten deals at the month's end


@dataclass(frozen=True)
class Team:
    name: str
    region: str
    share: float
    dollar_share: float
    names: str


TEAMS: Final = (
    Team("milano", "italy", 0.32, 0.03, "it"),
    Team("roma", "italy", 0.24, 0.03, "it"),
    Team("münchen", "dach", 0.24, 0.05, "de"),
    Team("atlantic", "international", 0.20, 0.72, "en"),
)

_FIRST: Final = {
    "it": "Giulia Marco Chiara Luca Francesca Matteo Elena Davide Sara Andrea Martina Paolo Ilaria Nicolò "
    "Marta Simone Alessia Giorgio Beatrice Tommaso",
    "de": "Anna Lukas Katharina Jonas Lena Felix Johanna Sebastian Mia Florian Clara Tobias Hannah Moritz",
    "en": "Emma Liam Aoife Oscar Inês Hugo Sofia Daniel Freya Tomás Camille Noah Astrid Pierre Saoirse",
}
_LAST: Final = {
    "it": "Rossi Bianchi Ferrari Conti Ricci Marino Greco Bruno Gallo Costa Mancini Lombardi Moretti Fontana "
    "Barbieri Rinaldi Caruso Leone D'Angelo Serra",
    "de": "Weiß Schneider Hofmann Wagner Müller Keller Brandt Vogel König Schäfer Lindner Huber Krüger",
    "en": "Byrne Lindqvist Ferreira Martin Dubois O'Connor Jensen Walsh Silva Moreau Nilsson Hughes Clarke",
}


@dataclass(frozen=True)
class Company:
    """Users and the sellers among them.

    `users` is the contract table; sellers are its rows `seller_row`, with (n_sellers,) arrays of their team,
    their skill (effect on the log rate of winning) and their time with the company.
    """

    users: pd.DataFrame
    seller_row: Ints
    team: Ints
    skill: Floats
    hired_us: Ints
    left_us: Ints

    def assign(self, team: Ints, moment_us: Ints, rng: np.random.Generator) -> Ints:
        """A seller of the asked team, employed at that moment, for each (n,) deal: index into the sellers."""
        chosen = np.zeros(len(team), np.int64)
        for number in range(len(TEAMS)):
            members = np.flatnonzero(self.team == number)
            rows = np.flatnonzero(team == number)
            when = moment_us[rows, None]
            employed = (self.hired_us[members] <= when) & (when < self.left_us[members])
            chosen[rows] = members[np.argmax(rng.random(employed.shape) * employed, axis=1)]
        return chosen

    def employed(self, seller: Ints, moment_us: Ints) -> Bools:
        """Whether each seller works here at each moment."""
        return (self.hired_us[seller] <= moment_us) & (moment_us < self.left_us[seller])


def _login(name: str) -> str:
    """`Nicolò D'Angelo` -> `nicolo.dangelo`."""
    plain = unicodedata.normalize("NFKD", name.lower().replace("ß", "ss").replace("'", ""))
    return plain.encode("ascii", "ignore").decode().replace(" ", ".")


def make_company(deals: int, start_us: int, until_us: int, rng: np.random.Generator) -> Company:
    """Sellers in proportion to the number of deals, a manager for each team, a director, and operations."""
    n_sellers = int(np.clip(8 + deals // 330, 8, 72))
    wanted = np.array([team.share for team in TEAMS]) * n_sellers
    size = np.maximum(2, np.floor(wanted)).astype(np.int64)
    team = np.repeat(np.arange(len(TEAMS)), size)
    n_sellers = len(team)

    # The first seller of a team is there from start to end, so that nobody's deals are left alone.
    founder = np.concatenate([[True], team[1:] != team[:-1]])
    span = until_us - start_us
    hired = np.where(founder | (rng.random(n_sellers) < 0.6), 0.0, rng.uniform(0.05, 0.75, n_sellers))
    leaves = ~founder & (rng.random(n_sellers) < 0.22)
    left = hired + 0.15 + rng.random(n_sellers) * (0.97 - hired - 0.15)
    whole_days = DAY_US
    hired_us = start_us + (hired * span).astype(np.int64) // whole_days * whole_days
    left_us = np.where(leaves, start_us + (left * span).astype(np.int64) // whole_days * whole_days, NEVER_US)

    taken: set[str] = set()
    pools = {
        kind: rng.permutation(
            [f"{first} {last}" for first in _FIRST[kind].split() for last in _LAST[kind].split()]
        )
        for kind in _FIRST
    }
    cursor = dict.fromkeys(pools, 0)

    def person(kind: str) -> tuple[str, str]:
        while True:
            name = str(pools[kind][cursor[kind]])
            cursor[kind] += 1
            login = _login(name)
            if login not in taken:
                taken.add(login)
                return login, name

    director = person("it")
    managers = [person(team_.names) for team_ in TEAMS]
    sellers = [person(TEAMS[number].names) for number in team]
    people = [director, *managers, *sellers]
    of_team = [TEAMS[number] for number in range(len(TEAMS))] + [TEAMS[number] for number in team]
    boss = [director[0]] * len(TEAMS) + [managers[number][0] for number in team]
    users = pd.DataFrame(
        {
            "user_id": [login for login, _ in people] + [OPERATIONS],
            "name": [name for _, name in people] + ["Sales Operations"],
            "team": [None, *(team_.name for team_ in of_team), None],
            "region": [None, *(team_.region for team_ in of_team), None],
            "manager_id": [None, *boss, director[0]],
            "email": [f"{login}@example.com" for login, _ in people] + [f"{OPERATIONS}@example.com"],
            "active": [True] * (1 + len(TEAMS)) + [bool(moment >= until_us) for moment in left_us] + [True],
        }
    )
    return Company(
        users=users,
        seller_row=np.arange(n_sellers) + 1 + len(TEAMS),
        team=team,
        skill=rng.normal(0.0, process.SKILL_SD, n_sellers),
        hired_us=hired_us,
        left_us=left_us,
    )


def make_rates(start: pd.Timestamp, until: pd.Timestamp, rng: np.random.Generator) -> pd.DataFrame:
    """Euros per US dollar, one rate for each quarter from the one of `start` to the last before `until`."""
    first = start.tz_localize(None).to_period("Q").start_time
    quarters = pd.date_range(first, until.tz_localize(None), freq="QS", inclusive="left").as_unit("us")
    walk = np.cumsum(rng.normal(0.0, 0.025, len(quarters)))
    rate = np.round(0.92 * np.exp(walk - walk.mean()), 4)
    return pd.DataFrame({"currency": "USD", "valid_from": quarters, "rate": rate})


def rate_at(rates: pd.DataFrame, dollars: Bools, moment_us: Ints) -> Floats:
    """Euros per unit of the deal's currency, in force at each moment; `dollars` (n,) marks US dollars."""
    since = pd.DatetimeIndex(rates["valid_from"]).as_unit("us").asi8
    position = np.maximum(np.searchsorted(since, moment_us, side="right") - 1, 0)
    return np.where(dollars, rates["rate"].to_numpy(np.float64)[position], 1.0)
