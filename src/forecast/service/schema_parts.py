"""What JSON schemas are made of: the pieces that more than one of them needs."""

from __future__ import annotations

from typing import Any, Final

from forecast.service.values import MAX_ID, MAX_NUMBER, MOMENT, PERIOD

__all__ = [
    "DAY", "DAY_OUT", "ID", "MOMENT_IN", "MOMENT_OUT", "MONEY", "MONEY_OUT", "NAME", "PERIOD_IN", "SHARE",
    "Schema", "list_of", "object_of", "or_null", "ref",
]  # fmt: skip

Schema = dict[str, Any]


def or_null(schema: Schema) -> Schema:
    """The same, or null for unknown."""
    return {**schema, "type": [schema["type"], "null"]}


def object_of(properties: dict[str, Schema], required: tuple[str, ...], text: str, **more: Any) -> Schema:
    """An object of these properties and no others; `text` describes it."""
    return {
        "type": "object",
        "description": text,
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def ref(name: str) -> Schema:
    """A schema of the document by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(name: str, most: int | None = None) -> Schema:
    """A list of objects of one schema."""
    return {"type": "array", "items": ref(name), **({} if most is None else {"maxItems": most})}


ID: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": r"\S"}
MOMENT_IN: Final[Schema] = {
    "type": "string",
    "pattern": f"^{MOMENT}$",
    "description": "ISO 8601 with a zone, years 1970 to 2199",
}
MOMENT_OUT: Final[Schema] = {"type": "string", "format": "date-time"}
DAY: Final[Schema] = {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
DAY_OUT: Final[Schema] = {"type": ["string", "null"], "format": "date"}
MONEY: Final[Schema] = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
MONEY_OUT: Final[Schema] = {"type": ["number", "null"]}
SHARE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1}
NAME: Final[Schema] = {"type": ["string", "null"], "maxLength": MAX_ID}
PERIOD_IN: Final[Schema] = {
    "type": "string",
    "pattern": f"^{PERIOD}$",
    "description": "2026Q1, 2026-01 or 2026",
}
