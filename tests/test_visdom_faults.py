"""Whatever happens to the Visdom server: training notices nothing, one warning is given, and no figure is lost."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import pytest
import torch

from coopcut.engine.position import Position
from coopcut.monitors.visdom import VisdomWindows, monitor
from coopcut.monitors.visdom.monitor import POINTS
from tests import training
from tests.visdom_tools import ADVERSARIAL, StandIn, free_port, real_server, record, run_info, until, warnings

Make = Callable[..., VisdomWindows]
START = Mock()  # in place of what starts a server
PICTURES = {"real_A": torch.zeros(1, 3, 2, 2)}
WANTED = {"running", "epoch 1, 0 images", "generator: total and contrastive", "learning rate", "speed"}


@pytest.fixture(autouse=True)
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Make:
    """Builds sinks that try again at once, where a proxy for the internet would be of no help; none starts a server."""
    for name, value in {"start_server": START, "PAUSE": 0.02, "LONGEST_PAUSE": 0.05, "FAREWELL": 0.3}.items():
        monkeypatch.setattr(monitor, name, value)
    START.reset_mock()
    START.return_value.poll.return_value = None  # the server may be on its way
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")

    def build(port: int, address: str = "127.0.0.1") -> VisdomWindows:
        sink = VisdomWindows(run_info(tmp_path, port, "--display_server", address))
        request.addfinalizer(sink.close)
        return sink

    return build


def flood(sink: VisdomWindows) -> None:
    for step in range(1, 3 * POINTS):
        sink.log(record(step, ADVERSARIAL))
        sink.show(Position(), PICTURES)
        assert (len(sink.records) <= POINTS, len(sink.pictures) <= 1) == (True, True)


def test_a_server_that_is_late_or_restarted_gets_the_whole_curve(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    sink = make(port := free_port(), "127.0.0.2")  # where none is started
    sink.client.host = "127.0.0.1"
    for step in range(1, 301):
        sink.log(record(step, {"NCE": float(step)}))
    sink.show(Position(), PICTURES)
    until(lambda: warnings(caplog))
    for last in (300, 302):
        with StandIn(port) as server:
            until(lambda: set(server.titles()) >= WANTED and not sink.stale)
            curve = server.titles()["generator: total and contrastive"]["data"][0]
            assert curve["y"] == list(range(1, last + 1))
            server.posts.clear()  # restarted between two figures
            sink.log(record(last + 1, {"NCE": last + 1.0}))
            until(lambda: set(server.titles()) >= WANTED and not sink.stale)
        sink.log(record(last + 2, {"NCE": last + 2.0}))
    flood(sink)
    assert [f":{port}: [Errno 111] Connection refused" in line for line in warnings(caplog)] == [True]


@pytest.mark.parametrize(("answer", "warns"), [((500, None), "HTTP 500"), ((200, "<html>"), "is not Visdom")])
def test_errors_and_another_program(make: Make, caplog: pytest.LogCaptureFixture, answer: Any, warns: str) -> None:
    with StandIn(0, *answer) as server:
        make(server.port).log(record(1, ADVERSARIAL))
        until(lambda: len(server.posts) >= 3)
        assert [warns in line for line in warnings(caplog)] == [True]
        server.status, server.says = 200, None
        until(lambda: {"adversarial losses", "speed"} <= set(server.titles()))


def test_a_server_that_never_answers(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # connections are made, and nobody reads them
        sink = make(listening.getsockname()[1])
        connections = [listening.accept()[0] for _ in ("probe", "request")]
        flood(sink)
        assert sink.records[-1]["step"] == 3 * POINTS - 1
        sink.close()
        assert sink.thread.is_alive()  # stuck in its first request: neither `close` nor anything before waited for it
        assert ["did not accept the last losses within 0.3 s" in line for line in warnings(caplog)] == [True]
        connections[1].close()
    sink.thread.join(10)
    assert (sink.thread.is_alive(), len(sink.pictures)) == (False, 1)  # it turned no picture of torch into one to send


def test_one_is_started_where_nobody_listens_and_waited_for(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with StandIn() as other:
        make(other.port), make(1, "192.0.2.1")
        make(port := free_port(), "localhost")
        until(lambda: other.posts)
    assert START.call_args_list == [call(port)]
    assert f":{port}:" not in caplog.text
    START.return_value.poll.return_value = 2
    until(lambda: f":{port}:" in caplog.text)
    assert "coopcut.monitors.visdom to see why" in caplog.text


@pytest.mark.parametrize("number", [0, signal.SIGSTOP, signal.SIGKILL])
def test_same_weights_whatever_happens_to_the_server(
    images: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    steps = "--model coopcut --coop_iters 2 --max_iters 6 --display_freq 1 --monitor".split()
    expected = training.run(images, "alone", *steps, "none")
    with real_server(port := free_port()) as server:

        def step(sink: VisdomWindows, position: Position) -> None:
            if position.step == 3:
                until(lambda: sink.reached)
                os.kill(server.pid, number)

        monkeypatch.setattr(VisdomWindows, "step", step)
        state = training.run(images, "seen", *steps, "visdom", "--display_port", str(port), "--display_id", "1")
    for key in ("model", "position", "mean_loss"):
        training.same(state[key], expected[key], key)
    assert len(warnings(caplog)) == (number != 0)
