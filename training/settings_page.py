"""All settings as a page, `python -m training.settings_page`: from settings.toml and the code.

A setting's meaning is the comment above it in settings.toml; keys that stand together share one.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from forecast.tables import write_bytes
from training.settings import expected, packaged_text

__all__ = ["Setting", "all_settings", "page"]

_PAGE: Final = "docs/settings.md"
_HEAD: Final = """\
# Settings

All settings of a training, with their defaults. This page is made from `training/settings.toml` and the code
by `python -m training.settings_page`; a test compares them.

Write the lines you change into a file of your own and pass it with `--settings`:

```sh
python -m training settings my.toml                  # check it, and see what holds
python -m training train --data export/ --bundle models/mine --settings my.toml
forecast check export/ --settings my.toml            # how the folder reads with it
```

A key left out keeps its default. A section, key, table or field that does not exist is refused with the
nearest that does; a wrong type or range with what was expected.
"""
_TAIL: Final = """
## An export in its own words

`[reading]`, `[columns]`, `[stages]` and `[bant]` say how your files say what [the tables](tables.md) say.
For example:

```toml
[reading]
zone = "Europe/Rome"

[columns.deals]
"Opportunity ID" = "deal_id"
"Close Date" = "expected_close_on"
StageName = "stage"                # a field of deal_events

[stages.rename]
"1 - Discovery" = "Discovery"
"Proposal (old)" = "Proposal"      # two stages become one

[stages.rename_in.partner]
"Intro call" = "Discovery"

[[stages.redefined]]               # until July 2024 a demo was still discovery
until = 2024-07-01
rename = { "Demo" = "Discovery" }

[[stages.stated]]                  # in the place of a row, or of a whole file, of stages
stage = "Discovery"
position = 1
kind = "open"
default_probability = 0.1

[bant]
common_words = true
words = { "Partly" = 0.5 }
budget = { "Approved by board" = 1, "Frozen" = 0, "Not asked" = "" }
```

They are applied before a row is checked: a value no rule covers is checked as it stands, and set aside with
its reason and the nearest known value if it does not fit. They travel in the bundle. `forecast score`,
`roll-up`, `report` and `show` read the same export in the same way without the settings file, and the service
understands the same names of stages and the same BANT words in a request; without such rules numbers and the
bundle's own stages are all it takes.

- Names are compared exactly, words of BANT in any case.
- An event is read by what holds at its moment: first `redefined` (the earliest moment that is still to come),
  then `rename_in` of the deal's pipeline, then `rename`. A name is renamed once, never on and on.
- Two names that become one are one stage: moves between them are none, and of two rows of `stages` the one
  that bears the name stays.
- BANT: the field's own words, then `words`, then the common ones, then numbers. Each command names the common
  words it read as numbers.
- Rows that are stated count as read and loaded, rows they replace as superseded.

Quarters are three calendar months, whatever month the fiscal year begins with: the season is counted from
`fit.fiscal_year_starts`, and calendars of 4-4-5 weeks are not known.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of settings.toml.

    meaning : the comment above it, in one line; an example in the comment is left to the file
    """

    section: str
    key: str
    default: Any
    expected: str
    meaning: str


def all_settings() -> list[Setting]:
    """Every setting in the order of the file."""
    tables = tomllib.loads(packaged_text())
    return [
        Setting(section, key, tables[section][key], expected(section, key), meaning)
        for section, key, meaning in _lines()
    ]


def shown(value: Any) -> str:
    """A value as a TOML file has it, or nearly: empty text and empty tables stay visible."""
    return json.dumps(value, ensure_ascii=False)


def page() -> str:
    """The page in Markdown."""
    parts, section, above = [_HEAD], "", ""
    for one in all_settings():
        if one.section != section:
            section = one.section
            parts.append(f"\n## `[{section}]`\n\n| Key | Default | Expected | Meaning |\n|---|---|---|---|\n")
        meaning = "as above" if one.meaning == above else one.meaning
        above = one.meaning
        cells = (f"`{one.key}`", f"`{shown(one.default)}`", one.expected, meaning)
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join([*parts, _TAIL])


def _lines() -> Iterator[tuple[str, str, str]]:
    """(section, key, meaning) of every key of the file."""
    section, fresh = "", True
    comment: list[str] = []
    for line in packaged_text().splitlines():
        if line.startswith("["):
            section, comment, fresh = line.strip("[] "), [], True
        elif line.startswith("#"):
            # A comment after a key or an empty line begins anew.
            comment = [*([] if fresh else comment), line[1:]]
            fresh = False
        elif "=" in line:
            fresh = True
            yield section, line.split("=", 1)[0].strip(), _sentence(comment)
        else:
            fresh = True


def _sentence(comment: list[str]) -> str:
    """The comment without its examples, which are indented."""
    plain = [text.strip() for text in comment if not text.startswith("   ")]
    return " ".join(plain).removesuffix(" For example")


def main() -> None:
    """Write the page."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else _PAGE)
    write_bytes(target, page().encode())


if __name__ == "__main__":
    main()
