"""The examples of deployment: what they promise is in them, and where a tool is at hand it accepts them."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
UNITS: Final = sorted([*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")])
EXAMPLES: Final = sorted(path for path in DEPLOY.iterdir() if path.suffix != ".lock")


def locked(path: Path) -> dict[str, set[str]]:
    """Requirement line -> its hashes."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in path.read_text("utf-8").splitlines():
        if line[:1].isalnum():
            name = line.removesuffix(" \\")
            found[name] = set()
        elif "--hash=" in line:
            found[name].add(line.strip().removesuffix(" \\"))
    return found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_no_example_holds_a_secret_or_an_unnamed_version(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r":latest\b", text)
    assert not re.search(r"(?i)(password|secret_key|token)\s*[=:]\s*['\"]?[A-Za-z0-9]{6,}", text)
    assert "FORECAST_API_KEY=" not in text  # a key in an environment is easily logged
    assert "://forecast:" not in text


# -- container ----------------------------------------------------------------------------------------------


def test_the_image_runs_as_nobody_special_from_locked_packages_and_looks_after_itself() -> None:
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    last_stage = lines[max(at for at, line in enumerate(lines) if line.startswith("FROM")) :]
    users = [line.split()[1] for line in last_stage if line.startswith("USER")]
    assert users == ["10001:10001"]
    for base in (line for line in lines if line.startswith("FROM")):
        assert re.search(r":3\.11\.\d+-slim-\w+", base)
    installs = [line for line in lines if "pip install" in line]
    assert installs
    for line in installs:
        for command in re.findall(r"pip install[^&]*", line):
            assert "--require-hashes" in command or "--no-deps --no-index" in command
    assert any(line.startswith("HEALTHCHECK") for line in last_stage)
    copied = [line for line in last_stage if line.startswith(("COPY", "ADD"))]
    assert copied == ["COPY --from=build /opt/forecast /opt/forecast"]  # no models, no keys, no sources


def test_what_the_image_installs_is_in_the_lock_of_the_project_with_the_same_hashes() -> None:
    whole, part = locked(ROOT / "requirements.lock"), locked(DEPLOY / "requirements.lock")
    versions = {line.partition(" ")[0]: hashes for line, hashes in whole.items()}
    for line, hashes in part.items():
        assert hashes
        assert versions[line.partition(" ")[0]] >= hashes
    names = {line.partition("==")[0] for line in part}
    assert {"bentoml", "alembic", "sqlalchemy", "psycopg", "pandas"} <= names
    assert names.isdisjoint({"mlflow", "lightgbm", "optuna", "pytest"})


def needed_by(package: str) -> set[str]:
    """A package and all that it needs everywhere, by name."""
    found: set[str] = set()
    left = {package}
    while left:
        name = left.pop()
        found.add(name)
        always = [asked for asked in requires(name) or [] if ";" not in asked]  # no condition, no extra
        left |= {re.split(r"[^A-Za-z0-9._-]", asked)[0] for asked in always} - found
    return found


def test_the_packages_that_build_the_wheel_are_locked_and_none_is_missing() -> None:
    """With hashes pip takes nothing that is not named, so one that is missing ends the build of the image."""
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    wanted = re.search(r"wanted = /\^\(([^)]*)\)==/", text)
    assert wanted is not None
    names = {line.partition("==")[0] for line in locked(ROOT / "requirements.lock")}
    assert set(wanted[1].split("|")) == needed_by("hatchling") <= names


def test_everything_the_package_needs_beside_code_is_packed() -> None:
    include = yaml.safe_load((ROOT / "bentofile.yaml").read_text("utf-8"))["include"]
    patterns = [pattern.replace("**/", "*") for pattern in include]
    for path in (ROOT / "src" / "forecast").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md":
            name = path.relative_to(ROOT).as_posix()
            assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "src/forecast" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


# -- systemd ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_units() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # That the commands are not installed here is as it should be.
    said = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert [line for line in said if str(DEPLOY) in line or "forecast" in line] == []


@pytest.mark.parametrize("path", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda p: p.name)
def test_units_take_no_more_than_they_need(path: Path) -> None:
    text = path.read_text("utf-8")
    for line in ("User=forecast", "NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes"):
        assert line in text
    if path.name != "forecast.service":
        assert path.with_suffix(".timer") in UNITS


# -- kubernetes ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def objects() -> dict[str, dict[str, Any]]:
    found = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))
    return {one["kind"]: one for one in found}


def test_two_replicas_that_are_not_taken_away_together(objects: dict[str, dict[str, Any]]) -> None:
    spec = objects["Deployment"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert objects["PodDisruptionBudget"]["spec"]["minAvailable"] == 1
    for selector in (spec["selector"], objects["PodDisruptionBudget"]["spec"]["selector"]):
        assert selector["matchLabels"] == labels
    assert objects["Service"]["spec"]["selector"] == labels


def test_pods_are_probed_limited_and_cannot_write(objects: dict[str, dict[str, Any]]) -> None:
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    paths = {
        name: container[name]["httpGet"]["path"]
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    assert "memory" in container["resources"]["limits"]
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001  # as in the Containerfile
    assert pod["automountServiceAccountToken"] is False
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert [path for path, mount in mounts.items() if not mount.get("readOnly")] == ["/tmp"]  # noqa: S108


def test_secrets_are_named_and_not_written_down(objects: dict[str, dict[str, Any]]) -> None:
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert "Secret" not in objects
    named = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    assert named == {"forecast-keys", "forecast-ledger"}
    environment = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
    mounted = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    for name in ("FORECAST_API_KEYS_FILE", "FORECAST_LEDGER_FILE", "FORECAST_BUNDLE"):
        assert any(environment[name].startswith(f"{path}/") for path in mounted), name
    assert "FORECAST_API_KEY" not in environment
    assert "FORECAST_LEDGER" not in environment
