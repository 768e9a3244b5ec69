"""Importing Forecast does nothing but define names, and the parts that must stand alone do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]

# What the base imports. Libraries may do as they like when imported: these are loaded before anybody looks.
BASE_LIBRARIES: Final = (
    "numpy",
    "pandas",
    "pyarrow",
    "pandera.pandas",
    "scipy.optimize",
    "scipy.sparse",
    "click",
    "rich.console",
)

# Runs in a fresh interpreter and an empty folder: imports every module below a package but for some subtrees
# and prints what that did to the world as the interpreter itself reports it.
PROBE: Final = """
import importlib, json, logging, os, pkgutil, random, signal, sys, warnings

done = []

def watch(event, args):
    if event == "open" and isinstance(args[0], str | bytes):
        path, flags = os.fsdecode(args[0]), args[2] or 0
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and path != os.devnull:
            done.append(f"writes {path}")
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.putenv", "shutil.rmtree"):
        done.append(f"{event} {args[0]!r}")
    elif event in ("subprocess.Popen", "os.system", "os.fork", "socket.connect", "socket.bind"):
        done.append(f"{event} {args!r}")

def state():
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "log handlers": len(logging.getLogger().handlers),
        "log level": logging.getLogger().level,
        "warning filters": [str(f) for f in warnings.filters if "forecast" in str(f) or "training" in str(f)],
        "interrupt handler": repr(signal.getsignal(signal.SIGINT)),
        "random numbers": hash(random.getstate()),
    }

top, libraries, left_out = json.loads(sys.argv[1])
for name in libraries:
    importlib.import_module(name)
before = state()
sys.addaudithook(watch)
package = importlib.import_module(top)
imported = [top]
for found in pkgutil.walk_packages(getattr(package, "__path__", []), top + "."):
    if not found.name.endswith("__main__") and not found.name.startswith(tuple(left_out)):
        importlib.import_module(found.name)
        imported.append(found.name)
changed = [key for key, value in state().items() if value != before[key]]
print(json.dumps({"imported": imported, "done": done, "changed": changed, "loaded": sorted(sys.modules)}))
"""


def probe(
    top: str, folder: Path, *, libraries: tuple[str, ...] = (), left_out: tuple[str, ...] = ()
) -> dict[str, list[str]]:
    """What importing everything below `top` does, after `libraries`, without what is below `left_out`."""
    # The home folder is empty too, so that a configuration written there shows.
    environment = {**os.environ, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps([top, libraries, left_out])],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stderr == ""
    found: dict[str, list[str]] = json.loads(ran.stdout)  # nothing else was printed
    return found


def loaded(found: dict[str, list[str]], *libraries: str) -> list[str]:
    return [name for name in found["loaded"] if name.split(".")[0] in libraries]


def test_the_base_is_imported_without_effects_and_without_the_extras(tmp_path: Path) -> None:
    found = probe("forecast", tmp_path, libraries=BASE_LIBRARIES, left_out=("forecast.service",))
    assert "forecast.errors" in found["imported"]
    assert found["done"] == []
    assert found["changed"] == []
    assert list(tmp_path.iterdir()) == []
    assert loaded(found, "training", "mlflow", "bentoml", "lightgbm", "sklearn", "torch") == []


@pytest.mark.slow
def test_the_service_never_loads_training_or_mlflow(tmp_path: Path) -> None:
    pytest.importorskip("bentoml", reason="needs the extra `serve`")
    found = probe("forecast.service", tmp_path)
    assert "bentoml" in found["loaded"]  # it is the real service that was loaded
    assert loaded(found, "training", "mlflow", "lightgbm", "sklearn", "altair") == []


@pytest.mark.slow
def test_training_is_imported_without_effects(tmp_path: Path) -> None:
    found = probe("training", tmp_path, libraries=(*BASE_LIBRARIES, "mlflow"))
    assert "training.tracking" in found["imported"]
    assert found["changed"] == []
    assert list(tmp_path.iterdir()) == []  # no tracking store appears before a run asks for one


def test_the_help_page_needs_no_table_library(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "forecast.cli", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in ran.stderr.splitlines() if "|" in line}
    assert "click" in imported
    assert imported.isdisjoint({"pandas", "numpy", "altair", "bentoml"})


def test_the_probe_sees_an_import_that_writes_and_sets(tmp_path: Path) -> None:
    package = tmp_path / "forecast_like"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tidy.py").write_text("NAME = 'tidy'\n")
    (package / "untidy.py").write_text(
        "import os\nos.makedirs('out')\nos.environ['SEEN'] = '1'\nopen('log', 'w').close()"
    )
    found = probe("forecast_like.tidy", tmp_path)
    assert (found["done"], found["changed"]) == ([], [])
    found = probe("forecast_like", tmp_path)
    assert any("out" in text for text in found["done"])
    assert any("writes log" in text for text in found["done"])
    assert found["changed"] == ["environment"]
