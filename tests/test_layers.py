"""The order of imports, kept by reading the source: who may import whom, and who may touch which library.

`ORDER` is the architecture (docs/architecture.md): a module may import what stands below its own line, never
what stands above or beside it. An import inside a function counts like any other.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]

# From the top down; layers of one line do not know each other. `forecast` is the package's own __init__.
ORDER: Final[tuple[tuple[str, ...], ...]] = (
    ("training",),
    ("forecast.cli", "forecast.service", "forecast.client"),
    ("forecast.doctor",),
    ("forecast.publishing",),
    ("forecast.receipts",),
    ("forecast.report",),
    ("forecast.evaluation",),
    ("forecast.outlook",),
    ("forecast.scoring", "forecast.rollup", "forecast.promotion"),
    ("forecast.bundle",),
    ("forecast.models",),
    ("forecast.features",),
    ("forecast.history", "forecast.simulator", "forecast.connectors", "forecast.ledger"),
    ("forecast.tables",),
    (
        "forecast.access",
        "forecast.periods",
        "forecast.arrays",
        "forecast.language",
        "forecast.code_version",
        "forecast.database_url",
        "forecast.lock",
    ),
    ("forecast.errors",),
    ("forecast",),
)

# Imports that break the order, each with its reason.
EXCEPTIONS: Final = {
    # `forecast serve` settles the keys before the server starts; keys.py itself loads no server.
    ("forecast.cli.serve", "forecast.service.keys"),
    # `forecast doctor` reads keys and thresholds as the service does; neither module loads a server.
    ("forecast.cli.doctor", "forecast.service.keys"),
    ("forecast.cli.doctor", "forecast.service.readiness"),
}


@dataclass(frozen=True)
class Library:
    """A library of others: the requirement it comes with, the extra that names it, who may import it."""

    requirement: str
    extra: str | None = None
    only: tuple[str, ...] = ()  # () = any layer
    lazily: tuple[str, ...] = ()  # layers that may do so only inside a function: the base goes without it


FITTING: Final = ("forecast.models.boosted", "forecast.evaluation", "training")

LIBRARIES: Final[dict[str, Library]] = {
    "numpy": Library("numpy"),
    "pandas": Library("pandas"),
    "scipy": Library("scipy"),
    "threadpoolctl": Library("threadpoolctl", only=("forecast.models", "training")),
    "pandera": Library("pandera", only=("forecast.tables",)),
    "pyarrow": Library("pyarrow", only=("forecast.tables",)),
    "yaml": Library("pyyaml", only=("forecast.tables",)),
    "click": Library("click", only=("forecast.cli", "training")),
    "rich": Library("rich", only=("forecast.cli", "training")),
    "jinja2": Library("jinja2", only=("forecast.report",)),
    "markupsafe": Library("jinja2", only=("forecast.report",)),
    "altair": Library("altair", only=("forecast.report",)),
    "vl_convert": Library("vl-convert-python", only=("forecast.report",)),
    "bentoml": Library("bentoml", "serve", only=("forecast.service",)),
    "starlette": Library("bentoml", "serve", only=("forecast.service",)),
    "pydantic": Library("bentoml", "serve", only=("forecast.service",)),
    "msgspec": Library("msgspec", "serve", only=("forecast.service.fast_json",)),
    "anyio": Library("bentoml", "serve", only=("forecast.service",)),
    "opentelemetry": Library("bentoml", "serve", only=("forecast.service.tracing",), lazily=("forecast",)),
    "prometheus_client": Library("bentoml", "serve", only=("forecast.service",)),
    "duckdb": Library("duckdb", "database", only=("forecast.tables.database",), lazily=("forecast",)),
    "psycopg": Library(
        "psycopg",
        "database",
        only=("forecast.tables.database", "forecast.ledger.database"),
        lazily=("forecast",),
    ),
    "sqlalchemy": Library("sqlalchemy", "serve", only=("forecast.ledger",)),
    "alembic": Library("alembic", "serve", only=("forecast.ledger",)),
    "httpx": Library("httpx", "crm", only=("forecast.connectors",)),
    "mlflow": Library("mlflow", "train", only=("training.tracking",)),
    "optuna": Library("optuna", "train", only=("training.tuning",)),
    "lightgbm": Library("lightgbm", "train", only=FITTING, lazily=("forecast",)),
}


@dataclass(frozen=True)
class Import:
    """`module` imports `name`, at import time or only when some function runs."""

    module: str
    name: str
    at_import: bool


def imports_of(module: str, source: str, *, is_package: bool = False) -> list[Import]:
    """Every import of a module's source; `from a.b import c` counts as `a.b.c`, since c may be a module."""

    def walk(node: ast.AST, at_import: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module, alias.name, at_import)
            elif isinstance(child, ast.ImportFrom):
                # One dot is the package a module lies in, which for an __init__ is the module itself.
                ancestors = module.split(".")[: len(module.split(".")) - child.level + is_package]
                start = ".".join([*ancestors, *([child.module] if child.module else [])])
                for alias in child.names:
                    yield Import(module, f"{start if child.level else child.module}.{alias.name}", at_import)
            else:
                deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, at_import and not deferred and not _is_typing_only(child))

    return list(walk(ast.parse(source), True))


