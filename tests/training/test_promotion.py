"""Who serves: a folder of bundles, a registry, both; races, meddling hands, servers that do not answer."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from forecast.bundle import load_bundle, resolve_bundle, set_current, write_bundle
from forecast.errors import BundleError, BusyError, UnavailableError, UsageError
from forecast.models import FittedModels
from forecast.models.season import Season
from forecast.promotion.desk import Desk
from forecast.promotion.log import Served
from forecast.promotion.shelf import Shelf
from training.settings import TrackingSettings, read_settings
from training.tracking import Record, Registry, record

# What MLflow's own use of its libraries warns of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
NOW = pd.Timestamp("2026-01-01", tz="UTC")


@pytest.fixture(scope="session")
def two_bundles(sample_models: FittedModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundles `a`, `b` and `c`, different in their metrics alone."""
    models = dataclasses.replace(sample_models, seasons=(Season.flat(), Season.flat()))
    folder = tmp_path_factory.mktemp("bundles")
    for name in "abc":
        write_bundle(models, folder / name, metrics={"name": name}, data_fingerprint="")
    return folder


@pytest.fixture
def root(two_bundles: Path, tmp_path: Path) -> Path:
    """The same to write into, `a` serving."""
    root = tmp_path / "models"
    shutil.copytree(two_bundles, root)
    assert Shelf(root).serve_first(root / "a", NOW)
    return root


@pytest.fixture
def desk(root: Path) -> Desk:
    return Desk(Shelf(root), None, NOW)


def promote(desk: Desk, name: str) -> Served:
    served = desk.state().champion
    new = desk.candidate_of_folder(desk.shelf.root / name)
    desk.promote(new, served, ("it is better",), None)
    return new


def serving(root: Path) -> str:
    """Which of a, b and c a reader of the pointer gets."""
    name: str = load_bundle(root / "current").manifest["metrics"]["name"]
    return name


def test_the_first_bundle_serves_and_later_ones_do_not(root: Path) -> None:
    assert serving(root) == "a"
    assert not Shelf(root).serve_first(root / "b", NOW)
    assert serving(root) == "a"


def test_replacing_the_folder_it_was_promoted_from_changes_nothing(desk: Desk) -> None:
    root = desk.shelf.root
    shutil.rmtree(root / "a")
    shutil.copytree(root / "b", root / "a")
    assert serving(root) == "a"


def test_promoting_and_rolling_back(desk: Desk) -> None:
    root = desk.shelf.root
    promote(desk, "b")
    assert serving(root) == "b"
    promote(desk, "c")
    assert serving(root) == "c"
    desk.roll_back("off")
    assert serving(root) == "b"
    desk.roll_back("off")
    assert serving(root) == "a"
    with pytest.raises(UsageError, match="nothing to roll back to: nothing else served"):
        desk.roll_back("off")
    assert [one.action for one in desk.shelf.entries()] == [
        "first",
        "promote",
        "promote",
        "rollback",
        "rollback",
    ]
    assert desk.shelf.entries()[3].reasons == ("off",)


def test_a_refusal_is_written_down(desk: Desk) -> None:
    new = desk.candidate_of_folder(desk.shelf.root / "b")
    desk.refuse(new, desk.state().champion, ("worse",), {"checks": []})
    assert serving(desk.shelf.root) == "a"
    assert desk.shelf.entries()[-1].action == "refuse"
    assert desk.shelf.entries()[-1].reasons == ("worse",)


def test_of_two_compared_with_the_same_champion_the_second_is_told_so(desk: Desk) -> None:
    a = desk.state().champion
    second = desk.candidate_of_folder(desk.shelf.root / "c")
    promote(desk, "b")
    with pytest.raises(BusyError, match=r"another command came first: bundle \w{12} serves now, not bundle"):
        desk.promote(second, a, ("it is better",), None)
    assert serving(desk.shelf.root) == "b"


def test_a_pointer_set_by_hand_is_brought_back_and_said(desk: Desk) -> None:
    root = desk.shelf.root
    set_current(root / "c")
    (said,) = desk.settle()
    assert "current named" in said
    assert serving(root) == "a"
    assert desk.settle() == []


