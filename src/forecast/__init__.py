"""Forecast: what a sales organisation will book, how sure that is, and which deals decide it."""

__version__ = "0.1.0"
