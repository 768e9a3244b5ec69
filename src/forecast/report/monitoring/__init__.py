"""The page of a monitor: whether a bundle is still right, in words and pictures."""

from forecast.report.monitoring.facts import monitoring_facts
from forecast.report.monitoring.phrases import MonitoringPhrases, monitoring_words

__all__ = ["MonitoringPhrases", "monitoring_facts", "monitoring_words", "render_monitoring"]


def render_monitoring(facts: dict[str, object]) -> str:
    """One self-contained HTML text; see `forecast.report.monitoring.page.render`."""
    # Drawing loads altair and its renderer; whoever only wants the facts does not wait for them.
    from forecast.report.monitoring.page import render

    return render(facts)
