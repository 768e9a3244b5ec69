"""Does a bundle come out of this data again? Train it anew from what it recorded, and compare the ids."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forecast.bundle import Bundle, load_bundle, resolve_bundle
from forecast.errors import BundleError, ForecastError
from forecast.receipts import Check, code_check, data_check
from forecast.tables import Tables, known_before
from training.settings import Settings, settings_of
from training.train import train, training_code

__all__ = ["verify_training"]

Tell = Callable[[str, float], None]


def verify_training(path: Path, tables: Tables, *, tell: Tell | None = None) -> list[Check]:
    """Check a bundle's hashes, the code and the data it was made from, and train it again.

    tables : as read now; what counts is what was recorded before the bundle's `trained_until`
    Raises BundleError if there is no bundle, or one too old to say what it was made with.
    """
    folder = resolve_bundle(path)
    bundle = load_bundle(folder)
    manifest = bundle.manifest
    if "settings" not in manifest or "code" not in manifest:
        raise BundleError(
            f"{folder} does not say with which settings and code it was made; train it again with this version",
            code="no_receipt",
        )
    known = known_before(tables, bundle.trained_until)
    checks = [
        Check("bundle", True, f"{bundle.short_id}: hashes agree, golden scores reproduced"),
        code_check(manifest["code"], training_code()),
        data_check(
            known,
            manifest["data_fingerprint"],
            manifest.get("data_tables") or {},
            {},
            bundle.trained_until.isoformat(),
        ),
    ]
    try:
        settings = settings_of(manifest["settings"], f"of {folder}")
        with tempfile.TemporaryDirectory() as place:
            again = _train_again(bundle, tables, Path(place) / "again", settings, tell)
            checks.append(_compare(bundle.manifest, bundle.id, again))
    except ForecastError as error:
        checks.append(Check("trained again", False, f"cannot be trained from this data: {error.message}"))
    return checks


def _train_again(
    bundle: Bundle, tables: Tables, folder: Path, settings: Settings, tell: Tell | None
) -> Bundle:
    # What was found later is in the recorded settings already.
    train(tables, folder, settings, as_of=bundle.trained_until, hindsight=False, tell=tell)
    return load_bundle(folder)


def _compare(then: dict[str, Any], bundle_id: str, again: Bundle) -> Check:
    if again.id == bundle_id:
        return Check("trained again", True, f"the same bundle, {again.short_id}")
    now = again.manifest
    files = [name for name in then["files"] if then["files"][name] != now["files"].get(name)]
    keys = [key for key in then if key != "files" and then[key] != now.get(key)]
    differing = ", ".join([*files, *(f"manifest.json {key}" for key in keys)])
    return Check("trained again", False, f"another bundle, {again.short_id}; it differs in {differing}")
