"""A search: what is better is found, luck is not; an interrupted one goes on as if it had not been."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from oracles import HOLDOUT

from forecast.errors import DataError, OutputError
from forecast.history import History
from forecast.models import FitSettings
from training.settings import read_settings
from training.tuning.result import changed_keys, tuned_text
from training.tuning.study import Budget, Found, Gain, search

Oracles = Callable[[Callable[[FitSettings], float]], list[FitSettings]]
START = FitSettings()


def run(
    history: History,
    folder: Path,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    settings: FitSettings = START,
    fingerprint: str = "data",
) -> Found:
    return search(
        history,
        fingerprint,
        HOLDOUT,
        settings,
        folder,
        Budget(seconds, trials),
        tell=lambda _text, _finished, _spent: None,
    )


def by_ridge(settings: FitSettings) -> float:
    """The stronger the shrinkage, the better; nothing else matters."""
    return 0.3 + 0.1 * float(np.log2(settings.ridge_grid[0] / 3.0))


def test_what_is_better_is_found_with_how_much(
    sample_history: History, oracles: Oracles, tmp_path: Path
) -> None:
    oracles(by_ridge)
    found = run(sample_history, tmp_path / "a", trials=25)
    assert found.settings.ridge_grid[0] > START.ridge_grid[0]
    assert found.is_better
    assert found.gain.value > 2 * found.gain.error > 0.0
    assert found.gain.value == pytest.approx(found.default_loss - found.best_loss)
    assert found.finished == 25
    # Half the trials shrink less, and are worse from the first fold on.
    assert 3 <= found.given_up <= 20


def test_where_nothing_matters_the_defaults_stand(
    sample_history: History, oracles: Oracles, tmp_path: Path
) -> None:
    oracles(lambda _settings: 0.4)
    found = run(sample_history, tmp_path / "a", trials=6)
    assert found.settings == START
    assert not found.is_better
    assert found.gain == Gain(0.0, 0.0)
    assert found.given_up == 0


def test_luck_is_not_taken_for_an_improvement() -> None:
    rng = np.random.default_rng(5)
    clear = 0
    for _ in range(400):
        before = rng.exponential(size=(2, 300)) / 300
        clear += Gain.of(before, before * rng.lognormal(0, 0.5, before.shape) / np.exp(0.125)).is_clear
    assert clear / 400 < 0.05  # one side of two standard errors


def test_the_standard_error_is_that_of_drawing_deals_again() -> None:
    rng = np.random.default_rng(6)
    before, after = rng.exponential(size=(3, 500)) / 500, rng.exponential(size=(3, 500)) / 520
    gain = Gain.of(before, after)
    each = (before - after).mean(axis=0)
    drawn = [each[rng.integers(0, 500, 500)].sum() for _ in range(4_000)]
    assert gain.value == pytest.approx(each.sum())
    assert gain.error == pytest.approx(np.std(drawn), rel=0.05)


def test_the_same_seed_and_number_of_trials_find_the_same(
    sample_history: History, oracles: Oracles, tmp_path: Path
) -> None:
    tried = oracles(by_ridge)
    first = run(sample_history, tmp_path / "a", trials=12)
    settings_of_first = list(tried)
    tried.clear()
    assert run(sample_history, tmp_path / "b", trials=12) == first
    assert tried == settings_of_first
    other = run(sample_history, tmp_path / "c", trials=12, settings=replace(START, seed=1))
    assert other.settings.seed == 1
    assert tried[len(settings_of_first) :] != settings_of_first


def test_going_on_is_as_never_having_stopped(
    sample_history: History, oracles: Oracles, tmp_path: Path
) -> None:
    tried = oracles(by_ridge)
    whole = run(sample_history, tmp_path / "whole", trials=14)
    tried.clear()
    for trials in (1, 2, 9, 14):
        stopped = run(sample_history, tmp_path / "parts", trials=trials)
        assert stopped.finished == trials
    assert stopped == whole
    # What is finished is never done again.
    before = len(tried)
    assert run(sample_history, tmp_path / "parts", trials=14) == whole
    assert len(tried) == before


class Killed(BaseException):
    """The process ends here."""


def test_a_trial_that_was_cut_off_is_proposed_again(
    sample_history: History, oracles: Oracles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever fit it dies in, the result is that of a search nobody stopped."""
    oracles(by_ridge)
    whole = run(sample_history, tmp_path / "whole", trials=8)
    from training.tuning import study

    fit = study.fit_models
    rng = np.random.default_rng(2)
    deaths = 0
    while True:
        left = int(rng.integers(1, 9))

        def dying(*args: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return fit(*args, **more)

        monkeypatch.setattr(study, "fit_models", dying)
        try:
            found = run(sample_history, tmp_path / "killed", trials=8)
            break
        except Killed:
            deaths += 1
    assert deaths >= 2
    assert found == whole


def test_without_time_only_the_defaults_are_finished(
    sample_history: History, oracles: Oracles, tmp_path: Path
) -> None:
    oracles(by_ridge)
    found = run(sample_history, tmp_path / "a", seconds=1e-9)
    assert (found.finished, found.settings) == (1, START)
    # And whoever has no time at all does not lose what there was.
    assert run(sample_history, tmp_path / "a", seconds=1e-9) == found


def test_another_question_does_not_mix_with_this_one(
    sample_history: History, oracles: Oracles, tmp_path: Path
) -> None:
    oracles(by_ridge)
    run(sample_history, tmp_path / "a", trials=1)
    with pytest.raises(OutputError, match="holds a search with another data_fingerprint; remove it"):
        run(sample_history, tmp_path / "a", trials=1, fingerprint="other")
    with pytest.raises(OutputError, match="another settings"):
        run(sample_history, tmp_path / "a", trials=1, settings=replace(START, seed=4))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(OutputError, match="is no search"):
        run(sample_history, tmp_path / "b", trials=1)


def test_a_damaged_search_is_told_and_not_used(
    sample_history: History, oracles: Oracles, tmp_path: Path
) -> None:
    oracles(by_ridge)
    run(sample_history, tmp_path / "a", trials=1)
    (path,) = (tmp_path / "a").glob("trial-*.npy")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(OutputError, match=r"trial-00000\.npy is missing or damaged; remove"):
        run(sample_history, tmp_path / "a", trials=1)


def test_a_company_that_never_won_cannot_be_tuned(
    sample_history: History, oracles: Oracles, tmp_path: Path
) -> None:
    oracles(by_ridge)
    kind = sample_history.columns.stages.kind
    nobody = replace(
        sample_history,
        columns=replace(
            sample_history.columns,
            stages=replace(sample_history.columns.stages, kind=np.where(kind == 1, 2, kind)),
        ),
    )
    with pytest.raises(DataError, match="nothing can be tuned"):
        run(nobody, tmp_path / "a", trials=1)


def test_optuna_is_quiet_and_its_file_is_one_anybody_can_read(
    sample_history: History, oracles: Oracles, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    oracles(by_ridge)
    run(sample_history, tmp_path / "a", trials=3)
    assert capfd.readouterr() == ("", "")
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'a' / 'study.db'}")
    trials = optuna.load_study(study_name="tune", storage=storage).trials
    assert len(trials) == 3
    assert trials[0].params["ridge"] == 1.0
    storage.remove_session()
    storage.engine.dispose()
    assert json.loads((tmp_path / "a" / "about.json").read_text("utf-8"))["data_fingerprint"] == "data"


def test_the_file_written_holds_what_was_found_and_all_it_started_from(
    sample_history: History, oracles: Oracles, tmp_path: Path
) -> None:
    start = tmp_path / "my.toml"
    start.write_text(
        '[fit]\nmin_closed_deals = 50\n[holdout]\ndays = 150\n[stages.rename]\n"A \\"b\\"" = "c"\n'
        '[[stages.redefined]]\nuntil = 2024-01-01\nrename = { x = "c" }\n[bant]\nwords = { Perhaps = "" }\n',
        encoding="utf-8",
    )
    settings = read_settings(start)
    oracles(by_ridge)
    found = run(sample_history, tmp_path / "a", trials=20, settings=settings.fit)
    assert changed_keys(settings.fit, found.settings)
    path = tmp_path / "tuned.toml"
    path.write_text(tuned_text(settings, found, (0.8, 0.7, Gain(0.1, 0.02)), HOLDOUT), encoding="utf-8")
    again = read_settings(path)
    assert again == replace(settings, fit=found.settings)
    text = path.read_text("utf-8")
    was = ", ".join(map(str, START.ridge_grid))
    assert f"# tuned; it was [{was}]\nridge_grid = [" in text
    assert "# On the held-out period from 2025-07-04, which the search did not see: 20.00% and 30.00%" in text
