"""The example of nginx: it is accepted, cuts slow senders, keeps floods out, lets normal requests through."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import httpx
import pytest

CONFIGURATION: Final = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
NGINX: Final = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
OPENSSL: Final = shutil.which("openssl")
UNCHECKED: Final = ssl.create_default_context()
UNCHECKED.check_hostname = False
UNCHECKED.verify_mode = ssl.CERT_NONE  # the certificate is made for this test alone

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(NGINX is None or OPENSSL is None, reason="needs nginx and openssl"),
]


class Upstream(BaseHTTPRequestHandler):
    """In the service's place: says how much arrived."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one go

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self._answer({"bytes": len(body), "id": self.headers["x-request-id"]})

    def do_GET(self) -> None:
        self._answer({"path": self.path})

    def _answer(self, said: dict[str, object]) -> None:
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Proxy:
    plain: int
    tls: int

    def ask(self, method: str, path: str, content: bytes = b"") -> httpx.Response:
        url = f"https://127.0.0.1:{self.tls}{path}"
        return httpx.request(method, url, content=content, verify=UNCHECKED, timeout=10, trust_env=False)

    def connect(self) -> ssl.SSLSocket:
        return UNCHECKED.wrap_socket(socket.create_connection(("127.0.0.1", self.tls), timeout=10))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """nginx with the example, its places and ports changed, and its ten seconds made one."""
    folder = tmp_path_factory.mktemp("nginx")
    subprocess.run(
        [
            str(OPENSSL), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-keyout", str(folder / "key.pem"), "-out", str(folder / "full.pem"),
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    plain, tls = free_port(), free_port()
    text = CONFIGURATION.read_text("utf-8")
    for here, there in {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{tls} ssl;",
        "/etc/ssl/forecast/": f"{folder}/",
        "server 127.0.0.1:3000": f"server 127.0.0.1:{upstream.server_address[1]}",
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx/": f"{folder}/",
        "client_header_timeout 10s": "client_header_timeout 1s",
        "client_body_timeout   10s": "client_body_timeout 1s",
    }.items():
        assert here in text
        text = text.replace(here, there)
    text = text.replace("http {", "http {\n" + "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    ), 1)  # fmt: skip
    configuration = folder / "nginx.conf"
    # Started by root, workers would be somebody else, who cannot write below a test's folder.
    start = "user root;\n" if os.getuid() == 0 else ""
    configuration.write_text(f"daemon off;\n{start}{text}")
    tried = subprocess.run(
        [str(NGINX), "-t", "-c", str(configuration)], capture_output=True, text=True, timeout=30, check=False
    )
    assert tried.returncode == 0, tried.stderr
    process = subprocess.Popen([str(NGINX), "-c", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", tls), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield Proxy(plain, tls)
    finally:
        process.terminate()
        process.wait(20)
        upstream.shutdown()
        upstream.server_close()


def test_a_normal_request_passes_whole_and_gets_an_id(proxy: Proxy) -> None:
    answer = proxy.ask("POST", "/v1/score", b"x" * 2_000_000)
    assert answer.status_code == 200
    assert answer.json()["bytes"] == 2_000_000
    assert len(answer.json()["id"]) == 32


def test_speech_without_tls_is_sent_to_tls(proxy: Proxy) -> None:
    answer = httpx.get(f"http://127.0.0.1:{proxy.plain}/v1/model", trust_env=False)
    assert answer.status_code == 308
    assert answer.headers["location"].startswith("https://")


@pytest.mark.parametrize(
    "start",
    [
        b"POST /v1/score HTTP/1.1\r\nHost: x\r\nX-Slow",
        b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["headers", "body"],
)
def test_a_slow_sender_is_cut(proxy: Proxy, start: bytes) -> None:
    with proxy.connect() as connection:
        connection.sendall(start)
        began = time.monotonic()
        try:
            while connection.recv(4096):
                pass
        except OSError:
            pass  # reset is an end, too
        assert time.monotonic() - began < 8


def test_too_large_a_body_is_told_so_in_the_one_shape(proxy: Proxy) -> None:
    answer = proxy.ask("POST", "/v1/score", b"x" * (5 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    assert set(answer.json()["error"]) == {"code", "message", "field", "row", "request_id"}


def test_what_is_for_operators_is_not_there(proxy: Proxy) -> None:
    assert {proxy.ask("GET", path).status_code for path in ("/metrics", "/readyz")} == {404}


def test_a_flood_gets_429_with_retry_after(proxy: Proxy) -> None:
    with ThreadPoolExecutor(8) as several:
        answers = list(several.map(lambda _: proxy.ask("GET", "/v1/model"), range(150)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json()["error"]["code"] == "too_many_requests"
