"""A company unlike the simulator's: written as plain text, so that it shares no code with what reads it.

Two pipelines with names of their own, no BANT anywhere, no leads, changes recorded in one batch a week, and
moments written with the offset of whoever's machine wrote them. Its deals follow a plain rule: each week a
deal moves on, stays or is lost, and referred deals are three times as likely to move.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any, Final

__all__ = ["OTHER_AS_OF", "Rows", "as_csv", "invent", "write_rows"]

# table -> rows; every row of a table has the same keys in the same order
Rows = dict[str, list[dict[str, Any]]]

OTHER_AS_OF: Final = datetime(2025, 7, 1, tzinfo=UTC)
_FIRST_BATCH: Final = datetime(2023, 7, 3, 2, 30, tzinfo=UTC)
_ZONES: Final = [timezone(timedelta(minutes=minutes)) for minutes in (0, 120, -180, 330, 765)]
_FUNNELS: Final = {
    "Neukunden": ("Erstkontakt", "Angebot", "Verhandlung", "gewonnen", "verloren"),
    "rinnovi 2.0": ("in scadenza", "offerta inviata", "rinnovato", "disdetta"),
}
_SELLERS: Final = {"001": "Süd", "1": "Süd", "NA": "Nord", "o'neil": "Nord", "日本": ""}


def invent(deals: int = 300, seed: int = 3) -> Rows:
    """Rows of stages, deals, deal_events, activities, users and quotas."""
    random = Random(seed)  # noqa: S311  (no secret)
    rows: Rows = {name: [] for name in ("stages", "deals", "deal_events", "activities", "users", "quotas")}
    for pipeline, names in _FUNNELS.items():
        for place, stage in enumerate(names):
            kind = {len(names) - 2: "won", len(names) - 1: "lost"}.get(place, "open")
            rows["stages"].append(
                {"stage": stage, "pipeline": pipeline, "kind": kind, "position": 10 * (place + 1)}
            )
    # After signing, a renewal goes on to a stage that is won as well.
    rows["stages"].append({"stage": "fatturato", "pipeline": "rinnovi 2.0", "kind": "won", "position": 35})
    for user, team in _SELLERS.items():
        rows["users"].append({"user_id": user, "team": team, "region": "DACH" if team else ""})
        for quarter in range(1, 5):
            rows["quotas"].append(
                {"level": "user", "entity": user, "period": f"2025Q{quarter}", "amount": 60_000}
            )
    for number in range(deals):
        _add_deal(rows, number, random)
    return rows


def _add_deal(rows: Rows, number: int, random: Random) -> None:
    pipeline = "Neukunden" if random.random() < 0.7 else "rinnovi 2.0"
    names = _FUNNELS[pipeline]
    stages, won, lost = names[:-2], names[-2], names[-1]
    week, zone = random.randrange(104), random.choice(_ZONES)
    deal_id, owner = f"{number:05d}", random.choice(list(_SELLERS))
    source = random.choice(("Empfehlung", "Messe", "kalt, gekauft"))
    amount = round(random.lognormvariate(9.2, 0.7), 2)
    rows["deals"].append(
        {
            "deal_id": deal_id,
            "created_at": _moment(week, zone, minutes=-random.randrange(5 * 1440)),
            "pipeline": pipeline,
            "motion": "renewal" if pipeline != "Neukunden" else "new",
            "source": source,
            "owner_id": owner,
            "amount": amount,
            "currency": "CHF",
            "Sitz der Firma": random.choice(("Zürich", "Genève", 'Basel "Stadt"')),
        }
    )

    def record(field: str, value: Any) -> None:
        rows["deal_events"].append(
            {"recorded_at": _moment(week, zone), "deal_id": deal_id, "field": field, "value": value}
        )

    record("stage", stages[0])
    record("amount", amount)
    at, pace = 0, 0.12 if source == "Empfehlung" else 0.04
    while week < 104:
        week += 1
        if week >= 104:
            break
        if random.random() < 0.3:
            rows["activities"].append(
                {"deal_id": deal_id, "occurred_at": _moment(week, zone, minutes=-700), "kind": "call"}
            )
        throw = random.random()
        if throw < pace:
            at += 1
            record("stage", stages[at] if at < len(stages) else won)
            if at == len(stages):
                if pipeline != "Neukunden" and week < 100:
                    week += 2
                    record("stage", "fatturato")
                return
        elif throw > 0.97:
            record("stage", lost)
            return
        elif throw > 0.94:
            amount = round(amount * random.uniform(0.8, 1.1), 2)
            record("amount", amount)


def _moment(week: int, zone: timezone, minutes: int = 0) -> str:
    moment = _FIRST_BATCH + timedelta(weeks=week, minutes=minutes)
    return moment.astimezone(zone).isoformat()


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as the text of a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_rows(folder: Path, rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> Path:
    """A folder of CSV files; a table without a row is left out."""
    folder.mkdir(parents=True)
    for table, its_rows in rows.items():
        if chosen := list(its_rows):
            (folder / f"{table}.csv").write_text(as_csv(chosen), encoding="utf-8", newline="")
    return folder
