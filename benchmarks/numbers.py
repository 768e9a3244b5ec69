"""A command's option of whole numbers with commas between them."""

from __future__ import annotations

import click

__all__ = ["Numbers"]


class Numbers(click.ParamType):
    """Whole numbers with commas between them."""

    name = "N,N,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in str(value).replace("_", "").split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of whole numbers such as 1,2,3", param, ctx)