def test_a_pointer_from_before_there_was_a_log_is_kept_and_begins_it(
    two_bundles: Path, tmp_path: Path
) -> None:
    root = tmp_path / "models"
    shutil.copytree(two_bundles, root)
    set_current(root / "b")
    desk = Desk(Shelf(root), None, NOW)
    (said,) = desk.settle()
    assert "is kept as promoted-" in said
    assert resolve_bundle(root / "current").name.startswith("promoted-")
    assert serving(root) == "b"


def test_a_champion_that_does_not_load_gives_way_to_a_new_training(desk: Desk) -> None:
    root = desk.shelf.root
    (resolve_bundle(root / "current") / "season.json").write_text("{}")
    assert Shelf(root).serve_first(root / "b", NOW)
    assert serving(root) == "b"
    assert "could not be loaded" in desk.shelf.entries()[-1].reasons[0]


def test_a_damaged_bundle_is_never_kept(desk: Desk) -> None:
    root = desk.shelf.root
    (root / "b" / "season.json").write_text("{}")
    with pytest.raises(BundleError, match=r"season\.json is damaged"):
        desk.candidate_of_folder(root / "b")
    assert [path.name for path in root.glob("promoted-*")] == [resolve_bundle(root / "current").name]


def test_rolling_back_to_what_was_deleted_changes_nothing(desk: Desk) -> None:
    gone = resolve_bundle(desk.shelf.root / "current")
    promote(desk, "b")
    shutil.rmtree(gone)
    with pytest.raises(BundleError, match="no bundle at"):
        desk.roll_back("off")
    assert serving(desk.shelf.root) == "b"


def test_a_log_damaged_by_hand_is_named_with_its_line(desk: Desk) -> None:
    with desk.shelf.log.open("a", encoding="utf-8") as file:
        file.write("{half\n")
    with pytest.raises(BundleError, match=r"promotions\.jsonl, line 2 is no entry"):
        desk.settle()


# With a registry


@pytest.fixture
def tracking(tracking_db: str, tmp_path: Path) -> TrackingSettings:
    return dataclasses.replace(read_settings().tracking, uri=tracking_db, model=tmp_path.name)


@pytest.fixture
def shared(root: Path, tracking: TrackingSettings) -> Desk:
    """`a`, `b` and `c` as versions 1 to 3; `a` serves."""
    for name in "abc":
        bundle_id = load_bundle(root / name).id
        record(
            Record(root / name, bundle_id, params={}, metrics={}, tags={}, started=time.time()),
            tracking,
            register=True,
        )
    return Desk(Shelf(root), Registry.open(tracking), NOW)


def registry_of(desk: Desk) -> Registry:
    assert isinstance(desk.registry, Registry)
    return desk.registry


def aliases(desk: Desk) -> dict[str, str]:
    registry = registry_of(desk)
    found = registry.client.get_registered_model(registry.model).aliases
    return {name: str(version) for name, version in found.items()}


def promote_version(desk: Desk, version: str) -> None:
    desk.promote(desk.candidate_of_version(version), desk.state().champion, ("it is better",), {"checks": []})


def test_a_registered_version_is_promoted_and_rolled_back(shared: Desk) -> None:
    assert aliases(shared) == {"champion": "1", "candidate": "3"}
    promote_version(shared, "3")
    assert aliases(shared) == {"champion": "3", "previous": "1"}
    assert serving(shared.shelf.root) == "c"
    shared.roll_back("off")
    assert aliases(shared) == {"champion": "1"}
    assert serving(shared.shelf.root) == "a"
    registry = registry_of(shared)
    tags = registry.client.get_model_version(registry.model, "3").tags
    assert (tags["gate_verdict"], json.loads(tags["gate_reasons"])) == ("rolled back", ["off"])
    log = registry.client.search_model_versions(f"name = '{registry.log}'")
    assert [one.tags["action"] for one in sorted(log, key=lambda one: int(one.version))] == [
        "first",
        "promote",
        "rollback",
    ]


