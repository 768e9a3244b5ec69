"""A monitor's findings in sentences, for the page and the terminal."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from forecast.features import label
from forecast.features.registry import is_built_in
from forecast.language import formats_of
from forecast.report.facts.plain import Fact
from forecast.report.words import Words

__all__ = ["MonitoringPhrases", "monitoring_words"]

_SHARES: Final = ("missing", "missing_new")
_AMOUNTS: Final = ("signed", "bookings")


def monitoring_words(facts: Fact) -> Words:
    """The words of a monitor in the language of its facts."""
    return Words(formats_of(facts["locale"], facts["currency"]), "monitoring/words")


class MonitoringPhrases:
    """Sentences in the language of the words."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def headline(self, facts: Fact) -> Markup:
        """What to do, in a few words."""
        return self.words.html(_HEADS[facts["verdict"]["action"]])

    def lead(self, facts: Fact) -> list[Markup]:
        """Why, and what it would cost to wait."""
        verdict, words = facts["verdict"], self.words
        found = []
        if facts["reasons"]:
            found.append(Markup("{}.").format(_upper(self.reason(facts["reasons"][0]))))
        elif verdict["enough"]:
            found.append(words.html("monitor.keep_lead"))
        if not verdict["enough"]:
            found.append(words.html("monitor.few_lead"))
        if verdict["since"] is not None:
            found.append(words.html("monitor.since", date=words.formats.date(verdict["since"])))
        if verdict["action"] == "retrain" and verdict["effect"] is not None:
            found.append(self._cost(verdict))
        return found

    def _cost(self, verdict: Fact) -> Markup:
        f = self.words.formats
        effect, quarter = verdict["effect"], f.period(verdict["quarter"])
        if abs(effect) < 1.0:
            return self.words.html("monitor.cost_none", quarter=quarter)
        key = "monitor.cost_less" if effect < 0 else "monitor.cost_more"
        return self.words.html(key, quarter=quarter, amount=f.compact(abs(effect)))

    def reason(self, reason: Fact) -> str:
        """One reason as a sentence without its full stop."""
        kind, subject, f, words = reason["kind"], reason["subject"], self.words.formats, self.words
        if kind == "question":
            shown = {name: f.percent(reason[name]) for name in ("low", "high")}
            if subject in ("wins", "losses", "created", "pace"):
                ratio = f"{f.points((reason['ratio'] or 1.0) - 1.0)}%"
                shown |= {"came": f.integer(reason["came"]), "expected": f.integer(reason["expected"])}
                return words(f"monitor_reason.{subject}", ratio=ratio, **shown)
            if subject in ("spread", "size"):
                shown = {name: f.decimal(reason[name], 2) for name in ("low", "high")}
            return words(f"monitor_reason.{subject}", **shown)
        if kind == "segment":
            return words(
                f"monitor_reason.segment_{reason['cause']}",
                by=words(f"monitor_by.{reason['by']}"),
                value=subject,
                came=f.integer(reason["came"]),
                expected=f.integer(reason["expected"]),
            )
        if kind in ("new_value", "new_stage"):
            return words(
                f"monitor_reason.{kind}",
                **({"field": self.field(subject)} if kind == "new_value" else {}),
                value=reason["value"],
                deals=f.integer(reason["deals"]),
                share=f.percent(reason["share"]),
            )
        if kind == "bookings":
            shown = {name: f.compact(reason[name]) for name in ("came", "low", "high")}
            return words("monitor_reason.bookings", period=f.period(subject), **shown)
        if kind == "season":
            shown = {name: f.integer(reason[name]) for name in ("came", "expected")}
            return words("monitor_reason.season", **shown)
        if kind == "age":
            return words("monitor_reason.age", days=f.integer(reason["days"]))
        values = {
            name: f.percent(reason[name])
            if kind in _SHARES
            else f.integer(reason[name])
            if kind == "writes"
            else f.decimal(reason[name], 2)
            for name in ("value", "usual")
        }
        return words(f"monitor_reason.{kind}", field=self.field(subject), **values)

    def field(self, name: str) -> str:
        """An input in words."""
        if is_built_in(name):
            return label(name, self.words.formats.locale)
        own = f"monitor_field.{name}"
        return self.words(own) if own in self.words else name.removeprefix("custom:")

    def part(self, name: str) -> str:
        """A question in words."""
        return self.words(f"monitor_part.{name}")

    def count(self, question: Fact, which: str) -> str:
        """What came, or was expected, of a question: amounts in short, counts whole."""
        f = self.words.formats
        if question["name"] in _AMOUNTS:
            return f.compact(question[which])
        return f.integer(question[which])

    def evidence(self, value: float) -> str:
        """Evidence in two or three digits."""
        f = self.words.formats
        return f.integer(value) if value >= 100 or value == round(value) else f.decimal(value, 1)


_HEADS: Final = {
    "keep": "monitor.keep",
    "look": "monitor.look",
    "fix": "monitor.fix",
    "retrain": "monitor.retrain",
}


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
