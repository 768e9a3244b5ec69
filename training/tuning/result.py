"""What a search says when it is done: on the screen, and in the file of settings it writes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from forecast.models import FitSettings
from training.holdout import Holdout
from training.settings import Settings
from training.settings_page import shown
from training.settings_text import as_toml
from training.tuning.folds import Fold
from training.tuning.study import Found, Gain

__all__ = ["changed_keys", "show", "tuned_text"]

Confirmed = tuple[float, float, Gain]

_MOSTLY: Final = 0.6  # folds of a long history share half


def changed_keys(before: FitSettings, after: FitSettings) -> dict[str, tuple[Any, Any]]:
    """Key -> value before and after."""
    old, new = before.to_json(), after.to_json()
    return {key: (old[key], new[key]) for key in old if old[key] != new[key]}


def tuned_text(settings: Settings, found: Found, confirmed: Confirmed, holdout: Holdout) -> str:
    """A settings file: what the search started from where it is not default, and what it changed."""
    from training.settings import read_settings

    defaults = read_settings().to_toml()
    own = {
        section: {key: value for key, value in keys.items() if defaults.get(section, {}).get(key) != value}
        for section, keys in settings.to_toml().items()
    }
    changed = changed_keys(settings.fit, found.settings)
    own["fit"] = {**own.get("fit", {}), **{key: new for key, (_, new) in changed.items()}}
    comments = {f"fit.{key}": f"tuned; it was {shown(old)}" for key, (old, _) in changed.items()}
    head = [
        f"Tuned on {len(found.folds)} folds from {min(f.origin for f in found.folds):%Y-%m-%d} to "
        f"{max(f.end for f in found.folds):%Y-%m-%d}, {found.finished} trials.",
        f"Share of the constant's Brier score removed: {1 - found.default_loss:.2%} before, "
        f"{1 - found.best_loss:.2%} tuned,",
        f"gain {_points(found.gain)} points (standard error by deal).",
        f"On the held-out period from {holdout.start:%Y-%m-%d}, which the search did not see: "
        f"{1 - confirmed[0]:.2%} and {1 - confirmed[1]:.2%},",
        f"gain {_points(confirmed[2])} points.",
    ]
    return "".join(f"# {line}\n" for line in head) + "\n" + as_toml(own, comments)


def show(
    console: Console, settings: Settings, found: Found, confirmed: Confirmed, holdout: Holdout, out: Path
) -> None:
    """Print both comparisons, what changed, and the verdict."""
    first, last = min(f.origin for f in found.folds), max(f.end for f in found.folds)
    horizons = ", ".join(map(str, found.folds[0].horizons_days))
    table = Table(
        title=f"Share of the constant's Brier score removed, P(won within {horizons} days)",
        title_justify="left",
        caption="Gain: in points, with its standard error by deal.",
        caption_justify="left",
    )
    table.add_column("")
    for heading in ("as they were", "tuned", "gain"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row(
        f"{len(found.folds)} folds, {first:%Y-%m-%d} to {last:%Y-%m-%d}",
        f"{1 - found.default_loss:.2%}",
        f"{1 - found.best_loss:.2%}",
        _points(found.gain),
    )
    table.add_row(
        f"held out from {holdout.start:%Y-%m-%d}, not seen by the search",
        f"{1 - confirmed[0]:.2%}",
        f"{1 - confirmed[1]:.2%}",
        _points(confirmed[2]),
    )
    console.print(table)
    console.print(
        f"{found.finished} trials finished, {found.given_up} of them given up early as clearly worse; "
        "run the command again to go on."
    )
    if _overlap(found.folds) > _MOSTLY:
        console.print(
            "There is little history before the held-out period: the folds share most of their days and are "
            "nearly one, so the gain is less sure than its standard error says.",
            style="yellow",
        )
    changed = changed_keys(settings.fit, found.settings)
    for key, (old, new) in changed.items():
        console.print(f"  fit.{key}: {shown(old)} -> {shown(new)}", markup=False)
    if found.is_better:
        console.print(
            f"Better by more than two standard errors: written to {out}", style="bold", markup=False
        )
        if not confirmed[2].is_clear:
            console.print(
                f"The held-out period does not bear it out ({_points(confirmed[2])} points): rather stay with "
                "what was.",
                style="yellow",
            )
        return
    if not changed:
        console.print("The defaults stand: nothing tried was better.", style="bold")
    else:
        console.print(
            "The defaults stand: the best of the trials is not better by two standard errors, "
            "which luck alone may bring.",
            style="bold",
        )
    if out.exists():
        console.print(f"{out} is from an earlier run and was left as it is.", style="yellow", markup=False)


def _overlap(folds: tuple[Fold, ...]) -> float:
    """Largest share of a fold's days that the one before it has, too; folds are the newest first."""
    shares = [(old.end - new.origin) / (new.end - new.origin) for new, old in pairwise(folds)]
    return max(shares, default=0.0)


def _points(gain: Gain) -> str:
    return f"{100 * gain.value:+.2f} ± {100 * gain.error:.2f}"
