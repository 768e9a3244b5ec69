"""The search itself: trials on folds, kept as they finish, and what came of them.

A trial turns knobs (`space`), fits on what was recorded before each fold's origin exactly as a training would,
and is scored on the deals open after it (`folds`). After each fold it is compared with the defaults deal by
deal, and given up if it is clearly behind. The first trial is the defaults.

Optuna proposes (TPE) and keeps the trials in a SQLite file; what each deal added to a trial's loss lies beside
it. A proposal depends on the finished trials and on the seed alone, never on the time of day: a search that was
interrupted and goes on proposes what the uninterrupted one would have.

Source: Bergstra et al. 2011 (TPE); Akiba et al. 2019 (Optuna).
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from forecast import __version__
from forecast.arrays import Floats
from forecast.errors import DataError, OutputError
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.tables import write_bytes
from training.holdout import Holdout
from training.tuning.folds import Fold, Looks, choose_folds
from training.tuning.space import default_positions, knobs_for, turned

__all__ = ["Budget", "Found", "Gain", "confirm", "search"]

Tell = Callable[[str, int, float], None]

_NAME: Final = "tune"
_RANDOM_TRIALS: Final = 8  # before TPE has anything to go by
# In standard errors: a trial so far behind the defaults after a fold is given up, one so far ahead is better.
# The best of twenty settings that are all the same is ahead by nearly two standard errors.
_BEHIND: Final = 1.0
_AHEAD: Final = 2.0
_FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, slots=True)
class Budget:
    """When to stop: after so many seconds, or so many finished trials in all, whichever comes first."""

    seconds: float | None
    trials: int | None


@dataclass(frozen=True, slots=True)
class Gain:
    """How much less is lost than by the defaults, with the standard error by deal."""

    value: float
    error: float

    @classmethod
    def of(cls, before: Floats, after: Floats) -> Gain:
        """before, after : (F, D) losses of each deal in each fold; the deals of both are the same."""
        asked = (before > 0.0).any(axis=0) | (after > 0.0).any(axis=0)
        each = (before - after)[:, asked].mean(axis=0)
        error = math.sqrt(len(each) * float(each.var())) if len(each) else 0.0
        return cls(float(each.sum()), error)

    @property
    def is_clear(self) -> bool:
        """Whether it is an improvement beyond luck."""
        return self.value > 0.0 and self.value > _AHEAD * self.error

    def __str__(self) -> str:
        return f"{self.value:+.4f} ± {self.error:.4f}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found so far.

    finished, given_up : numbers of trials; given_up is part of finished
    default_loss, best_loss : mean over folds, as share of the best constant's Brier score
    settings : the best ones; those the search started from where nothing was better
    gain : of the best over the defaults, on the same deals
    """

    folds: tuple[Fold, ...]
    finished: int
    given_up: int
    default_loss: float
    best_loss: float
    settings: FitSettings
    gain: Gain

    @property
    def is_better(self) -> bool:
        """Whether the best settings are an improvement; else the defaults stand."""
        return self.gain.is_clear


def search(
    history: History,
    fingerprint: str,
    holdout: Holdout,
    settings: FitSettings,
    folder: Path,
    budget: Budget,
    *,
    tell: Tell,
) -> Found:
    """Search until the budget is spent, going on from what `folder` holds.

    fingerprint : of the tables the history was made from
    holdout : the period nothing of which may be looked at
    tell : called with what is being done, the number of finished trials and the seconds spent
    The budget is looked at before every fold: a trial it cuts short is dropped and proposed again next time.
    The defaults are always finished. Raises DataError if history is too short for folds, OutputError if the
    folder holds another search or cannot be written.
    """
    started = time.monotonic()
    folds = choose_folds(history, holdout.start, holdout.horizons_days)
    _settle(folder, fingerprint, folds, settings)
    looks = [Looks.of(history, fold, settings.landmark_every_days) for fold in folds]
    if not any(look.scored for look in looks):
        raise DataError(
            "no deal was won in the months settings would be compared on: nothing can be tuned",
            code="nothing_won",
        )
    looks = [look for look in looks if look.scored]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    try:
        study = optuna.create_study(study_name=_NAME, storage=storage, load_if_exists=True)
        for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(left.number, state=TrialState.FAIL)  # whoever ran it is gone: we hold the lock
        while True:
            finished = study.get_trials(deepcopy=False, states=_FINISHED)
            spent = time.monotonic() - started
            if budget.trials is not None and len(finished) >= budget.trials and finished:
                break
            if budget.seconds is not None and spent >= budget.seconds and finished:
                break
            if not finished and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                study.enqueue_trial(default_positions(settings))
            before = _losses(folder, finished[0]) if finished else None
            until = math.inf if budget.seconds is None or not finished else started + budget.seconds

            def say(text: str, number: int = len(finished)) -> None:
                tell(text, number, time.monotonic() - started)

            _one_trial(study, len(finished), history, looks, settings, folder, before, until, say)
        return _found(study, folder, settings, tuple(look.fold for look in looks))
    finally:
        storage.remove_session()
        storage.engine.dispose()


