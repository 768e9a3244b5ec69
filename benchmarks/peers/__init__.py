"""What others offer for the same question, run on the same rows with the same encoded features.

| name | what it is |
|---|---|
| `cox` | one proportional-hazards model per cause (lifelines), put together into incidences |
| `forest` | one random survival forest per cause (scikit-survival), put together likewise |
| `survival_boost` | SurvivalBoost (hazardous): boosted incidences, losses competing |
| `person_period` | LightGBM on a row per deal and span of time: won, lost or neither in it |

A peer sees the design matrix that our own linear model sees, the landmarks' durations and causes, and nothing
else: no deal, no history, no outcome after the landmarks' end. `benchmarks.peers.field` asks them, the
baselines and our own models one after the other and measures what each costs.
"""

from benchmarks.peers.boost import SurvivalBoostPeer
from benchmarks.peers.cox import CoxPeer
from benchmarks.peers.forest import ForestPeer
from benchmarks.peers.interface import Peer
from benchmarks.peers.person_period import PersonPeriodPeer

__all__ = ["CoxPeer", "ForestPeer", "Peer", "PersonPeriodPeer", "SurvivalBoostPeer", "all_peers"]


def all_peers(seed: int = 0, *, every_row: bool = False) -> tuple[Peer, ...]:
    """One of each, not yet fitted, in the order in which tables show them.

    every_row : whether all of them take every row, however long they need
    """
    if every_row:
        return (
            CoxPeer(),
            ForestPeer(seed=seed, most_rows=None),
            SurvivalBoostPeer.as_published(seed),
            PersonPeriodPeer(seed=seed, most_rows=None),
        )
    return CoxPeer(), ForestPeer(seed=seed), SurvivalBoostPeer(seed=seed), PersonPeriodPeer(seed=seed)
