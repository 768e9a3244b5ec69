"""All origins, in parallel processes, each done once.

A worker writes an origin as soon as it is done, so whatever ends the run (Ctrl-C, kill, a full disk) costs the
origins that were being worked on and nothing else. Workers end with their parent, also when it is killed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import pandas as pd

from forecast import errors
from forecast.errors import ForecastError
from forecast.history import History
from forecast.models import Recipe
from forecast.periods import as_of_us
from forecast.tables import Money, Tables
from training.backtest.origin import came, said_at
from training.backtest.plan import Origin, Plan, make_plan
from training.backtest.store import Finished, Store
from training.settings import Settings

__all__ = ["Backtest", "backtest", "usable_cores"]

Tell = Callable[[str, float], None]

# To choose the kind of model takes about so many times as long as to learn a chosen one.
_CHOOSING: Final = 3.0


@dataclass(frozen=True)
class Backtest:
    """Everything that was said and came.

    bookings, deals : rows of all origins, see `origin.BOOKINGS_COLUMNS` and `origin.deal_columns`
    finished : the origins, in order of time
    found : how many of them had been done by an earlier run
    """

    plan: Plan
    until: pd.Timestamp
    fingerprint: str
    currency: str
    settings: Settings
    bookings: pd.DataFrame
    deals: pd.DataFrame
    finished: tuple[Finished, ...]
    found: int


@dataclass(frozen=True, slots=True)
class _Task:
    """An origin to be done; recipe None: it chooses for itself and for `others`, which wait for it."""

    origin: Origin
    recipe: Recipe | None
    others: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error of a worker as plain texts: not every exception survives the way between processes."""

    kind: str
    message: str
    code: str
    trace: str


@dataclass(frozen=True)
class _Bench:
    """What every origin needs, built once a process."""

    tables: Tables
    history: History
    store: Store

    @classmethod
    def of(cls, tables: Tables, store: Store) -> _Bench:
        money = Money.from_tables(tables, store.settings.reporting_currency)
        return cls(tables, History.from_tables(tables, money), store)

    def do(self, task: _Task) -> Finished:
        store, origin = self.store, task.origin
        said = said_at(self.tables, self.history, origin, store.settings, store.horizons_days, task.recipe)
        bookings, deals = came(said, self.tables, self.history, origin, as_of_us(store.until))
        return store.write(origin, task.recipe, bookings, deals, said.recipe, said.reason)


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def backtest(
    tables: Tables,
    out: Path,
    settings: Settings,
    *,
    quarters: int | None = None,
    jobs: int = 1,
    tell: Tell | None = None,
) -> Backtest:
    """Forecast the last complete quarters again, from moments inside them, and set beside it what came.

    out : finished origins are kept in `out/origins` and not done again by a later run
    quarters : how many; None takes that of the settings
    jobs : how many processes; 1 works in this one
    tell : called with what was done and the share done, for a progress bar
    Raises DataError if no quarter can be tested. An error inside an origin names it; the others that were
    being worked on are finished and kept.
    """
    say: Tell = tell or (lambda _text, _share: None)
    until = tables.default_as_of
    money = Money.from_tables(tables, settings.fit.reporting_currency)
    wanted = settings.backtest
    plan = make_plan(
        History.from_tables(tables, money),
        until,
        quarters=wanted.quarters if quarters is None else quarters,
        weeks=wanted.weeks,
        min_history_days=wanted.min_history_days,
    )
    store = Store.open(out, tables.fingerprint, until, settings.fit, wanted.horizons_days)
    done: dict[Origin, Finished] = {}
    ready: list[_Task] = []

    def add(task: _Task) -> None:
        finished = store.find(task.origin, task.recipe)
        if finished is None:
            ready.append(task)
        else:
            settle(task, finished)

    def settle(task: _Task, finished: Finished) -> None:
        done[task.origin] = finished
        for other in task.others:
            add(_Task(other, finished.recipe))

    for task in _choosing(plan, wanted.choose):
        add(task)
    found = len(done)
    sizes = _sizes(plan, wanted.choose)

    def share() -> float:
        return sum(sizes[origin] for origin in done) / sum(sizes.values())

    say(f"{found} of {len(plan.origins)} looks done before", share())
    for task, finished in _work(tables, store, ready, jobs):
        settle(task, finished)
        say(f"{len(done)} of {len(plan.origins)} looks done, last {task.origin.name}", share())
    ordered = tuple(done[origin] for origin in plan.origins)
    return Backtest(
        plan,
        until,
        store.fingerprint,
        money.reporting,
        settings,
        _together([one.bookings for one in ordered]),
        _together([one.deals for one in ordered]),
        ordered,
        found,
    )