def confirm(
    history: History, as_of: pd.Timestamp, holdout: Holdout, before: FitSettings, after: FitSettings
) -> tuple[float, float, Gain]:
    """Losses of two settings on the held-out period, and the gain of the second over the first."""
    looks = Looks.of(history, Fold(holdout.start, as_of, holdout.horizons_days), before.landmark_every_days)
    first = looks.losses(fit_models(history, holdout.start, before), history)[None, :]
    second = first
    if after != before:
        second = looks.losses(fit_models(history, holdout.start, after), history)[None, :]
    return float(first.sum()), float(second.sum()), Gain.of(first, second)


def _one_trial(
    study: optuna.Study,
    finished: int,
    history: History,
    looks: list[Looks],
    settings: FitSettings,
    folder: Path,
    before: Floats | None,
    until: float,
    say: Callable[[str], None],
) -> None:
    """Ask for a trial, fit and score it fold by fold, keep it and tell what came of it."""
    study.sampler = optuna.samplers.TPESampler(
        seed=settings.seed + finished, n_startup_trials=_RANDOM_TRIALS, constant_liar=False
    )
    trial = study.ask()
    positions = {
        knob.name: trial.suggest_categorical(knob.name, knob.positions) for knob in knobs_for(settings)
    }
    mine = turned(settings, positions)
    losses: list[Floats] = []
    for number, look in enumerate(looks):
        if time.monotonic() >= until:
            study.tell(trial, state=TrialState.FAIL)
            return

        def tell(text: str, share: float, number: int = number) -> None:  # noqa: ARG001  (fit's interface)
            say(f"trial {finished + 1}, fold {number + 1} of {len(looks)}: {text}")

        losses.append(look.losses(fit_models(history, look.fold.origin, mine, tell=tell), history))
        so_far = np.stack(losses)
        trial.report(float(so_far.sum(axis=1).mean()), number)
        if before is not None and number + 1 < len(looks):
            gain = Gain.of(before[: number + 1], so_far)
            if gain.value < -_BEHIND * gain.error:
                study.tell(trial, state=TrialState.PRUNED)
                return
    content = io.BytesIO()
    np.save(content, so_far, allow_pickle=False)
    # Before the study knows of it: a finished trial always has its losses.
    write_bytes(folder / _file_of(trial.number), content.getvalue())
    study.tell(trial, float(so_far.sum(axis=1).mean()))


def _found(study: optuna.Study, folder: Path, settings: FitSettings, folds: tuple[Fold, ...]) -> Found:
    finished = study.get_trials(deepcopy=False, states=_FINISHED)
    complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
    default, *_ = complete
    # Of equal ones the first: knobs that change nothing lose against the defaults.
    best = min(complete, key=lambda trial: (trial.value, trial.number))
    return Found(
        folds,
        len(finished),
        len(finished) - len(complete),
        float(default.value or 0.0),
        float(best.value or 0.0),
        turned(settings, best.params),
        Gain.of(_losses(folder, default), _losses(folder, best)),
    )


def _file_of(number: int) -> str:
    return f"trial-{number:05d}.npy"


def _losses(folder: Path, trial: FrozenTrial) -> Floats:
    """(F, D) losses of a finished trial."""
    path = folder / _file_of(trial.number)
    try:
        found: Floats = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path} is missing or damaged; remove {folder} to begin anew", code="damaged_study"
        ) from error
    return found


def _settle(folder: Path, fingerprint: str, folds: tuple[Fold, ...], settings: FitSettings) -> None:
    """Make the folder of a search, or make sure that it is one of the same question."""
    about = {
        "forecast_version": __version__,
        "data_fingerprint": fingerprint,
        "settings": settings.to_json(),
        "folds": [[fold.origin.isoformat(), fold.end.isoformat(), *fold.horizons_days] for fold in folds],
        "knobs": {knob.name: list(knob.positions) for knob in knobs_for(settings)},
    }
    path = folder / "about.json"
    if path.is_file():
        try:
            known = json.loads(path.read_text("utf-8"))
        except ValueError:
            known = {}
        other = [name for name, value in about.items() if known.get(name) != value]
        if other:
            raise OutputError(
                f"{folder} holds a search with another {' and '.join(other)}; remove it or take another --out",
                code="other_study",
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder} exists and is no search; choose another --out", code="not_a_study")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}", code="cannot_write") from error
    write_bytes(path, (json.dumps(about, indent=1, sort_keys=True) + "\n").encode())
