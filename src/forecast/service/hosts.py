"""Which names the service answers to: a page in a browser that points a name of its own here gets nothing."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from forecast.service.refusals import Refusal

__all__ = ["HOSTS", "Hosts"]

HOSTS: Final = "FORECAST_HOSTS"
_HOST: Final = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^:\[\]]+))(:\d{1,5})?")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names beside those of the loopback address and the address a request came in on; `*` for any."""

    names: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Hosts:
        """From FORECAST_HOSTS: names without port, separated by commas."""
        names = environment.get(HOSTS, "").lower().split(",")
        return cls(frozenset(name.strip() for name in names) - {""})

    def check(self, given: bytes | None, scope: Mapping[str, Any]) -> None:
        """Refusal 400 without one Host header, 421 for a name that is not ours."""
        if given is None:
            raise Refusal(400, "bad_host", "send one Host header")
        name = _without_port(given.decode("latin-1").lower())
        if name in _LOOPBACK or name in self.names or "*" in self.names:
            return
        # Somebody who types our address means us; a name that was made to point here is another matter.
        server = scope.get("server")
        if server is not None and _same_address(name, str(server[0])):
            return
        raise Refusal(
            421, "unknown_host", f"this service does not answer to that name; {HOSTS} lists its names"
        )


def _without_port(host: str) -> str:
    """The name or address in a Host header; empty for one that is malformed."""
    found = _HOST.fullmatch(host)
    return "" if found is None else (found["address"] or found["name"])


def _same_address(name: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(address)
    except ValueError:
        return False
