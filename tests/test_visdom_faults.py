"""Whatever happens to the Visdom server: training notices nothing, one warning is given, and no figure is lost."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from coopcut.engine.position import Position
from coopcut.monitors.visdom import VisdomWindows, monitor
from coopcut.monitors.visdom.monitor import POINTS
from tests import training
from tests.tools import make_images
from tests.visdom_tools import ADVERSARIAL, StandIn, free_port, real_server, record, run_info, until, warnings

PICTURES = {"real_A": torch.zeros(1, 3, 2, 2)}
GENERATOR = "generator: total and contrastive"


class Started:
    """In place of a server process."""

    code: int | None = None

    def poll(self) -> int | None:
        return self.code


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The ports of the servers that were started; all is tried again at once, and a proxy would be of no help."""
    ports: list[int] = []
    monkeypatch.setattr(monitor, "start_server", lambda port: ports.append(port) or Started())
    for name, seconds in {"PAUSE": 0.02, "LONGEST_PAUSE": 0.05, "FAREWELL": 0.3}.items():
        monkeypatch.setattr(monitor, name, seconds)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    yield ports
    for thread in threading.enumerate():
        if thread.name == "visdom":
            thread._target.__self__.close()  # type: ignore[attr-defined]


def flood(sink: VisdomWindows) -> None:
    for step in range(1, 3 * POINTS):
        sink.log(record(step, ADVERSARIAL))
        sink.show(Position(), PICTURES)
        assert len(sink.records) <= POINTS
        assert len(sink.pictures) <= 1


def test_a_server_that_is_late_or_restarted_gets_the_whole_curve(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    sink = VisdomWindows(run_info(tmp_path, port, "--display_server", "127.0.0.2"))  # where none is started
    sink.client.host = "127.0.0.1"
    for step in range(1, 301):
        sink.log(record(step, {"NCE": float(step)}))
    sink.show(Position(), PICTURES)
    until(lambda: warnings(caplog))
    wanted = {"running", "epoch 1, 0 images", GENERATOR, "learning rate", "speed"}
    for last in (300, 301):
        with StandIn(port) as server:
            until(lambda found=server.titles: wanted <= set(found()))  # type: ignore[misc]
            assert server.titles()[GENERATOR]["data"][0]["y"] == list(range(1, last + 1))
            until(lambda: not sink.stale)
        sink.log(record(301, {"NCE": 301.0}))
    with StandIn(port) as server:
        until(lambda: wanted <= set(server.titles()) and not sink.stale)
        server.posts.clear()  # restarted between two figures
        sink.log(record(302, {"NCE": 302.0}))
        until(lambda: wanted <= set(server.titles()))
    flood(sink)
    assert len(warnings(caplog)) == 1
    assert "Connection refused" in warnings(caplog)[0]


@pytest.mark.parametrize(
    ("status", "says", "warning"),
    [(500, None, "it answers with HTTP 500"), (200, "<html>", "what answers there is no Visdom server")],
)
def test_a_server_with_errors_and_another_program(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, says: str | None, warning: str
) -> None:
    with StandIn(status=status, says=says) as server:
        sink = VisdomWindows(run_info(tmp_path, server.port))
        sink.log(record(1, ADVERSARIAL))
        until(lambda: len(server.posts) >= 3)
        assert [warning in line for line in warnings(caplog)] == [True]
        server.status, server.says = 200, None
        until(lambda: {"adversarial losses", "speed"} <= set(server.titles()))


def test_a_server_that_never_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # connections are made, and nobody reads them
        sink = VisdomWindows(run_info(tmp_path, listening.getsockname()[1]))
        for _ in "probe", "request":
            connection, _ = listening.accept()
        flood(sink)
        assert sink.records[-1]["step"] == 3 * POINTS - 1
        sink.close()
        assert sink.thread.is_alive()  # stuck in its first request: neither `close` nor anything before waited for it
        assert ["did not take the last figures within 0.3 s" in line for line in warnings(caplog)] == [True]
        connection.close()
    sink.thread.join(10)
    assert not sink.thread.is_alive()


def test_a_mistake_in_the_drawing_ends_the_drawing_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor.windows, "status", lambda *_: 1 / 0)
    sink = VisdomWindows(run_info(tmp_path, free_port()))
    sink.stale = True
    sink.thread.join(10)
    flood(sink)
    assert warnings(caplog) == ["Visdom is given up: ZeroDivisionError: division by zero"]


def test_one_is_started_where_nobody_listens_and_waited_for(
    tmp_path: Path, started: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    with StandIn(status=404) as other:
        for address, port in ("127.0.0.1", other.port), ("no-such-host.invalid", 1), ("localhost", late := free_port()):
            sink = VisdomWindows(run_info(tmp_path, port, "--display_server", address))
            until(lambda: sink.stale)  # noqa: B023
    assert started == [late]
    assert f":{late}:" not in caplog.text  # it may be on its way
    Started.code = 2
    until(lambda: f":{late}:" in caplog.text)
    Started.code = None
    assert "coopcut.monitors.visdom says why" in warnings(caplog)[-1]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Images, and the state of a training that nobody watched."""
    root = tmp_path_factory.mktemp("watched") / "pictures"
    for domain in "AB":
        make_images(root / f"train{domain}", 5, 40)
    return root, training.run(root, "alone", *STEPS, "--monitor", "none")


STEPS = "--model coopcut --coop_iters 4 --max_iters 8 --display_freq 1".split()


@pytest.mark.parametrize("number", [0, signal.SIGSTOP, signal.SIGKILL])
def test_same_weights_whatever_happens_to_the_server(
    alone: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    with real_server(port := free_port()) as server:

        def log(sink: VisdomWindows, record: Any, unchanged: Any = VisdomWindows.log) -> None:
            unchanged(sink, record)
            if record.position.step == 3:
                until(lambda: sink.reached)
                os.kill(server.pid, number)

        monkeypatch.setattr(VisdomWindows, "log", log)
        watched = ["--display_port", str(port), "--display_id", "1", "--monitor", "visdom,files"]
        state = training.run(alone[0], f"signal{number}", *STEPS, *watched)
    for key in ("model", "position", "mean_loss"):
        training.same(state[key], alone[1][key], key)
    assert len(warnings(caplog)) == (number != 0)
