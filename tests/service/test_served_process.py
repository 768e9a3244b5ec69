"""The real server, started as a user starts it: what it answers, loads and writes, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from running_server import KEY, Server, environment_for, free_port, running

from forecast.service.engine import Engine
from forecast.service.intake import MAX_BODY
from forecast.service.openapi import example_forecast_request, example_score_request

pytestmark = pytest.mark.e2e

# What serving must never need. Each is replaced by a module that leaves a mark and breaks.
UNWANTED = ("mlflow", "training", "sklearn", "lightgbm", "altair", "vl_convert")


@pytest.fixture(scope="module")
def unwanted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules that record being imported, to be put before all others."""
    folder = tmp_path_factory.mktemp("unwanted")
    for name in UNWANTED:
        mark = folder / f"{name}.imported"
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise ImportError({name!r})\n")
    return folder


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, trained_bundle: Path, unwanted: Path
) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("server")
    port = free_port()
    arguments = ["forecast.cli", "serve", "--port", str(port), "--bundle", str(trained_bundle)]
    path = os.pathsep.join([str(unwanted), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = environment_for(home, trained_bundle, PYTHONPATH=path)
    with running(arguments, port, home, environment, home) as started:
        yield started


def example(bundle: Path) -> dict[str, Any]:
    pipeline, stages = Engine.load(bundle).example_stages()
    return example_score_request(stages, pipeline)


def test_it_answers_as_the_library_does(server: Server, trained_bundle: Path) -> None:
    engine = Engine.load(trained_bundle)
    pipeline, stages = engine.example_stages()
    for path, body, compute in (
        ("/v1/score", example_score_request(stages, pipeline), engine.score),
        ("/v1/forecast", example_forecast_request(stages, pipeline), engine.forecast),
    ):
        response = server.ask("POST", path, json=body)
        assert response.status_code == 200
        assert response.content == compute(json.dumps(body).encode(), time.time_ns() // 1000)[0]
    assert server.ask("GET", "/v1/model").content == engine.model()
    assert server.ask("GET", "/docs.json").content == engine.openapi()


def test_only_what_serving_needs_is_loaded(server: Server, trained_bundle: Path, unwanted: Path) -> None:
    assert server.ask("POST", "/v1/score", json=example(trained_bundle)).status_code == 200
    assert [path.name for path in unwanted.glob("*.imported")] == []


@pytest.mark.parametrize(
    "path", ["/", "/schema.json", "/docs.json", "/metrics", "/v1/model", "/static_content/"]
)
def test_nothing_of_the_framework_stays_open(server: Server, path: str) -> None:
    response = server.ask("GET", path, headers={"authorization": "Bearer wrong"})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "unauthorized"


def test_probes_answer_without_a_key(server: Server) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        assert server.ask("GET", path, headers={"authorization": ""}).status_code == 200
        assert server.ask("POST", path).json()["error"]["code"] == "bad_method"


def test_too_large_a_body_is_told_so_even_in_the_middle_of_sending(server: Server) -> None:
    headers = {"content-type": "application/json"}
    for size in (MAX_BODY + 1, 4 * MAX_BODY):
        declared = server.ask("POST", "/v1/score", content=b" " * size, headers=headers)
        parts = (b" " * (size // 4 + 1) for _ in range(4))
        streamed = server.ask("POST", "/v1/score", content=parts, headers=headers)
        for response in (declared, streamed):
            assert response.status_code == 413
            assert response.json()["error"]["code"] == "body_too_large"


def test_stalled_senders_do_not_keep_others_waiting(server: Server, trained_bundle: Path) -> None:
    head = f"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    stalled = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    try:
        for connection in stalled:
            connection.sendall(head.encode())
        assert server.ask("POST", "/v1/score", json=example(trained_bundle)).status_code == 200
    finally:
        for connection in stalled:
            connection.close()


def test_a_large_book_lets_small_requests_by(server: Server, trained_bundle: Path) -> None:
    small = example(trained_bundle)
    deal = small["deals"][0]  # type: ignore[index]
    large = {**small, "deals": [{**deal, "deal_id": f"L-{number}"} for number in range(2000)], "reasons": 0}
    with ThreadPoolExecutor(1) as background:
        slow = background.submit(server.ask, "POST", "/v1/score", json=large)
        while not slow.done():
            assert server.ask("POST", "/v1/score", json=small).status_code == 200
        assert len(slow.result().json()["scores"]) == 2000


def test_metrics_and_log_know_routes_but_no_values(server: Server, trained_bundle: Path) -> None:
    body = example(trained_bundle)
    body["deals"][0]["deal_id"] = "Ada-Canary-7731"  # type: ignore[index]
    body["deals"][0]["Ada-Canary-name"] = "Ada-Canary-value"  # type: ignore[index]
    assert server.ask("POST", "/v1/score", json=body).status_code == 200
    body["deals"][0]["amount"] = "Ada-Canary-amount"  # type: ignore[index]
    refused = server.ask("POST", "/v1/score", json=body, headers={"x-request-id": "named-1"})
    assert server.ask("GET", "/v1/model?mail=Ada-Canary").json()["error"]["code"] == "unknown_key"
    assert (refused.status_code, refused.json()["error"]["request_id"]) == (400, "named-1")
    server.ask("GET", "/Ada-Canary-path%0aforged")
    metrics = server.ask("GET", "/metrics").text
    assert 'forecast_http_requests_total{route="/v1/score",status="200"}' in metrics
    assert 'forecast_http_refused_total{code="not_a_number"}' in metrics
    log = server.log.read_text()
    assert re.search(r"request=named-1 bundle=\w+ code=not_a_number$", log, re.MULTILINE)
    assert "GET other 404" in log
    for text in (metrics, log):
        assert "Canary" not in text
        assert KEY not in text


# -- how it starts and ends ---------------------------------------------------------------------------------


def start(arguments: list[str], home: Path, bundle: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to fail by itself."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        env=environment_for(home, bundle, **more),
        cwd=home,
        check=False,
    )


def test_a_damaged_bundle_is_not_served(tmp_path: Path, trained_bundle: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(trained_bundle, damaged)
    outcome = damaged / "outcome.json"
    outcome.write_bytes(outcome.read_bytes()[:-20])
    done = start(
        ["forecast.cli", "serve", "--port", str(free_port()), "--bundle", str(damaged)], tmp_path, damaged
    )
    assert done.returncode == 7
    assert "Traceback" not in done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "outcome.json" in last


def test_bentoml_alone_starts_neither_without_key_nor_without_bundle(
    tmp_path: Path, trained_bundle: Path
) -> None:
    command = ["bentoml", "serve", "forecast.service.app:Forecast", "--port", str(free_port())]
    for bundle, key, code in ((trained_bundle, "", 2), (tmp_path / "missing", KEY, 7)):
        done = start(command, tmp_path, bundle, FORECAST_API_KEY=key)
        assert done.returncode == code
        assert "Traceback" not in done.stdout + done.stderr
        assert done.stderr.strip().splitlines()[-1].startswith("error: ")


def test_on_its_own_it_makes_a_key_and_ends_cleanly(tmp_path: Path, trained_bundle: Path) -> None:
    bundle = tmp_path / "models" / "sample"
    shutil.copytree(trained_bundle, bundle)
    (tmp_path / "models" / "current").write_text("sample\n")
    port = free_port()
    environment = environment_for(tmp_path, bundle)
    for name in ("FORECAST_API_KEY", "FORECAST_BUNDLE"):
        del environment[name]
    arguments = ["forecast.cli", "serve", "--port", str(port), "--workers", "2"]
    with running(arguments, port, tmp_path, environment, tmp_path) as started:
        file = tmp_path / "models" / ".serve-key"
        key = file.read_text().strip()
        assert file.stat().st_mode & 0o777 == 0o600
        answer = started.ask("GET", "/v1/model", headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 200
        assert str(file) in started.log.read_text()
        assert key not in started.log.read_text()
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(30) == 0


def test_a_key_has_one_allowance_however_many_workers_answer(tmp_path: Path, trained_bundle: Path) -> None:
    body, port = example(trained_bundle), free_port()
    rows = len(body["deals"])
    arguments = ["forecast.cli", "serve", "--port", str(port), "--workers", "2"]
    arguments += ["--bundle", str(trained_bundle)]
    allowed = {"FORECAST_ROWS_PER_MINUTE": str(5 * rows)}
    environment = environment_for(tmp_path, trained_bundle, **allowed)
    with running(arguments, port, tmp_path, environment, tmp_path) as started:
        # A connection of its own for each: the kernel deals them out among the workers.
        answers = [started.ask("POST", "/v1/score", json=body) for _ in range(40)]
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert 5 <= statuses.count(200) <= 6  # each worker by itself would let five by
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc")
def test_workers_end_with_a_supervisor_that_was_killed(tmp_path: Path, trained_bundle: Path) -> None:
    """Else they would hold the port, follow no signal and never be started again."""

    def lives(worker: str) -> bool:
        try:
            return Path(f"/proc/{worker}/stat").read_text().rpartition(") ")[2][0] != "Z"
        except OSError:
            return False

    port = free_port()
    arguments = ["forecast.cli", "serve", "--port", str(port), "--workers", "2"]
    with running(arguments, port, tmp_path, environment_for(tmp_path, trained_bundle), tmp_path) as started:
        pid = started.process.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(workers) >= 2
        assert all(map(lives, workers))
        started.process.kill()
        started.process.wait(10)
        deadline = time.monotonic() + 20
        while any(map(lives, workers)):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


@pytest.mark.slow
def test_a_bento_answers_as_the_command_does(tmp_path: Path, trained_bundle: Path, server: Server) -> None:
    """`bentoml build` and `bentoml serve TAG` from another folder, with the bundle that was packed."""
    root = Path(__file__).parents[2]
    project = tmp_path / "project"
    project.mkdir()
    shutil.copytree(root / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (project / "deploy").mkdir()
    for name in ("bentofile.yaml", "deploy/requirements.lock", "README.md"):
        shutil.copy(root / name, project / name)
    shutil.copytree(trained_bundle, project / "models" / "sample")
    (project / "models" / "current").write_text("sample\n")
    (project / "models" / ".serve-key").write_text(KEY)
    # A version of its own, to see that the packed code answers and not the installed one.
    package = project / "src" / "forecast" / "__init__.py"
    package.write_text(package.read_text() + '__version__ = "0+packed"\n')
    environment = environment_for(tmp_path, trained_bundle)
    del environment["FORECAST_BUNDLE"]
    built = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "--version", "test"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        cwd=project,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    packed = tmp_path / "bentoml" / "bentos" / "forecast-service" / "test" / "src"
    assert (packed / "forecast" / "service" / "app.py").is_file()
    assert (packed / "models" / "sample" / "manifest.json").is_file()
    assert list(packed.rglob(".serve-key")) == []
    wanted = (packed.parent / "env" / "python" / "requirements.txt").read_text()
    assert "bentoml==" in wanted
    assert "--hash=sha256:" in wanted
    assert "mlflow==" not in wanted

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.rmtree(project)
    port = free_port()
    arguments = ["bentoml", "serve", "forecast-service:test", "--port", str(port)]
    with running(arguments, port, tmp_path, environment, elsewhere) as bento:
        assert bento.ask("GET", "/docs.json").json()["info"]["version"] == "0+packed"
        assert bento.ask("GET", "/v1/model").content == server.ask("GET", "/v1/model").content
        body = example(trained_bundle)
        assert (
            bento.ask("POST", "/v1/score", json=body).content
            == server.ask("POST", "/v1/score", json=body).content
        )