def _is_typing_only(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:`, which never runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def is_within(name: str, layer: str) -> bool:
    return name == layer or name.startswith(layer + ".")


def layer_of(name: str) -> str | None:
    """The most particular layer a dotted name belongs to; None for a name of no layer."""
    within = [layer for line in ORDER for layer in line if is_within(name, layer)]
    found = max(within, key=len, default=None)
    # `forecast.__version__` is the package's own; `forecast.newthing` is a module no line of ORDER names.
    if found == "forecast" and name not in ("forecast", "forecast.__version__"):
        return None
    return found


def complaint(found: Import) -> str | None:
    """What is wrong with an import, in a sentence; None if nothing is."""
    mine = layer_of(found.module)
    if mine is None:
        return f"{found.module} is in no layer; give it a place in ORDER"
    top = found.name.split(".")[0]
    if top in ("forecast", "training"):
        theirs = layer_of(found.name)
        if theirs is None:
            return f"{found.module} imports {found.name}, which is in no layer"
        height = {layer: number for number, line in enumerate(ORDER) for layer in line}
        excused = any(found.module == who and is_within(found.name, what) for who, what in EXCEPTIONS)
        if theirs != mine and height[theirs] <= height[mine] and not excused:
            return f"{found.module} imports {found.name}, which stands above or beside it"
        return None
    if top in sys.stdlib_module_names:
        return None
    library = LIBRARIES.get(top)
    if library is None:
        return f"{found.module} imports {top}, which LIBRARIES does not name"
    if library.only and not any(is_within(found.module, layer) for layer in library.only):
        return f"{found.module} imports {top}, which only {' and '.join(library.only)} may"
    if found.at_import and any(is_within(found.module, layer) for layer in library.lazily):
        return f"{found.module} imports {top} at import time, and the base goes without it"
    return None


def project_imports() -> list[Import]:
    found: list[Import] = []
    for base in (ROOT / "src", ROOT):
        for path in sorted((base / ("forecast" if base.name == "src" else "training")).rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            found += imports_of(module, path.read_text(encoding="utf-8"), is_package=is_package)
    return found


def test_every_import_points_down() -> None:
    found = project_imports()
    assert len(found) > 100  # the reader did find the project
    assert [text for text in map(complaint, found) if text] == []


def test_every_library_used_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {
        extra: {re.split(r"[^\w-]", requirement)[0].lower() for requirement in requirements}
        for extra, requirements in {None: project["dependencies"], **project["optional-dependencies"]}.items()
    }
    for found in project_imports():
        library = LIBRARIES.get(found.name.split(".")[0])
        if library is not None:
            assert library.requirement in declared[library.extra], f"{found.module} imports {found.name}"


# The checker itself: each of these is what it is there to catch, so one that stopped looking fails here.


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("forecast.tables.reading", "from forecast.history import History", "above or beside"),
        ("forecast.tables.reading", "from forecast import history", "above or beside"),
        ("forecast.tables.reading", "from ..history.asof import last_before", "above or beside"),
        ("forecast.scoring", "def late():\n    import forecast.rollup", "above or beside"),
        (
            "forecast.scoring",
            "class A:\n  def f(self):\n    import forecast.report.facts",
            "above or beside",
        ),
        ("forecast.service.app", "import training.fitting", "above or beside"),
        ("forecast.cli.show", "import forecast.leads", "no layer"),
        ("forecast.leads", "import numpy", "no layer"),
        ("forecast.cli.serve", "from forecast.service import app", "above or beside"),
        (
            "forecast.models.hazard",
            "import lightgbm",
            "only forecast.models.boosted and forecast.evaluation and training may",
        ),
        ("forecast.evaluation.peers", "import lightgbm", "at import time"),
        ("forecast.bundle", "def load():\n    import mlflow.artifacts", "only training.tracking may"),
        ("training.train", "import mlflow", "only training.tracking may"),
        ("forecast.report.charts", "import requests", "LIBRARIES does not name"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str, expected: str) -> None:
    complaints = [complaint(found) for found in imports_of(module, source)]
    assert any(text and expected in text for text in complaints), complaints


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("forecast.history.asof", "from forecast.tables import Tables\nfrom forecast import periods, errors"),
        ("forecast.history.asof", "from .columns import Column"),
        ("forecast.bundle", "from forecast import __version__\nimport json, hashlib"),
        ("forecast.evaluation.peers", "def boosted():\n    import lightgbm"),
        ("training.tracking", "import mlflow"),
        ("training.train", "from forecast.evaluation import metrics\nfrom . import tracking"),
    ],
)
def test_an_allowed_import_is_let_through(module: str, source: str) -> None:
    assert [complaint(found) for found in imports_of(module, source)] == [None] * len(
        imports_of(module, source)
    )


def test_one_dot_in_a_package_is_the_package_itself() -> None:
    (found,) = imports_of("forecast.history", "from .asof import last_before", is_package=True)
    assert found.name == "forecast.history.asof.last_before"
