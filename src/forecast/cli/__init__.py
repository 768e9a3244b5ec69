"""The `forecast` command. Each command lives in the module of its name and is loaded only when called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from rich.console import Console

from forecast import __version__
from forecast.errors import ForecastError, OutputError

__all__ = ["LazyCommands", "cli", "main", "run"]

_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "check": ("check", "Read a data folder and say what is wrong with it."),
    "sample": ("sample", "Write the history of an invented company to try things on."),
    "score": ("score", "Score every open deal: will it be won, when, for how much, and why."),
    "roll-up": ("roll_up", "Add up bookings for a period by user, team, region and company."),
    "report": ("report", "Write a manager's report for a period as one HTML file."),
    "show": ("show", "Print the answer for a period on one screen."),
    "verify": ("verify", "Check a published file or a bundle against what it was made from."),
    "publish": ("publish", "Keep scores and forecasts of a moment in the ledger, for the service to show."),
    "keys": ("keys", "Make, list and revoke keys of the HTTP service."),
    "erase": ("erase", "Erase a person, an account, a deal or what is too old."),
    "serve": ("serve", "Answer a CRM over HTTP."),
    "rollback": ("rollback", "Let the bundle before the last promotion serve again."),
    "doctor": ("doctor", "Check everything the service promises, and say what to do."),
}


class LazyCommands(click.Group):
    """A group whose commands are imported when they are used: help needs no import of pandas.

    package : where the modules are; each exposes its click command as `command`
    commands_of : command name -> (module, help line)
    """

    def __init__(
        self, *args: Any, package: str, commands_of: Mapping[str, tuple[str, str]], **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.package = package
        self.commands_of = commands_of

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's interface)
        return list(self.commands_of)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  (click's interface)
        if cmd_name not in self.commands_of:
            return None
        module = importlib.import_module(f"{self.package}.{self.commands_of[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  (click's interface)
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.commands_of.items()])


@click.group(
    cls=LazyCommands,
    package="forecast.cli",
    commands_of=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="forecast")
@click.option("--debug", is_flag=True, help="Show the full traceback of an error.")
def cli(debug: bool) -> None:
    """What will we book next quarter, how sure is that, and which deals decide it?"""
    if debug:
        os.environ["FORECAST_DEBUG"] = "1"


def run(command: click.Command, args: Sequence[str] | None, prog_name: str) -> int:
    """Run a click command and turn expected errors into one line and an exit code (docs/cli.md)."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    debug = "--debug" in (sys.argv[1:] if args is None else args) or os.environ.get("FORECAST_DEBUG") == "1"
    try:
        outcome: Any = command.main(args=args, prog_name=prog_name, standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else prog_name
        console.print(f"[bold red]error:[/] {_escape(error.format_message())} See `{path} --help`.")
        return 2
    except BrokenPipeError:
        # Whoever read our output has read enough (`forecast show | head`).
        sys.stderr.close()
        return 0
    except ForecastError as error:
        if debug:
            raise
        console.print(f"[bold red]error:[/] {_escape(error.message)}")
        return error.exit_code
    except OSError as error:
        if debug:
            raise
        failed = OutputError(f"{error.strerror or type(error).__name__}: {error.filename or ''}".rstrip(": "))
        console.print(f"[bold red]error:[/] {_escape(failed.message)}")
        return failed.exit_code
    except Exception as error:
        # The last resort: an unexpected error is still one line, and --debug shows the rest.
        if debug:
            raise
        text = f"internal: {type(error).__name__}: {error}; run again with --debug and report it"
        console.print(f"[bold red]error:[/] {_escape(text)}")
        return 1
    return outcome if isinstance(outcome, int) else 0


def _escape(text: str) -> str:
    return text.replace("[", r"\[").replace("\n", " ")


def main() -> None:
    """Entry point of the `forecast` command."""
    sys.exit(run(cli, None, "forecast"))
