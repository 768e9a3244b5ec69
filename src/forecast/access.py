"""What a key may do: a role says which routes, a scope whose deals. Known to the ledger and to the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from forecast.errors import UsageError

__all__ = ["EVERYTHING", "ROLES", "Access", "Role", "Scope", "ScopeKind"]

Role = Literal["score", "user", "manager", "admin"]
ScopeKind = Literal["own", "team", "all"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose deals and forecasts may be read.

    entity : the user_id of scope `own`, the team's name of scope `team`, None of scope `all`
    """

    kind: ScopeKind
    entity: str | None = None

    def __post_init__(self) -> None:
        if (self.kind == "all") != (self.entity is None):
            raise ValueError("scope `all` has no entity, `own` and `team` have one")

    @classmethod
    def parse(cls, text: str) -> Scope:
        """From `all`, `own:USER_ID` or `team:NAME`; UsageError for anything else."""
        kind, _, entity = text.partition(":")
        if text == "all":
            return EVERYTHING
        if kind == "own" and entity.strip():
            return cls("own", entity)
        if kind == "team" and entity.strip():
            return cls("team", entity)
        raise UsageError(f"scope {text!r}: expected all, own:USER_ID or team:NAME", code="bad_scope")

    def __str__(self) -> str:
        return self.kind if self.entity is None else f"{self.kind}:{self.entity}"


EVERYTHING: Final = Scope("all")


@dataclass(frozen=True, slots=True)
class Access:
    """A key that was recognised.

    key : its public name for logs and the ledger; says nothing about the secret
    rows_per_minute : how many deals and leads it may have computed in a minute; None for no limit
    """

    key: str
    role: Role
    scope: Scope = EVERYTHING
    rows_per_minute: int | None = None