def test_a_machine_that_was_not_there_follows_the_registry(
    shared: Desk, two_bundles: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(two_bundles / "b", elsewhere / "b")
    Shelf(elsewhere).serve_first(elsewhere / "b", NOW)
    promote_version(shared, "3")
    other = Desk(Shelf(elsewhere), shared.registry, NOW)
    (said,) = other.settle()
    assert "follows the registry: version 3" in said
    assert serving(elsewhere) == "c", "fetched from the registry"


def test_a_damaged_champion_is_fetched_again(shared: Desk) -> None:
    place = resolve_bundle(shared.shelf.pointer)
    (place / "season.json").write_text("{}")
    shared.settle()
    assert serving(shared.shelf.root) == "a"
    assert [path for path in shared.shelf.root.iterdir() if "damaged" in path.name] == []


def test_aliases_moved_by_hand_are_set_back_and_said(shared: Desk) -> None:
    registry = registry_of(shared)
    registry.client.set_registered_model_alias(registry.model, "champion", "2")
    assert shared.settle() == ["champion was version 2 and is version 1"]
    assert aliases(shared)["champion"] == "1"


def test_a_folder_that_is_not_registered_is_no_second_truth(shared: Desk, two_bundles: Path) -> None:
    models = load_bundle(two_bundles / "a").models
    write_bundle(models, shared.shelf.root / "d", metrics={"name": "d"}, data_fingerprint="")
    with pytest.raises(UsageError, match="is not registered, and MLflow at sqlite"):
        shared.candidate_of_folder(shared.shelf.root / "d")


def test_a_version_that_does_not_exist_is_named(shared: Desk) -> None:
    with pytest.raises(UsageError, match="there is no version 9 of"):
        shared.candidate_of_version("9")


def test_a_candidate_is_not_champion_where_another_bundle_serves(
    root: Path, tracking: TrackingSettings
) -> None:
    bundle_id = load_bundle(root / "b").id
    done = record(
        Record(root / "b", bundle_id, params={}, metrics={}, tags={}, started=time.time()),
        tracking,
        register=True,
    )
    assert done.alias == "candidate"
    desk = Desk(Shelf(root), Registry.open(tracking), NOW)
    desk.settle()
    assert serving(root) == "a"
    promote_version(desk, "1")
    assert serving(root) == "b"
    assert aliases(desk) == {"champion": "1"}


def test_two_promotions_at_once_have_one_winner(shared: Desk, tracking: TrackingSettings) -> None:
    """Five rounds; both decided against the same champion and write at the same time."""
    root = shared.shelf.root
    for _ in range(5):
        champion = shared.state().champion
        assert champion is not None
        rivals = [version for version in "123" if version != champion.version]
        desks = [Desk(Shelf(root), Registry.open(tracking), NOW) for _ in rivals]
        candidates = [one.candidate_of_version(version) for one, version in zip(desks, rivals, strict=True)]
        start = threading.Barrier(2)
        lost: list[str] = []

        def race(
            desk: Desk, new: Served, against: Served, start: threading.Barrier = start, lost: list[str] = lost
        ) -> None:
            start.wait()
            try:
                desk.promote(new, against, ("it is better",), {"checks": []})
            except BusyError:
                lost.append(new.version or "")

        threads = [
            threading.Thread(target=race, args=(one, new, champion))
            for one, new in zip(desks, candidates, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(lost) == 1
        (winner,) = set(rivals) - set(lost)
        assert shared.settle() == []
        assert aliases(shared)["champion"] == winner
        assert load_bundle(root / "current").id == shared.registry.served(winner).bundle_id  # type: ignore[union-attr]


def test_a_server_that_does_not_answer_is_an_error_before_anything_changes(
    root: Path, tracking: TrackingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings = dataclasses.replace(tracking, uri=f"http://me:secret@127.0.0.1:{port}", retries=1)
    before = sorted(path.name for path in root.iterdir())
    desk = Desk(Shelf(root), Registry.open(settings), NOW)
    with pytest.raises(
        UnavailableError, match=rf"MLflow at http://127\.0\.0\.1:{port} did not answer for its"
    ):
        desk.settle()
    assert sorted(path.name for path in root.iterdir()) == before


def test_without_tracking_or_without_a_database_there_is_no_registry(tmp_path: Path) -> None:
    tracking = read_settings().tracking
    assert Registry.open(dataclasses.replace(tracking, enabled=False)) is None
    assert Registry.open(dataclasses.replace(tracking, uri=f"sqlite:///{tmp_path / 'none.db'}")) is None
    assert not (tmp_path / "none.db").exists()
