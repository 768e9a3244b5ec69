"""Facts in a few words each: who, which stage, why. The page and the terminal share them."""

from __future__ import annotations

import json
from typing import Final

from forecast.report.facts.plain import Fact
from forecast.report.words import Words

__all__ = ["Phrases"]

_UNASSIGNED: Final = "unassigned"
_RUNGS: Final = {"linear": "footer.rung_linear", "aalen-johansen": "footer.rung_stage_rates"}
_LEAST_EFFECT: Final = 0.0005  # a smaller one would be shown as 0.0 points
_LINES: Final = 3  # of one deal
# What a sign of the record says already, the model need not say again.
_SAID_BY: Final = {
    "overdue": ("overdue", "days_to_close"),
    "silent": ("silence_days",),
    "quiet": ("silence_days",),
    "unanswered": ("inbound_30d",),
    "pushed": ("times_pushed", "days_pushed"),
    "closes": ("days_to_close",),
    "age": ("age_days",),
}


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
        """One of the model's reasons, e.g. `Open for 171 days: −9 points, −€2.1k`."""
        text, f = _first_upper(reason["text"]), self.words.formats
        points, money = f.points(reason["effect"]), reason["bookings_effect"]
        if money is None:
            return self.words("reason.points", text=text, points=points)
        return self.words("reason.points_and_money", text=text, points=points, money=f.change(money))

    def why(self, deal: Fact) -> str:
        """One line on a deal: its most telling sign, else the strongest reason, else the likely date."""
        if deal["signals"]:
            return _first_upper(self.signal(deal["signals"][0]))
        if deal["reasons"] and abs(deal["reasons"][0]["effect"] or 0.0) >= _LEAST_EFFECT:
            return self.reason(deal["reasons"][0])
        return self.words("signal.expected", date=self.words.formats.date(deal["close_on_p50"]))

    def details(self, deal: Fact, *, on: str) -> list[str]:
        """A few lines on a deal: what the record shows, why the model thinks so, and what to ask.

        on : on which list it stands; deals to drop start with their age, and like those at risk give no good
            reasons
        """
        said = [signal["kind"] for signal in deal["signals"][: _LINES - 1]]
        lines = self.signals(deal, most=_LINES - 1)
        if on == "ever":
            said, lines = ["age", *said[:1]], [self.words("deals.age", n=deal["age_days"]), *lines[:1]]
        if deal["undecided"]:
            # The mark comes on top of the lines a deal always has.
            chance = self.words.formats.percent(deal["no_decision"])
            lines = [self.words("deals.undecided", chance=chance), *lines]
        repeated = {feature for kind in said for feature in _SAID_BY[kind]}
        fitting = [
            reason
            for reason in deal["reasons"]
            if reason["feature"] not in repeated
            and abs(reason["effect"]) >= _LEAST_EFFECT
            and (on not in ("risk", "ever") or reason["effect"] < 0)
        ]
        room = _LINES + bool(deal["undecided"]) - len(lines)
        lines += [self.reason(reason) for reason in fitting[:room]]
        if deal["question"] is not None:
            lines.append(deal["question"]["text"])
        return [_first_upper(line) for line in lines]

    def decides(self, deal: Fact, level: str) -> str:
        """A deal on which a quota hinges, e.g. `D-1042 (Ana Rossi, €24k): +12 pts`; people know whose."""
        f = self.words.formats
        shown = {
            "deal": deal["deal_id"],
            "amount": f.compact(deal["amount_if_won"]),
            "points": f.points(deal["effect"]),
        }
        if level == "user":
            return self.words("deals.decides_own", **shown)
        return self.words("deals.decides", owner=self.owner(deal["owner"]), **shown)

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


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]
