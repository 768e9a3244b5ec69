"""Further bundles from a trained one, without training: the same models under other ids, and damaged copies."""

from __future__ import annotations

import shutil
from pathlib import Path

from forecast.bundle import load_bundle, set_current, write_bundle

__all__ = ["another", "damage", "shelf_of"]


def another(trained: Path, folder: Path, number: int) -> str:
    """Write the models of a bundle again as one of another id, and return the id."""
    found = load_bundle(trained)
    return write_bundle(
        found.models, folder, metrics={"number": number}, data_fingerprint="test", leads=found.leads
    )


def damage(folder: Path, name: str = "outcome.json") -> bytes:
    """Cut the end of a file off; returns what it held."""
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-20])
    return whole


def shelf_of(trained: Path, root: Path, number: int = 2) -> list[Path]:
    """A folder of `number` bundles of different ids, the first of them current."""
    root.mkdir(parents=True, exist_ok=True)
    folders = [root / f"b{at}" for at in range(number)]
    shutil.copytree(trained, folders[0])
    for at, folder in enumerate(folders[1:], start=1):
        another(trained, folder, at)
    set_current(folders[0])
    return folders
