"""A bundle: everything a score is made of, in a folder of JSON files that is verified before it is believed.

    models/NAME/
        manifest.json   sha256 and size of the other files, code, settings, trained_until, metrics, fingerprints
        model.json outcome.json season.json amount.json arrivals.json records.json kinds.json stages.json
        money.json
        leads.json      the models of leads, or the word that there were none to learn from
        golden.json     win probabilities of one plain deal in every open stage, and chances of a plain lead of
                        some sources, computed again at loading

The bundle's id is the sha256 of its manifest. No file is parsed before its hash agrees, no file is loaded that
the manifest does not name, and nothing in a bundle can be executed. A bundle is never changed; a new one takes
its place by rename. `models/current` is a text file that names the bundle to serve.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast import __version__
from forecast.arrays import Floats
from forecast.code_version import code_of
from forecast.errors import BundleError, OutputError, UsageError
from forecast.features import FrozenCustomers
from forecast.history import OPEN, History, leads_from_request
from forecast.models import FittedModels, LeadModels
from forecast.periods import DAY_US, to_timestamp
from forecast.tables import PLAIN, Dialect, write_bytes

__all__ = [
    "FORMAT",
    "MANIFEST",
    "Bundle",
    "bundle_code",
    "check_bundle_folder",
    "load_bundle",
    "resolve_bundle",
    "set_current",
    "write_bundle",
]

FORMAT: Final = 8
MANIFEST: Final = "manifest.json"
_PARTS: Final = (
    "model",
    "outcome",
    "season",
    "amount",
    "arrivals",
    "records",
    "kinds",
    "stages",
    "money",
    "leads",
)
_FILES: Final = frozenset({*(f"{part}.json" for part in _PARTS), "golden.json"})
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# Of one file: far beyond any real one, so that a planted one cannot fill the memory.
_MOST_BYTES: Final = 512 * 1024 * 1024
_PACKAGES: Final = ("lightgbm", "numpy", "pandas", "pyarrow", "scipy")
# Parts of this package that read bundles and change none.
_NOT_IN_A_BUNDLE: Final = ("receipts", "report")
_GOLDEN_SOURCES: Final = 5
_GOLDEN_TOLERANCE: Final = 1e-9  # what another processor or numpy may round differently, and nothing more


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    id : 64 hexadecimal digits, the sha256 of the manifest
    golden : rows {"stage": code, "won": [probabilities]} and {"source": text, "chances": [probabilities]},
        which this installation has reproduced
    leads : the models of leads; None where there were none to learn from
    """

    id: str
    manifest: dict[str, Any]
    models: FittedModels
    golden: list[dict[str, Any]]
    leads: LeadModels | None = None

    @property
    def short_id(self) -> str:
        """First twelve digits of the id: enough to tell bundles apart by eye."""
        return self.id[:12]

    @cached_property
    def dialect(self) -> Dialect:
        """How the folder it learnt from was read, and others of the same export are to be."""
        return Dialect.from_json(self.manifest.get("dialect", {}))

    @cached_property
    def trained_until(self) -> pd.Timestamp:
        """The models saw only what was recorded before this moment."""
        return to_timestamp(self.models.trained_until_us)


def bundle_code(**also: str) -> dict[str, Any]:
    """The code that models are fitted with; `also` holds hashes of the sources of other packages."""
    return code_of(packages=_PACKAGES, without=_NOT_IN_A_BUNDLE, also=also)


def check_bundle_folder(folder: Path) -> None:
    """Raise OutputError if no bundle may be written there: its name is unusable, or it holds something else.

    A training asks before it starts, so that hours of fitting do not end with this message.
    """
    if not _NAME.fullmatch(folder.name):
        raise OutputError(
            f"bundle name {folder.name[:40]!r} is not usable; take lower-case letters, digits, - and _",
            code="bad_bundle_name",
        )
    if (
        folder.exists()
        and not (folder / MANIFEST).is_file()
        and (not folder.is_dir() or any(folder.iterdir()))
    ):
        raise OutputError(f"{folder} exists and is no bundle; choose another name", code="not_a_bundle")


