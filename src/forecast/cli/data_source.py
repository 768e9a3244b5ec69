"""`--data`: where the tables are, for every command that reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from forecast.database_url import DataSource, parse_source
from forecast.errors import UsageError

__all__ = ["DATA_SOURCE", "data_option"]

F = TypeVar("F", bound=Callable[..., Any])


class _DataSourceType(click.ParamType):  # type: ignore[type-arg]  # older click takes none
    """A folder, or the URL of a database; `forecast.tables.open_tables` reads either."""

    name = "folder or URL"

    def convert(
        self, value: str | DataSource, param: click.Parameter | None, ctx: click.Context | None
    ) -> DataSource:
        if not isinstance(value, str):
            return value
        try:
            return parse_source(value)
        except UsageError as error:
            self.fail(error.message, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002  (click's interface)
        return "DIR|URL"


DATA_SOURCE: Final = _DataSourceType()


def data_option(*, required: bool = True) -> Callable[[F], F]:
    """--data DIR|URL"""
    return click.option(
        "--data",
        type=DATA_SOURCE,
        required=required,
        metavar="DIR|URL",
        help="Folder of tables (CSV or Parquet), or database: postgresql://..., duckdb:///FILE.",
    )
