"""Whatever happens to the Visdom server, training notices nothing: same weights, bit for bit, one warning at most."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from coopcut.monitors import Record
from coopcut.monitors import visdom as module
from coopcut.monitors.visdom.launch import ServerProcess
from coopcut.monitors.visdom.monitor import VisdomWindows
from tests import training
from tests.tools import make_images
from tests.visdom_tools import RealServer, StandIn, free_port, hurry, real_assets, until, warnings

STEPS = ["--model", "coopcut", "--coop_iters", "4", "--max_iters", "8", "--display_freq", "1"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Images, and the state of a training that nobody watched."""
    root = tmp_path_factory.mktemp("watched") / "pictures"
    make_images(root / "trainA", 5, 40)
    make_images(root / "trainB", 5, 40)
    return root, training.run(root, "alone", *STEPS, "--monitor", "none")


def watched(alone: tuple[Path, dict[str, Any]], name: str, port: int) -> None:
    """A training with a Visdom server at `port` ends with the same state as the one alone."""
    images, expected = alone
    address = ["--display_server", "http://127.0.0.1", "--display_port", str(port), "--display_id", "1"]
    state = training.run(images, name, *STEPS, *address, "--monitor", "visdom,files")
    for key in ("model", "position", "mean_loss"):
        training.same(state[key], expected[key], key)


def test_server_absent(
    alone: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def nothing_to_start(*_: Any) -> Any:
        raise OSError("no room")

    monkeypatch.setattr(module, "ServerProcess", nothing_to_start)
    watched(alone, "absent", free_port())
    assert sum("no Visdom at" in line for line in warnings(caplog)) == 1


@pytest.mark.parametrize("status", [404, 500])
def test_port_taken_by_something_else_and_a_server_that_fails(
    alone: tuple[Path, dict[str, Any]], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with StandIn(status=status) as server:
        watched(alone, f"status{status}", server.port)
        assert server.posts
    assert sum(f"HTTP {status}" in line for line in warnings(caplog)) == 1


def test_proxy_variables(alone: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with StandIn() as server:
        watched(alone, "proxy", server.port)
        assert {"finished", "warm-up: scores f = \u2212energy", "adversarial losses"} <= set(server.titles())


@pytest.mark.parametrize(("name", "number"), [("stopped", signal.SIGSTOP), ("killed", signal.SIGKILL)])
def test_server_stopped_or_killed_in_mid_training(
    alone: tuple[Path, dict[str, Any]], tmp_path: Path, name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FAREWELL", 0.3)
    records = alone[0].parent / "checkpoints" / name / "losses.jsonl"
    with RealServer(free_port(), tmp_path / "kept") as server:
        hit: list[int] = []

        def strike(server: RealServer = server, hit: list[int] = hit) -> None:
            limit = time.monotonic() + 60
            while time.monotonic() < limit and not (records.is_file() and records.read_text().count("\n") >= 2):
                time.sleep(0.002)
            hit.append(records.read_text().count("\n"))
            os.kill(server.process.pid, number)

        thread = threading.Thread(target=strike)
        thread.start()
        watched(alone, name, server.port)
        thread.join()
        assert hit[0] < 8, "the training was over before"


@pytest.mark.parametrize(("name", "number"), [("own_stopped", signal.SIGSTOP), ("own_killed", signal.SIGKILL)])
def test_its_own_server_stopped_or_killed_in_mid_training(
    alone: tuple[Path, dict[str, Any]], name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_assets()
    monkeypatch.setattr(module, "FAREWELL", 0.3)
    port, hit, made = free_port(), list[int](), list[ServerProcess]()

    class Watched(ServerProcess):
        def __init__(self, folder: Path, runs: Path, port: int) -> None:
            super().__init__(folder, runs, port)
            made.append(self)

    def log(sink: VisdomWindows, record: Record, unchanged: Any = VisdomWindows.log) -> None:
        if record.position.step == 3:
            until(lambda: not sink.client.is_refused(), 60)
            hit.append(made[0]._process.pid)
            os.kill(hit[0], number)
        unchanged(sink, record)

    monkeypatch.setattr(module, "ServerProcess", Watched)
    monkeypatch.setattr(VisdomWindows, "log", log)
    try:
        watched(alone, name, port)
        assert hit
    finally:
        made[0].stop()