def write_bundle(
    models: FittedModels,
    folder: Path | str,
    *,
    metrics: dict[str, Any],
    data_fingerprint: str,
    leads: LeadModels | None = None,
    settings: dict[str, Any] | None = None,
    code: dict[str, Any] | None = None,
    data_tables: dict[str, str] | None = None,
    dialect: Dialect = PLAIN,
) -> str:
    """Write a bundle folder, whole or not at all, and return its id.

    An existing bundle of that name is replaced; a folder that is no bundle is refused. The id depends on the
    content only: the same data, seed, settings and code give the same id.

    settings : section -> key -> value of everything that was set; by default those of the fit alone
    code : what made the models (`code_version.code_of`); by default this package
    data_tables : fingerprint of each table, to name the one that has changed
    """
    folder = Path(folder)
    check_bundle_folder(folder)
    files = {f"{name}.json": _encode(content) for name, content in models.to_json().items()}
    files["leads.json"] = _encode({"model": None if leads is None else leads.to_json()})
    files["golden.json"] = _encode(_golden_of(models, leads))
    manifest = {
        "format": FORMAT,
        "forecast_version": __version__,
        "code": bundle_code() if code is None else code,
        "settings": {"fit": models.settings} if settings is None else settings,
        "trained_until": to_timestamp(models.trained_until_us).isoformat(),
        "rung": models.outcome.name,
        "data_fingerprint": data_fingerprint,
        "data_tables": data_tables,
        "counts": models.counts,
        "leads": None if leads is None else {"rung": leads.outcome.name, "counts": leads.counts},
        "metrics": metrics,
        "dialect": dialect.to_json(),
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in sorted(files.items())
        },
    }
    encoded = _encode(manifest)
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            write_bytes(stage / name, content)
        write_bytes(stage / MANIFEST, encoded)
        stage.chmod(0o755)
        if folder.exists():
            # Two renames: between them the name is missing for an instant, but never half a bundle.
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
            os.rename(folder, old / folder.name)
            os.rename(stage, folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(stage, folder)
    except OSError as error:
        shutil.rmtree(stage, ignore_errors=True)
        raise OutputError(
            f"cannot write bundle {folder}: {error.strerror}", code="bundle_not_written"
        ) from error
    return hashlib.sha256(encoded).hexdigest()


def set_current(folder: Path | str) -> Path:
    """Make a bundle the current one of its parent folder: swap the pointer file by rename."""
    folder = Path(folder)
    pointer = folder.parent / "current"
    write_bytes(pointer, f"{folder.name}\n".encode())
    return pointer


def resolve_bundle(path: Path | str) -> Path:
    """The bundle folder meant by a folder or by a pointer file such as `models/current`."""
    path = Path(path)
    if path.is_file() and path.stat().st_size <= 128:
        name = path.read_text(encoding="ascii", errors="replace").strip()
        if not _NAME.fullmatch(name):
            raise BundleError(
                f"{path} does not name a bundle; write one with `python -m training train`",
                code="bad_pointer",
            )
        return path.parent / name
    return path


def load_bundle(path: Path | str) -> Bundle:
    """Verify and load a bundle (a folder, or a pointer file).

    Raises BundleError naming the file and what is wrong: missing, unexpected, too large, a hash that does not
    agree, content of another format, or golden scores that this installation does not reproduce.
    """
    folder = resolve_bundle(path)
    if not folder.is_dir():
        raise BundleError(
            f"no bundle at {folder}; train one with `python -m training train --data DIR --bundle {folder}`",
            code="no_bundle",
        )
    encoded = _read(folder / MANIFEST)
    manifest = _parse(folder / MANIFEST, encoded)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(
            f"{folder / MANIFEST} is no manifest of format {FORMAT}; train the bundle again with this version",
            code="bad_format",
        )
    listed = manifest.get("files")
    if not isinstance(listed, dict) or set(listed) != _FILES:
        raise BundleError(f"{folder / MANIFEST} does not list the files of a bundle", code="bad_manifest")
    content = {name: _verified(folder / name, listed[name]) for name in sorted(_FILES)}
    parsed = {name.removesuffix(".json"): _parse(folder / name, data) for name, data in content.items()}
    try:
        models = FittedModels.from_json(parsed)
        of_leads = parsed["leads"]["model"]
        leads = None if of_leads is None else LeadModels.from_json(of_leads)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BundleError(
            f"{folder} does not hold what this version expects ({type(error).__name__}); train it again",
            code="bad_content",
        ) from error
    bundle = Bundle(hashlib.sha256(encoded).hexdigest(), manifest, models, parsed["golden"], leads)
    try:
        _ = bundle.dialect
    except UsageError as error:
        raise BundleError(f"{folder / MANIFEST}: {error.message}", code="bad_content") from error
    _check_golden(folder, bundle)
    return bundle


def _encode(content: Any) -> bytes:
    # allow_nan=False: a NaN in a bundle is a mistake, not a number; sorted keys: equal content, equal hash.
    return (json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":")) + "\n").encode()


