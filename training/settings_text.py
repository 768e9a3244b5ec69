"""Settings as the text of a TOML file that `read_settings` reads back the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["as_toml"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def as_toml(sections: Mapping[str, Mapping[str, Any]], comments: Mapping[str, str] | None = None) -> str:
    """Sections of plain values, each key on a line.

    comments : `section.key` -> what stands above it
    """
    parts = []
    for section, keys in sections.items():
        if not keys:
            continue
        parts.append(f"[{section}]")
        for key, value in keys.items():
            comment = (comments or {}).get(f"{section}.{key}")
            parts += [f"# {line}" for line in (comment or "").splitlines()]
            parts.append(f"{_key(key)} = {_value(value)}")
        parts.append("")
    return "\n".join(parts)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    # TOML's basic strings are JSON's, but for DEL, which it wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)
