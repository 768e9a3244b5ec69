"""JSON as RFC 8259 has it, and nothing more: what Python's reader forgives is refused here."""

from __future__ import annotations

import json
from typing import Any, Final

from forecast.service.refusals import Refusal

__all__ = ["dumps", "loads"]


_encode: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


class _DuplicateKeyError(ValueError):
    pass


class _NotFiniteError(ValueError):
    pass


def loads(body: bytes) -> Any:
    """Parse a request body.

    Refused with 400: not UTF-8, a byte order mark, not JSON, NaN or Infinity, an object with the same key
    twice (readers differ in which one wins), nesting too deep to read. Numbers beyond a double arrive as
    infinity and are refused by the field that holds them.
    """
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError:
        raise Refusal(400, "bad_json", "the body is not UTF-8") from None
    except _DuplicateKeyError:
        raise Refusal(400, "duplicate_key", "an object in the body has the same key twice") from None
    except _NotFiniteError:
        raise Refusal(400, "not_finite", "NaN and Infinity are no JSON; send null for unknown") from None
    except RecursionError:
        raise Refusal(400, "too_deep", "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Refusal(400, "bad_json", f"the body is not JSON: it breaks at {where}") from None
    except ValueError:
        # Python refuses to read an integer of more than 4,300 digits.
        raise Refusal(400, "bad_number", "the body has a number with too many digits") from None


def dumps(answer: Any) -> bytes:
    """Compact JSON. A NaN or an infinity here is a fault of ours and raises ValueError."""
    return _encode(answer).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateKeyError
    return found


def _constant(_: str) -> Any:
    raise _NotFiniteError
