"""Which paths there are, what each takes, and which roles may use it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from forecast.access import ROLES, Role

__all__ = ["MAY", "PROBES", "ROUTES", "Place", "place_of"]

PROBES: Final = ("/livez", "/readyz", "/healthz")

_DEAL: Final = "/v1/deals/{deal_id}"
_JUDGEMENTS: Final = "/v1/deals/{deal_id}/judgements"
_ANYBODY: Final = frozenset(ROLES)
_COMPUTE: Final[frozenset[Role]] = frozenset({"score", "admin"})
_READ: Final[frozenset[Role]] = frozenset({"user", "manager", "admin"})
_JUDGE: Final[frozenset[Role]] = frozenset({"manager", "admin"})
_OPERATE: Final[frozenset[Role]] = frozenset({"admin"})

# Path -> method -> roles. HEAD goes with every GET; probes ask for no key and so for no role.
MAY: Final[dict[str, dict[str, frozenset[Role]]]] = {
    "/v1/score": {"POST": _COMPUTE},
    "/v1/score/bulk": {"POST": _COMPUTE},
    "/v1/leads/score": {"POST": _COMPUTE},
    "/v1/forecast": {"GET": _READ, "HEAD": _READ, "POST": _COMPUTE},
    _DEAL: {"GET": _READ, "HEAD": _READ},
    _JUDGEMENTS: {"POST": _JUDGE},
    "/v1/model": {"GET": _ANYBODY, "HEAD": _ANYBODY},
    "/metrics": {"GET": _OPERATE, "HEAD": _OPERATE},
    "/docs.json": {"GET": _ANYBODY, "HEAD": _ANYBODY},
    **{path: {"GET": _ANYBODY, "HEAD": _ANYBODY} for path in PROBES},
}
ROUTES: Final[dict[str, tuple[str, ...]]] = {path: tuple(methods) for path, methods in MAY.items()}
_OF_DEAL: Final = re.compile(rb"/v1/deals/([^/]{1,4096})(/judgements)?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: the path as ROUTES has it, and the deal it names."""

    path: str
    deal_id: str | None = None


def place_of(path: str, raw_path: bytes | None) -> Place | None:
    """The route of a path; None for none.

    raw_path : the path as it was sent; a deal's id is decoded from it exactly once, `%2F` included
    """
    if path in MAY and "{" not in path:
        return Place(path)
    found = _OF_DEAL.fullmatch(raw_path if raw_path is not None else path.encode())
    if found is None:
        return None
    try:
        deal_id = unquote_to_bytes(found[1]).decode()
    except UnicodeDecodeError:
        return None
    return Place(_DEAL if found[2] is None else _JUDGEMENTS, deal_id)
