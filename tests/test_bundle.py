"""A bundle is believed only after it is verified; damage is a clear error and never a crash."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast.bundle import load_bundle, resolve_bundle, set_current, write_bundle
from forecast.errors import BundleError, OutputError
from forecast.history import History
from forecast.models import FitSettings, FittedModels, fit_models
from forecast.periods import as_of_us


@pytest.fixture
def bundle(trained_bundle: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(trained_bundle, tmp_path / "models" / "copy"))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".json")


def test_loading_gives_back_the_same_numbers(
    sample_models: FittedModels, sample_history: History, trained_bundle: Path
) -> None:
    at_us = as_of_us(pd.Timestamp("2026-01-01", tz="UTC"))
    deal = sample_history.open_deals(at_us)
    loaded = load_bundle(trained_bundle).models
    np.testing.assert_array_equal(
        loaded.incidence(sample_history, deal, at_us, [30.0, 365.0]),
        sample_models.incidence(sample_history, deal, at_us, [30.0, 365.0]),
    )


def test_every_truncation_is_refused(bundle: Path) -> None:
    rng = np.random.default_rng(1)
    tried = 0
    for path in files(bundle):
        whole = path.read_bytes()
        for length in rng.integers(0, len(whole), 6):
            path.write_bytes(whole[: int(length)])
            with pytest.raises(BundleError, match=path.name):
                load_bundle(bundle)
            tried += 1
        path.write_bytes(whole)
    assert tried == 72
    load_bundle(bundle)


def test_every_flipped_bit_is_refused(bundle: Path) -> None:
    rng = np.random.default_rng(2)
    for path in files(bundle):
        if path.name == "manifest.json":
            continue
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(0, 8))
            path.write_bytes(bytes(damaged))
            with pytest.raises(BundleError, match="damaged or swapped"):
                load_bundle(bundle)
        path.write_bytes(whole)


def test_a_flip_in_the_manifest_is_refused_or_makes_another_bundle(bundle: Path) -> None:
    """The id is the hash of the manifest: a flip inside a count cannot pass for the bundle that was trained."""
    original = load_bundle(bundle).id
    path = bundle / "manifest.json"
    whole = path.read_bytes()
    rng = np.random.default_rng(4)
    outcomes = set()
    for place in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(bytes(damaged))
        try:
            assert load_bundle(bundle).id != original
            outcomes.add("another")
        except BundleError:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_swapped_files_are_refused(bundle: Path) -> None:
    one, other = bundle / "amount.json", bundle / "season.json"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with pytest.raises(BundleError, match="damaged or swapped"):
        load_bundle(bundle)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "outcome.json").unlink()
    with pytest.raises(BundleError, match=r"outcome\.json is missing"):
        load_bundle(bundle)


def test_a_consistent_manifest_of_other_numbers_fails_the_golden_scores(bundle: Path) -> None:
    """Somebody edits a weight and mends the hashes: the stored scores no longer come out."""
    import hashlib

    outcome = json.loads((bundle / "outcome.json").read_text())
    part = outcome.get("linear", outcome)  # of a boosted model the linear stage below the trees
    key = "intercept" if "intercept" in part else "log_hazards"
    part[key] = (np.array(part[key]) + 0.01).tolist()
    content = json.dumps(outcome).encode()
    (bundle / "outcome.json").write_bytes(content)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["outcome.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="does not reproduce the stored scores"):
        load_bundle(bundle)


def test_a_planted_pickle_is_never_opened(bundle: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (bundle / "exploded",))  # type: ignore[return-value]

    (bundle / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    seen: list[str] = []
    sys.addaudithook(lambda event, _args: seen.append(event) if event == "pickle.find_class" else None)
    load_bundle(bundle)
    assert not (bundle / "exploded").exists()
    assert seen == []


def test_a_bundle_of_a_later_format_asks_for_another_version(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(BundleError, match="format"):
        load_bundle(bundle)


def test_no_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="python -m training train"):
        load_bundle(tmp_path / "models" / "none")


def test_the_pointer_names_the_bundle_and_cannot_leave_its_folder(bundle: Path) -> None:
    pointer = set_current(bundle)
    assert resolve_bundle(pointer) == bundle
    pointer.write_text("../../etc\n")
    with pytest.raises(BundleError, match="does not name a bundle"):
        load_bundle(pointer)


def test_a_folder_of_somebody_else_is_not_replaced(sample_models: FittedModels, tmp_path: Path) -> None:
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="is no bundle"):
        write_bundle(sample_models, folder, metrics={}, data_fingerprint="x")
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_the_same_data_seed_and_settings_give_the_same_id(sample_history: History, tmp_path: Path) -> None:
    until = pd.Timestamp("2023-01-01", tz="UTC")
    settings = FitSettings(seed=3, max_landmarks=3_000, windows=1, rounds_grid=(20,))
    ids = [
        write_bundle(
            fit_models(sample_history, until, settings), tmp_path / name, metrics={}, data_fingerprint="x"
        )
        for name in ("one", "two")
    ]
    assert ids[0] == ids[1]


def test_replacing_a_bundle_leaves_no_trace(sample_models: FittedModels, tmp_path: Path) -> None:
    for mark in ("a", "b"):
        write_bundle(sample_models, tmp_path / "m", metrics={}, data_fingerprint=mark)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert load_bundle(tmp_path / "m").manifest["data_fingerprint"] == "b"
