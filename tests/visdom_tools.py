"""What the tests of the live view share: a stand-in for Visdom's server, a real one, and records to log."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

from coopcut.engine.position import Position
from coopcut.monitors import Record, RunInfo, visdom
from coopcut.monitors.visdom.assets import cache_folder, find_assets
from coopcut.util.errors import UserError
from tests.tools import ROOT, train_options

PER_EPOCH = 10  # samples of an epoch
COOPERATIVE = {"D": 0.1, "f_real": 0.3, "gap": 0.2, "teach": 0.01, "G": 2.0, "NCE": 4.0}
ADVERSARIAL = {"D_real": 0.2, "G_GAN": 0.5, "NCE": 3.0}


class _Closing(ABC):
    """For `with`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None: ...


class StandIn(_Closing):
    """Records what is posted, newest last, and answers `status` with the name of the window, or with `says`."""

    def __init__(self, port: int = 0, status: int = 200, says: str | None = None) -> None:
        self.posts: list[dict[str, Any]] = []
        self.status, self.says = status, says
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/keep":
                    said = "kept"
                elif self.path == "/win_exists":
                    said = str(any(post["win"] == body["win"] for post in list(outer.posts))).lower()
                else:
                    outer.posts.append(body | {"path": self.path})
                    said = body["win"] if outer.says is None else outer.says
                answer = said.encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def holds(self, titles: set[str]) -> bool:
        return titles <= set(self.titles())

    def titles(self) -> dict[str, dict[str, Any]]:
        """The newest window of each title, which is without the name of the run."""
        return {post["opts"]["title"].split(": ", 1)[1]: post for post in list(self.posts)}

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_info(folder: Path, port: int, *flags: str) -> RunInfo:
    address = ["--display_server", "http://127.0.0.1", "--display_port", str(port), "--name", "run"]
    folder.mkdir(exist_ok=True)
    return RunInfo(train_options([*address, *flags]), folder, Position(), 100, PER_EPOCH)


def record(step: int, losses: dict[str, float], phase: str = "adversarial") -> Record:
    """After `step` steps of one image."""
    epoch = (step - 1) // PER_EPOCH + 1
    position = Position(epoch, step - (epoch - 1) * PER_EPOCH, step, step)
    return Record(position, phase, losses, lr=2e-4, seconds=0.1, waiting=0.025, epochs=step / PER_EPOCH, left=65.0)


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for what another thread or process does."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"waited {seconds} s in vain"
        time.sleep(0.01)


def real_assets() -> Path:
    """The scripts of the page, loaded if need be; the test is skipped where they cannot be had."""
    try:
        return find_assets(cache_folder())
    except UserError as error:
        pytest.skip(str(error))


BARE = """
import asyncio, sys
from pathlib import Path
sys.modules["torch"] = None
from coopcut.monitors.visdom.environments import EnvironmentFiles
from coopcut.monitors.visdom.server import Server, serve
files = EnvironmentFiles(Path(sys.argv[2]), Path(sys.argv[2]).parent)
asyncio.run(serve(Server(files.load(), Path(sys.argv[3]), [], int(sys.argv[1])), files, "127.0.0.1", 0.2, 0))
"""


class RealServer(_Closing):
    """Visdom's server in a process of its own; without `assets` it has no page, but takes windows."""

    def __init__(self, port: int, folder: Path, assets: Path | None = None) -> None:
        pytest.importorskip("visdom", reason="the package visdom is not installed")
        self.port = port
        command = [sys.executable, "-c", BARE, str(port), str(folder), str(assets or folder / "none")]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet)
        until(self.listens, 60)

    def listens(self) -> bool:
        assert self.process.poll() is None, "the server has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)


def chromium() -> str:
    """The browser; the test is skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    return path


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was warned of, or worse."""
    return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the sender try again at once."""
    monkeypatch.setattr(visdom, "PAUSE", 0.02)
    monkeypatch.setattr(visdom, "LONGEST_PAUSE", 0.05)
