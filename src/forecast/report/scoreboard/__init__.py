"""The page of a back-test: who came how near to what came.

facts of training.backtest ──► page.py ──► one HTML file, without outside requests, in English or Italian
"""

from forecast.report.scoreboard.page import render

__all__ = ["render"]
