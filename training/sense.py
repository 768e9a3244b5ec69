"""Whether settings make sense together, and for a history of some length: notes, not errors."""

from __future__ import annotations

from collections.abc import Iterator

from forecast.models import FitSettings
from training.settings import Settings

__all__ = ["notes"]


def notes(settings: Settings, span_days: float | None = None) -> list[str]:
    """Plain sentences about settings that cannot do what they seem to be for.

    span_days : length of the history they are for, where it is known
    """
    return [*_fit_notes(settings), *_holdout_notes(settings), *_span_notes(settings, span_days)]


def _fit_notes(settings: Settings) -> Iterator[str]:
    fit = settings.fit
    for excluded, trusted in (
        ("exclude_fields", "trust_fields"),
        ("exclude_lead_fields", "trust_lead_fields"),
    ):
        both = sorted(set(getattr(fit, excluded)) & set(getattr(fit, trusted)))
        if both:
            yield f"{', '.join(both)} stands in fit.{excluded} and in fit.{trusted}: it is left out."
    if fit.min_boosted_deals < fit.min_closed_deals:
        yield (
            f"fit.min_boosted_deals ({fit.min_boosted_deals}) is below fit.min_closed_deals "
            f"({fit.min_closed_deals}): trees stand on the linear model, which is not tried before."
        )
    for key in ("ridge_grid", "rounds_grid"):
        values = getattr(fit, key)
        if len(set(values)) < len(values):
            yield f"fit.{key} names a value twice; each is tried once more for nothing."


def _holdout_notes(settings: Settings) -> Iterator[str]:
    holdout = settings.holdout
    if holdout.days:
        beyond = [h for h in holdout.horizons_days if h >= holdout.days]
        if beyond:
            yield (
                f"holdout.horizons_days {', '.join(map(str, beyond))} reach beyond the {holdout.days} days "
                "that are held out: they are not measured."
            )
    every = settings.fit.landmark_every_days
    short = [h for h in holdout.horizons_days if h < every]
    if short:
        yield (
            f"holdout.horizons_days {', '.join(map(str, short))} end before the next look, "
            f"fit.landmark_every_days ({every:g}) later."
        )


def _span_notes(settings: Settings, span_days: float | None) -> Iterator[str]:
    fit, usual = settings.fit, FitSettings()
    # The usual windows shrink with a short history as they should; who sets their own wants to know.
    if span_days is None or (fit.windows, fit.window_days) == (usual.windows, usual.window_days):
        return
    # As `forecast.models.ladder` lays them: the oldest window has as much before it as all windows together.
    fits = span_days / (2 * fit.windows + 1)
    if fits < fit.window_days:
        yield (
            f"{fit.windows} windows of {fit.window_days:g} days (fit.windows, fit.window_days) ask for "
            f"a history of {(2 * fit.windows + 1) * fit.window_days:,.0f} days; this one has {span_days:,.0f}, "
            f"so they are shortened to {fits:.0f}."
        )