def _read(path: Path) -> bytes:
    try:
        if path.is_symlink() or not path.is_file():
            raise BundleError(
                f"{path} is missing or no regular file; the bundle is incomplete", code="missing_file"
            )
        if path.stat().st_size > _MOST_BYTES:
            raise BundleError(f"{path} is larger than any bundle file", code="too_large")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}", code="unreadable") from error


def _verified(path: Path, listed: Any) -> bytes:
    content = _read(path)
    found = hashlib.sha256(content).hexdigest()
    wanted = listed.get("sha256") if isinstance(listed, dict) else None
    if found != wanted:
        raise BundleError(
            f"{path} is damaged or swapped: sha256 {found[:12]}…, the manifest says {str(wanted)[:12]}…; "
            "restore the folder or train again",
            code="hash_mismatch",
        )
    return content


def _parse(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON; the bundle is damaged", code="not_json") from error


def _golden_of(models: FittedModels, leads: LeadModels | None) -> list[dict[str, Any]]:
    """What `golden.json` holds: a row per open stage with its win probabilities, and rows of leads."""
    of_deals = [{"stage": code, "won": scores} for code, scores in zip(*_golden_scores(models), strict=True)]
    if leads is None:
        return of_deals
    sources, chances = _golden_chances(models, leads)
    return [*of_deals, *({"source": s, "chances": c} for s, c in zip(sources, chances, strict=True))]


def _golden_chances(models: FittedModels, leads: LeadModels) -> tuple[list[str | None], list[list[float]]]:
    """Sources, and chances of a plain lead of each: converted, then deal won, 30, 90 and 365 days ahead."""
    created_us = leads.trained_until_us - 20 * DAY_US
    sources: list[str | None] = [*leads.fresh.sources[:_GOLDEN_SOURCES], None]
    plain = [
        {
            "lead_id": f"golden-{number:04d}",
            "created_at": created_us,
            "source": source,
            "need": 1.0,
            "activities": [{"occurred_at": created_us + 5 * DAY_US, "kind": "call", "direction": "in"}],
        }
        for number, source in enumerate(sources)
    ]
    history = leads_from_request(plain, models.money)
    converted, won = leads.chances(
        history,
        np.arange(len(plain)),
        np.full(len(plain), leads.trained_until_us),
        [30.0, 90.0, 365.0],
        FrozenCustomers.of(models.records, history),
    )
    return sources, np.hstack((converted, won)).tolist()


def _golden_scores(models: FittedModels) -> tuple[list[int], list[list[float]]]:
    """Codes of the open stages, and win probabilities of a plain deal in each, 30, 90 and 365 days ahead."""
    codes = [int(code) for code in np.flatnonzero(models.stages.kind == OPEN)]
    created_us = models.trained_until_us - 40 * DAY_US
    close_on = to_timestamp(models.trained_until_us + 30 * DAY_US).date().isoformat()
    deals = [
        {
            "deal_id": f"golden-{code:04d}",
            "pipeline": models.stages.pipeline[code],
            "motion": "new",
            "created_at": created_us,
            "amount": 10_000.0,
            "budget": 1.0,
            "expected_close_on": close_on,
            "events": [
                {
                    "field": "stage",
                    "value": models.stages.stage[code],
                    "recorded_at": created_us + DAY_US,
                }
            ],
            "activities": [{"occurred_at": created_us + 20 * DAY_US, "kind": "call", "direction": "in"}],
        }
        for code in codes
    ]
    if not deals:
        return [], []
    history = History.from_request(deals, stages=models.stages, money=models.money)
    rows = np.arange(len(deals))
    chance = models.win_probability(
        history, rows, np.full(len(rows), models.trained_until_us), [30.0, 90.0, 365.0]
    )
    return codes, [[float(p) for p in row] for row in chance]


def _check_golden(folder: Path, bundle: Bundle) -> None:
    stored = [_numbers(row) for row in bundle.golden]
    found = [_numbers(row) for row in _golden_of(bundle.models, bundle.leads)]
    if [len(row) for row in stored] != [len(row) for row in found] or not np.allclose(
        np.concatenate([*stored, []]), np.concatenate([*found, []]), rtol=0, atol=_GOLDEN_TOLERANCE
    ):
        raise BundleError(
            f"{folder}/golden.json: this installation does not reproduce the stored scores; "
            "train the bundle again",
            code="golden_mismatch",
        )


def _numbers(row: dict[str, Any]) -> Floats:
    """The probabilities of a golden row."""
    return np.array(row["won"] if "won" in row else row["chances"], dtype=np.float64)
