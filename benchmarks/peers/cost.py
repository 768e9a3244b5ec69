"""What a forecaster costs: CPU time and memory of its own, measured in a process of its own.

A forked child holds the same data as its parent without copying it. Whatever its memory grows by is the
forecaster's, and ends with it; CPU time is that of the child alone, whatever else the machine does. Linux and
macOS only: there is no fork elsewhere.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.machine import peak_gigabytes
from forecast.arrays import Floats

__all__ = ["Cost", "Measured", "measure_apart"]


@dataclass(frozen=True)
class Cost:
    """fit_seconds : CPU time; predict_ms : CPU time for 1,000 deals; peak_mb : memory on top of the data's"""

    fit_seconds: float
    predict_ms: float
    peak_mb: float


@dataclass(frozen=True)
class Measured:
    """curve : (n, H) what was asked for; cost; note : what a reader must know; error : why there is no curve"""

    curve: Floats
    cost: Cost
    note: str = ""
    error: str = ""


def measure_apart(
    fit: Callable[[], Any],
    timed: Callable[[Any], tuple[Floats, str]],
    asked: Callable[[Any], Floats],
    *,
    fork: bool = True,
) -> Measured:
    """Fit, predict against the clock, and answer the questions, in a child with one thread.

    timed : gives the (n, ...) predictions that are timed, and a note
    asked : gives the (n, H) answer that is kept, not timed
    fork : False does it here, and memory is what the whole process has grown by

    A forecaster that fails is an answer, too: its error in a line, and no curve.
    """

    def work() -> Measured:
        before_gb, begun = peak_gigabytes(), time.process_time()
        try:
            with threadpool_limits(limits=1):
                fitted = fit()
                fitted_at = time.process_time()
                first, note = timed(fitted)
                done = time.process_time()
                curve = asked(fitted)
        except Exception as error:  # whatever a library may raise is told in its row
            return Measured(np.empty((0, 0)), _NOTHING, error=_last_line(error))
        cost = Cost(
            fitted_at - begun,
            (done - fitted_at) / max(len(first), 1) * 1e6,
            (peak_gigabytes() - before_gb) * 1024,
        )
        return Measured(curve, cost, note)

    if not fork:
        return work()
    here, there = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_send, args=(there, work))
    with warnings.catch_warnings():
        # Python 3.12 warns of forking beside threads. Those here are idle pools of linear algebra, which the
        # child does not touch: it starts its own.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    there.close()
    try:
        found: Measured = here.recv()
    except EOFError:
        found = Measured(np.empty((0, 0)), _NOTHING, error="the process was ended from outside")
    child.join()
    return found


_NOTHING = Cost(float("nan"), float("nan"), float("nan"))


def _send(there: Connection, work: Callable[[], Measured]) -> None:
    there.send(work())
    there.close()


def _last_line(error: Exception) -> str:
    return traceback.format_exception_only(error)[-1].strip().splitlines()[0][:200]