def _choosing(plan: Plan, choose: str) -> list[_Task]:
    """The origins at which the kind of model is chosen, each with those that take it over."""
    if choose == "origin":
        return [_Task(origin, None) for origin in plan.origins]
    if choose == "once":
        return [_Task(plan.origins[0], None, plan.origins[1:])]
    quarters = [tuple(group) for _, group in groupby(plan.origins, key=lambda origin: origin.period)]
    return [_Task(group[0], None, group[1:]) for group in quarters]


def _sizes(plan: Plan, choose: str) -> dict[Origin, float]:
    choosers = {task.origin for task in _choosing(plan, choose)}
    return {origin: _CHOOSING if origin in choosers else 1.0 for origin in plan.origins}


def _together(paths: list[Path]) -> pd.DataFrame:
    frames = [pd.read_parquet(path) for path in paths]
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


# -- work -------------------------------------------------------------------------------------------------


def _work(tables: Tables, store: Store, ready: list[_Task], jobs: int) -> Iterator[tuple[_Task, Finished]]:
    """Do what is ready, and what becomes ready meanwhile; yields each as it is done."""
    if jobs == 1:
        bench = _Bench.of(tables, store)
        while ready:
            task = ready.pop(0)
            yield task, _unfailed(task, _attempt(bench, task))
        return
    if not ready:
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(tables, store))
    running: dict[Future[Finished | _Failed], _Task] = {}
    try:
        while ready or running:
            while ready:
                task = ready.pop(0)
                running[pool.submit(_in_worker, task)] = task
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                task = running[future]
                try:
                    result = _unfailed(task, future.result())
                except BrokenProcessPool as error:
                    raise ForecastError(
                        f"a worker process ended while {_names(running)} were worked on, most likely for lack "
                        "of memory; what was finished is kept: run the same command again with fewer --jobs",
                        code="worker_lost",
                    ) from error
                del running[future]
                yield task, result
    except ForecastError:
        pool.shutdown(wait=True, cancel_futures=True)  # what is being worked on is finished and kept
        raise
    except BaseException:
        # Interrupted: whoever asks for an end wants it now.
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()


def _names(running: dict[Future[Finished | _Failed], _Task]) -> str:
    names = [task.origin.name for task in running.values()]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _unfailed(task: _Task, result: Finished | _Failed) -> Finished:
    if isinstance(result, Finished):
        return result
    cause = RuntimeError(f"in {task.origin.name}:\n{result.trace}")
    kind = getattr(errors, result.kind, None)
    if kind is not None:
        raise kind(f"{task.origin.name}: {result.message}", code=result.code) from cause
    raise ForecastError(
        f"internal: {task.origin.name}: {result.kind}: {result.message}; run again with --debug and report it"
    ) from cause


def _attempt(bench: _Bench, task: _Task) -> Finished | _Failed:
    try:
        return bench.do(task)
    except ForecastError as error:
        return _Failed(type(error).__name__, error.message, error.code, traceback.format_exc())
    except Exception as error:
        return _Failed(type(error).__name__, str(error), "internal", traceback.format_exc())


_bench: _Bench | None = None  # of a worker process, set once when it starts


def _start_worker(tables: Tables, store: Store) -> None:
    global _bench  # the pool's initializer has no other way to hand something on
    # Ctrl-C reaches every process of a terminal; the parent decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _bench = _Bench.of(tables, store)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        with contextlib.suppress(OSError):
            multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _in_worker(task: _Task) -> Finished | _Failed:
    if _bench is None:
        raise RuntimeError("the worker was not started")
    return _attempt(_bench, task)
