"""An invented company to try things on, with the truth beside it (docs/simulator.md)."""

from forecast.simulator.calendar import Shift
from forecast.simulator.leaks import LEAKS, LOOKALIKES
from forecast.simulator.simulation import Simulation, simulate

__all__ = ["LEAKS", "LOOKALIKES", "Shift", "Simulation", "simulate"]
