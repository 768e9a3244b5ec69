"""Measurements of Forecast itself: each module is a script that prints its table."""
