"""Facts in a few words each: who, which stage, why. The page and the terminal share them."""

from __future__ import annotations

import json
import math
from typing import Final

from forecast.report.facts.plain import Fact
from forecast.report.words import Words

__all__ = ["Phrases"]

_UNASSIGNED: Final = "unassigned"
_RUNGS: Final = {"linear": "footer.rung_linear", "aalen-johansen": "footer.rung_stage_rates"}
_LEAST_EFFECT: Final = 0.0005  # a smaller one would be shown as 0.0 points
# Features in days whose label does not say so.
_BARE_DAYS: Final = ("age_days",)
_BANT: Final = ("budget", "authority", "need", "timeline")


class Phrases:
    """Short plain texts in one language."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def owner(self, person: Fact | None) -> str:
        """A name; the id of somebody the users table does not know; `nobody`."""
        if person is None:
            return self.words("deals.nobody")
        return person["name"] or self.words("deals.not_listed", id=person["id"])

    def entity(self, line: Fact) -> str:
        """The name of a region, team or user of the roll-up."""
        if line["entity"] == _UNASSIGNED:
            return self.words("groups.unassigned")
        return str(line["name"] or line["entity"])

    def stage(self, line: Fact, pipelines: int) -> str:
        """A stage, with its pipeline where there are several."""
        return str(line["stage"]) if pipelines <= 1 else f"{line['pipeline']} · {line['stage']}"

    def signal(self, signal: Fact) -> str:
        """E.g. `silent for 34 days`."""
        kind, days = signal["kind"], signal.get("days")
        if kind == "pushed":
            return self.words("signal.pushed", times=signal["times"], n=days)
        if kind == "closes" and days == 0:
            return self.words("signal.closes_today")
        return self.words(f"signal.{kind}", n=days)

    def signals(self, deal: Fact, most: int = 3) -> list[str]:
        """What the record of a deal shows, the most telling first."""
        return [self.signal(signal) for signal in deal["signals"][:most]]

    def reason(self, reason: Fact) -> str:
        """One of the model's reasons, e.g. `Age of the deal (171 days): −9 points`."""
        label, points = _first_upper(reason["label"]), self.words.formats.points(reason["effect"])
        value = self._value(reason)
        if value is None:
            return self.words("reason.bare", label=label, points=points)
        return self.words("reason.with_value", label=label, value=value, points=points)

    def why(self, deal: Fact) -> str:
        """One line on a deal: its most telling sign, else the strongest reason, else the likely date."""
        if deal["signals"]:
            return _first_upper(self.signal(deal["signals"][0]))
        if deal["reasons"] and abs(deal["reasons"][0]["effect"] or 0.0) >= _LEAST_EFFECT:
            return self.reason(deal["reasons"][0])
        return self.words("signal.expected", date=self.words.formats.date(deal["close_on_p50"]))

    def details(self, deal: Fact, *, on: str) -> list[str]:
        """A few lines on a deal: what the record shows, and where that is little, why the model thinks so.

        on : on which list it stands; old deals start with their age, deals at risk give no good reasons
        """
        lines = [self.words("deals.age", n=deal["age_days"])] if on == "ever" else []
        lines += self.signals(deal, most=3 - len(lines))
        fitting = [reason for reason in deal["reasons"] if on != "risk" or (reason["effect"] or 0.0) < 0]
        if len(lines) < 2 and fitting:
            lines.append(self.reason(fitting[0]))
        return [_first_upper(line) for line in lines]

    def rung(self, provenance: Fact) -> str:
        """What kind of model this is, and why no finer one."""
        name = provenance["rung"]
        if name == "aalen-johansen" and provenance["rung_compared"]:
            return self.words("footer.rung_stage_rates_better")
        return self.words(_RUNGS[name]) if name in _RUNGS else str(name)

    def left_out(self, provenance: Fact) -> str:
        """Every row and amount that is in no number of the page."""
        parts = []
        quarantined = provenance["quarantined"]
        if quarantined is None:
            parts.append(self.words("footer.quarantined_unknown"))
        elif quarantined:
            tables = ", ".join(f"{name} {self.words.formats.integer(n)}" for name, n in quarantined.items())
            parts.append(self.words("footer.quarantined", n=sum(quarantined.values()), tables=tables))
        else:
            parts.append(self.words("footer.quarantined_none"))
        missing = provenance["unconverted"]
        parts.append(
            self.words("footer.unconverted", n=missing) if missing else self.words("footer.unconverted_none")
        )
        if provenance["unknown_amounts"]:
            parts.append(self.words("footer.unknown_amounts", n=provenance["unknown_amounts"]))
        return "; ".join(parts)

    def settings(self, settings: Fact) -> str:
        """The settings of the fit as `name = value`, as in the settings file."""
        return ", ".join(
            f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in sorted(settings.items())
        )

    def _value(self, reason: Fact) -> str | None:
        """A feature's value as a reader writes it; None where a value would say nothing."""
        value, f = reason["value"], self.words.formats
        if value is None:
            return self.words("reason.unknown")
        if isinstance(value, str):
            return value
        unit, kind = reason["unit"], reason["kind"]
        if kind == "flag":
            return self.words("reason.yes" if value else "reason.no")
        if kind == "number":
            return None
        if unit == "amount":
            return f.compact(value)
        if reason["feature"] in _BANT:
            return self.words(
                "reason.absent" if value <= 0 else "reason.confirmed" if value >= 1 else "reason.partly"
            )
        if unit == "share":
            return f.percent(value)
        if unit == "days" and kind == "signed":
            return f.integer(math.ceil(value))  # whole days to a date, which begins at midnight
        if unit == "days" and reason["feature"] in _BARE_DAYS:
            return self.words("pipeline.days", n=round(value))
        return f.integer(value) if unit == "days" or float(value).is_integer() else f.decimal(value)


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]
