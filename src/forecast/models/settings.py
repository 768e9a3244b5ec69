"""Settings of a fit; `training/settings.toml` documents each for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from forecast.features import LeakRules

__all__ = ["FitSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """What a fit may be told.

    seed : of everything drawn at random (thinning of landmarks)
    landmark_every_days : spacing of the landmark grid
    max_landmarks : more rows than this are thinned, and weighted for it
    ridge_grid : strengths of shrinkage to choose from
    min_closed_deals : fewer than this and the linear rung is not tried
    min_boosted_deals : fewer than this and trees are not tried
    rounds_grid : numbers of rounds of trees to choose from
    windows, window_days : forward-in-time windows in which rungs are compared
    use_season : whether a calendar profile may enter
    use_clock : whether a clock of the deal's own (age, days in stage) may enter
    use_level : whether the newest quarters may correct the level where they show a drift
    fiscal_year_starts : month (1 to 12) in which the fiscal year, and with it every quarter, begins
    reporting_currency : None takes the currency of the quotas
    exclude_fields : fields to leave out; trust_fields : fields to use although they leak
    exclude_lead_fields, trust_lead_fields : the same for columns of leads
    leak_rules : from when on a field is held to leak
    """

    seed: int = 0
    landmark_every_days: float = 7.0
    max_landmarks: int = 300_000
    ridge_grid: tuple[float, ...] = (3.0, 12.0, 50.0, 200.0, 800.0)
    min_closed_deals: int = 60
    min_boosted_deals: int = 100
    rounds_grid: tuple[int, ...] = (50, 75, 100)
    windows: int = 3
    window_days: float = 90.0
    use_season: bool = True
    use_clock: bool = True
    use_level: bool = True
    fiscal_year_starts: int = 1
    reporting_currency: str | None = None
    exclude_fields: tuple[str, ...] = ()
    trust_fields: tuple[str, ...] = ()
    exclude_lead_fields: tuple[str, ...] = ()
    trust_lead_fields: tuple[str, ...] = ()
    leak_rules: LeakRules = field(default_factory=LeakRules)

    def to_json(self) -> dict[str, Any]:
        """All settings as plain values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
