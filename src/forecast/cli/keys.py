"""`forecast keys`: make, list and revoke the keys of the HTTP service that the ledger keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from forecast.access import EVERYTHING, ROLES, Role, Scope
from forecast.cli.ledger import ledger_option, now_us, open_ledger

if TYPE_CHECKING:
    from forecast.ledger import StoredKey

__all__ = ["command"]

_EPILOG: Final = """\b
Examples:
  forecast keys create --name "CRM, nightly" --role score
  forecast keys create --name "Manager North" --role manager --scope team:North --expires-on 2027-01-31
  forecast keys list
  forecast keys revoke 3f9a0c51b2d4
"""


@click.group("keys", epilog=_EPILOG)
def command() -> None:
    """Keys of the HTTP service, kept in the ledger as hashes."""


@command.command("create", epilog="Example: forecast keys create --name CRM --role score")
@click.option("--name", required=True, help="What lists show: whose key it is, or of which system.")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What it may do (docs/ledger.md).")
@click.option("--scope", default="all", show_default=True, help="all, own:USER_ID or team:NAME.")
@click.option(
    "--rows-per-minute", type=click.IntRange(min=1), help="Deals and leads it may have computed in a minute."
)
@click.option("--expires-on", metavar="DAY", help="The day, UTC, from whose beginning it is no longer known.")
@ledger_option
def create(
    name: str, role: Role, scope: str, rows_per_minute: int | None, expires_on: str | None, ledger: str | None
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    from forecast.periods import as_of_us, parse_as_of

    allowed = EVERYTHING if scope == "all" else Scope.parse(scope)
    ends_us = None if expires_on is None else as_of_us(parse_as_of(expires_on))
    with open_ledger(ledger) as kept:
        made = kept.create_key(
            name, role, allowed, rows_per_minute=rows_per_minute, expires_at_us=ends_us, now_us=now_us()
        )
        where = kept.place
    # The key alone on standard output, so that a script can take it.
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"key {made.id} made in {where}: role {role}, scope {allowed}. It is shown this once; keep it safe:",
        markup=False,
    )
    click.echo(made.token)


@command.command("list", epilog="Example: forecast keys list")
@ledger_option
def show(ledger: str | None) -> None:
    """List all keys: who has them and what they may do, never the keys themselves."""
    from rich.table import Table

    with open_ledger(ledger) as kept:
        stored = kept.stored_keys()
    table = Table(box=None, pad_edge=False)
    for heading in ("Id", "Name", "Role", "Scope", "Rows/min", "Made", "Until", "State"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "Name")
    for key in stored:
        table.add_row(
            key.id,
            _plain(key.name),
            key.role,
            _plain(str(key.scope)),
            "" if key.rows_per_minute is None else f"{key.rows_per_minute:,}",
            _day(key.made_at_us),
            "" if key.expires_at_us is None else _day(key.expires_at_us),
            _state(key),
        )
    if stored:
        Console(highlight=False, markup=False, soft_wrap=True).print(table)
    else:
        click.echo("no keys; make one with: forecast keys create --name NAME --role ROLE")


@command.command("revoke", epilog="Example: forecast keys revoke 3f9a0c51b2d4")
@click.argument("key", metavar="ID")
@ledger_option
def revoke(key: str, ledger: str | None) -> None:
    """Revoke a key for good. Services that run refuse it within 5 seconds."""
    with open_ledger(ledger) as kept:
        fresh = kept.revoke_key(key, now_us=now_us())
    click.echo(f"key {key} is revoked" if fresh else f"key {key} had been revoked before")


def _state(key: StoredKey) -> str:
    if key.revoked_at_us is not None:
        return f"revoked {_day(key.revoked_at_us)}"
    return "in use" if key.lets_in(now_us()) else "expired"


def _day(at_us: int) -> str:
    from forecast.periods import to_timestamp

    return f"{to_timestamp(at_us):%Y-%m-%d}"


def _plain(text: str) -> str:
    """Without what would change how a terminal shows the rest."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
