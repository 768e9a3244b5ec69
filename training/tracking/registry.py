"""The registry: versions of the registered model, the log of promotions, and the aliases that follow from it.

A registered version points at the model its run put out; the bundle lies in it as the plain folder of text
files it is (`training.tracking.pyfunc.BUNDLE_PATH`). One bundle is registered once: its id is the tag
`bundle_id` of the version.

MLflow moves an alias without asking where it was, so an alias can not decide between two promotions. Numbers of
versions can: the database gives each number once, on SQLite, on PostgreSQL and behind a server. The log of
promotions (`forecast.promotion.log`) is therefore a registered model of its own, `NAME-promotions`, whose
versions are its entries: version 3 is the third promotion, points at the same model, and carries who decided,
against which champion, and why. `champion`, `previous` and `candidate` are set from it, and set right by the
next command if somebody moved them or was killed meanwhile.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from forecast.errors import UsageError
from forecast.promotion.log import FIRST, Entry, Served, State, fold, moment, who
from forecast.promotion.shelf import Shelf
from training.settings import TrackingSettings
from training.tracking.client import connect, failures_explained, quoted, tracking_uri, without_password
from training.tracking.pyfunc import bundle_in

__all__ = [
    "CANDIDATE",
    "CHAMPION",
    "PREVIOUS",
    "Registry",
    "add_version",
    "name_version",
    "registered",
]

CHAMPION: Final = "champion"
CANDIDATE: Final = "candidate"
PREVIOUS: Final = "previous"
_PAGE: Final = 1_000
_MOST_TEXT: Final = 4_000  # characters of a tag, below what any database of MLflow's takes

Step = Callable[[str], None]


def registered(client: Any, model: str, bundle_id: str) -> Any | None:
    same = [one for one in _versions(client, model) if one.tags.get("bundle_id") == bundle_id]
    return min(same, key=lambda version: int(version.version)) if same else None


def add_version(
    client: Any, model: str, run_id: str, bundle_id: str, *, model_id: str, description: str = ""
) -> Any:
    """A new version of the registered model: the logged model `model_id` of a run, described in Markdown."""
    _create_model(client, model)
    return client.create_model_version(
        model,
        # Not `models:/ID`: to find that, an embedded database would be looked for in the current folder.
        source=client.get_logged_model(model_id).artifact_location,
        run_id=run_id,
        tags={"bundle_id": bundle_id},
        description=description or None,
        model_id=model_id,
    )


def name_version(client: Any, model: str, version: str, *, folder: Path | None = None) -> str:
    """Give a new version its alias and return it: `candidate`, or `champion` if there is none.

    folder : of its bundle; where another bundle serves beside it, that one is the champion to compare with
    """
    registry = Registry(client, model, "")
    if registry.state().champion is None:
        served = registry.served(version)
        serving = None if folder is None else Shelf(folder.parent).state().champion
        if serving is None or serving.bundle_id == served.bundle_id:
            registry.append(
                Entry(
                    action=FIRST,
                    bundle_id=served.bundle_id,
                    version=version,
                    replaces="",
                    at=moment(pd.Timestamp.now("UTC")),
                    by=who(),
                    reasons=("the first version: something must serve",),
                )
            )
            registry.settle()
    champion = registry.state().champion
    if champion is not None and champion.version == version:
        return CHAMPION
    client.set_registered_model_alias(model, CANDIDATE, version)
    return CANDIDATE


@dataclass(frozen=True)
class Registry:
    """The registered model and its log. Methods raise UnavailableError within seconds of a server's silence.

    shown : its address without a password
    step : told the name of each step before the next begins; a test stops the process there
    """

    client: Any
    model: str
    shown: str
    step: Step = lambda _name: None

    @classmethod
    def open(cls, settings: TrackingSettings, step: Step = lambda _name: None) -> Registry | None:
        """The registry of the settings; None if tracking is off or the database file does not exist yet."""
        uri = tracking_uri(settings)
        if not settings.enabled:
            return None
        if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
            return None
        shown = without_password(uri)
        with failures_explained(shown, _DID_NOT_ANSWER):
            return cls(connect(uri, settings), settings.model, shown, step)

    @property
    def log(self) -> str:
        """Name of the registered model whose versions are the entries of the log."""
        return f"{self.model}-promotions"

    def state(self) -> State:
        """What the log says; the alias `champion` as it stands where there is no log yet."""
        with self._explained():
            state = fold(self._entries())
            if state.champion is not None:
                return state
            version = self._aliases().get(CHAMPION)
        return State() if version is None else State((self.served(version),))

    def served(self, version: str) -> Served:
        """A version and its bundle. Raises UsageError if there is none of that number."""
        found = self._version(version)
        return Served(str(found.tags.get("bundle_id", "")), str(found.version))

    def candidate(self) -> str | None:
        """The version with the alias `candidate`."""
        with self._explained():
            return self._aliases().get(CANDIDATE)

    def version_of(self, bundle_id: str) -> str | None:
        """The version a bundle is registered as."""
        with self._explained():
            found = registered(self.client, self.model, bundle_id)
        return None if found is None else str(found.version)

    def download(self, version: str, into: Path) -> Path:
        """Fetch the bundle of a version into a folder; it is not verified here."""
        found = self._version(version)
        with self._explained():
            import mlflow.artifacts

            uri = self.client.get_model_version_download_uri(self.model, str(found.version))
            model = mlflow.artifacts.download_artifacts(
                uri, dst_path=str(into), tracking_uri=self.client.tracking_uri
            )
            return bundle_in(Path(model))

    def append(self, entry: Entry) -> bool:
        """Give an entry the next place in the log; whether it counts there, or another came first.

        If the answer was lost on the way, the log is asked whether the entry arrived.
        """
        version = self._version(entry.version or "")
        content = entry.to_json()
        reasons, gate = content.pop("reasons"), content.pop("gate")
        tags = {name: "" if value is None else str(value) for name, value in content.items()}
        tags["reasons"] = _fitting(reasons)
        tags["gate"] = _verdicts(gate)
        with self._explained():
            _create_model(self.client, self.log)
            try:
                self.client.create_model_version(
                    self.log,
                    # By number, which every store can follow: a server refuses places it cannot trace.
                    source=f"models:/{self.model}/{version.version}",
                    run_id=version.run_id or None,
                    tags=tags,
                    description=f"{entry.action}: {entry.bundle_id[:12]}. {' '.join(reasons)}"[:_MOST_TEXT],
                )
            except Exception:
                if entry.token not in {one.token for one in self._entries()}:
                    raise
            self.step("appended")
            return entry.token in fold(self._entries()).counted

    def settle(self) -> list[str]:
        """Set the aliases to what the log says; sentences about what was not so.

        Repeated until the log was the same before and after: whoever came later may have set them earlier.
        """
        said: list[str] = []
        while True:
            with self._explained():
                state = fold(self._entries())
                if state.champion is None:
                    return said
                is_so = self._aliases()
                wanted = {
                    PREVIOUS: None if state.previous is None else state.previous.version,
                    CHAMPION: state.champion.version,
                }
                # A candidate that was promoted is none any more.
                if is_so.get(CANDIDATE) == state.champion.version:
                    wanted[CANDIDATE] = None
                for alias, version in wanted.items():
                    if is_so.get(alias) == version:
                        continue
                    said.append(f"{alias} was {_number(is_so.get(alias))} and is {_number(version)}")
                    if version is None:
                        self.client.delete_registered_model_alias(self.model, alias)
                    else:
                        self.client.set_registered_model_alias(self.model, alias, version)
                    self.step(f"alias {alias}")
                if fold(self._entries()).champion == state.champion:
                    return said

    def note(self, version: str, verdict: str, reasons: tuple[str, ...], at: str) -> None:
        """Write what was decided about a version to its tags."""
        with self._explained():
            for name, value in (
                ("gate_verdict", verdict),
                ("gate_reasons", _fitting(list(reasons))),
                ("gate_at", at),
            ):
                self.client.set_model_version_tag(self.model, version, name, value)
            self.step("noted")

    def _entries(self) -> list[Entry]:
        found = sorted(_versions(self.client, self.log), key=lambda version: int(version.version))
        return [entry for entry in map(_entry, found) if entry is not None]

    def _aliases(self) -> dict[str, str]:
        from mlflow.exceptions import MlflowException

        try:
            aliases = self.client.get_registered_model(self.model).aliases
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
        return {alias: str(version) for alias, version in aliases.items()}

    def _version(self, version: str) -> Any:
        with self._explained():
            from mlflow.exceptions import MlflowException

            try:
                return self.client.get_model_version(self.model, version)
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
        raise UsageError(
            f"there is no version {version or '(none)'} of {self.model} in MLflow at {self.shown}; "
            "`make mlflow` lists them",
            code="no_version",
        )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        # Within a training the record's own explanation stands around everything.
        if not self.shown:
            yield
            return
        with failures_explained(self.shown, _DID_NOT_ANSWER):
            yield


_DID_NOT_ANSWER: Final = "did not answer for its registry"


def _versions(client: Any, model: str) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = client.search_model_versions(
            f"name = '{quoted(model)}'", max_results=_PAGE, order_by=["version_number ASC"], page_token=token
        )
        found += page
        token = page.token
        if not token:
            return found


def _create_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _entry(version: Any) -> Entry | None:
    """A version of the log as an entry; None for one somebody added by hand."""
    tags = version.tags
    try:
        return Entry(
            action=tags["action"],
            bundle_id=tags["bundle_id"],
            version=tags["version"] or None,
            replaces=tags["replaces"],
            replaces_version=tags["replaces_version"] or None,
            at=tags["at"],
            by=tags["by"],
            reasons=tuple(json.loads(tags["reasons"])),
            token=tags["token"],
        )
    except (KeyError, ValueError):
        return None


def _fitting(reasons: list[str]) -> str:
    """Reasons as JSON, the last ones left out where a tag cannot hold them all."""
    while len(text := json.dumps(reasons)) > _MOST_TEXT:
        reasons = reasons[:-1]
    return text


def _verdicts(gate: dict[str, Any] | None) -> str:
    """Check -> verdict and figures, as JSON; the sentences stand among the reasons."""
    checks = [] if gate is None else gate["checks"]
    text = json.dumps({check["code"]: [check["verdict"], check["figures"]] for check in checks})
    return text if len(text) <= _MOST_TEXT else "{}"


def _number(version: str | None) -> str:
    return "nothing" if version is None else f"version {version}"
