"""What the tests of the live view share: a stand-in for Visdom's server, a real one, and records to log."""

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from coopcut.engine.position import Position
from coopcut.monitors import Record, RunInfo
from coopcut.monitors.visdom.assets import find_assets
from coopcut.util.errors import UserError
from tests.tools import ROOT, train_options

PER_EPOCH = 10  # samples of an epoch
COOPERATIVE = {"D": 0.1, "f_real": 0.3, "gap": 0.2, "teach": 0.01, "G": 2.0, "NCE": 4.0}
ADVERSARIAL = {"D_real": 0.2, "G_GAN": 0.5, "NCE": 3.0}


class Handler(BaseHTTPRequestHandler):
    server: "StandIn"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = str(any(post["win"] == body["win"] for post in list(self.server.posts))).lower()
        if self.path == "/events":
            self.server.posts.append(body)
            said = body["win"] if self.server.says is None else self.server.says
        self.send_response_only(self.server.status)
        self.end_headers()
        self.wfile.write(said.encode())


class StandIn(ThreadingHTTPServer):
    """Records what is posted, newest last, and answers `status` with the name of the window, or with `says`."""

    def __init__(self, port: int = 0, status: int = 200, says: str | None = None) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.posts: list[dict[str, Any]] = []
        self.status, self.says = status, says
        self.port = self.server_port
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def titles(self) -> dict[str, dict[str, Any]]:
        """The newest window of each title, which is without the name of the run."""
        return {post["opts"]["title"].split(": ", 1)[1]: post for post in list(self.posts)}

    def __exit__(self, *error: Any) -> None:
        self.shutdown()
        super().__exit__(*error)


@contextmanager
def real_server(port: int, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """Visdom's server in a process of its own; the test is skipped where its page cannot be had."""
    pytest.importorskip("visdom", reason="the package visdom is not installed")
    try:
        find_assets()
    except UserError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "coopcut.monitors.visdom", "--port", str(port), *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process, ExitStack() as ending:
        ending.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == f"Visdom: http://localhost:{port}\n"
        yield process


def free_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def run_info(folder: Path, port: int, *flags: str) -> RunInfo:
    address = ["--display_server", "http://127.0.0.1", "--display_port", str(port), "--name", "run"]
    return RunInfo(train_options([*address, *flags]), folder, Position(), 100, PER_EPOCH)


def record(step: int, losses: dict[str, float], phase: str = "adversarial") -> Record:
    """After `step` steps of one image."""
    epochs, samples = divmod(step - 1, PER_EPOCH)
    position = Position(epochs + 1, samples + 1, step, step)
    return Record(position, phase, losses, lr=2e-4, seconds=0.1, waiting=0.025, epochs=step / PER_EPOCH, left=65.0)


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for what another thread or process does."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"waited {seconds} s in vain"
        time.sleep(0.01)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was warned of, or worse."""
    return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
