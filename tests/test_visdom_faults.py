"""Whatever happens to the Visdom server, whoever sends figures to it warns once and loses none."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from coopcut.engine.position import Position
from coopcut.monitors import visdom as module
from coopcut.monitors.visdom.monitor import POINTS, VisdomWindows
from tests.visdom_tools import ADVERSARIAL, StandIn, free_port, hurry, record, run_info, until, warnings

Make = Callable[..., VisdomWindows]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    sinks: list[VisdomWindows] = []

    def build(port: int, server: Any = None, *flags: str) -> VisdomWindows:
        sinks.append(VisdomWindows(run_info(tmp_path, port, *flags), server))
        return sinks[-1]

    yield build
    for sink in sinks:
        sink.close()


# -- the sink ---------------------------------------------------------------------------------------------------------


def test_without_a_server_one_warning_and_bounded_queues(
    make: Make, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, module.__name__)
    port = free_port()
    sink = make(port)
    for step in range(1, 3 * POINTS):
        sink.log(record(step, ADVERSARIAL))
        sink.show(Position(), {"real_A": torch.zeros(1, 3, 2, 2)})
        assert len(sink.records) <= POINTS
        assert len(sink.pictures) <= 1
    until(lambda: len(caplog.records) >= 4)  # attempts
    assert [f"http://127.0.0.1:{port}: nobody listens there" in line for line in warnings(caplog)] == [True]
    assert capfd.readouterr() == ("", "")


def test_a_server_that_comes_late_and_one_that_is_restarted_get_the_whole_curve(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, module.__name__)
    port = free_port()
    sink = make(port)
    for step in range(1, 301):
        sink.log(record(step, {"NCE": float(step)}))
    sink.show(Position(), {"real_A": torch.zeros(1, 3, 2, 2)})
    until(lambda: warnings(caplog))
    wanted = {"running", "epoch 1, 0 images", "generator: total and contrastive", "learning rate", "speed"}
    for last in (300, 301):
        with StandIn(port) as server:
            until(partial(server.holds, wanted))
            pale = server.titles()["generator: total and contrastive"]["data"][0]
            assert pale["y"] == list(range(1, last + 1))
        caplog.clear()
        sink.log(record(301, {"NCE": 301.0}))
        until(lambda: caplog.records)  # noticed that it is gone
        assert not warnings(caplog)  # once is enough


def test_a_restart_between_two_figures_is_noticed(make: Make) -> None:
    with StandIn() as server:
        sink = make(server.port)
        sink.show(Position(), {"real_A": torch.zeros(1, 3, 2, 2)})
        until(lambda: "epoch 1, 0 images" in server.titles())
        until(lambda: not sink.stale)
        server.posts.clear()  # a new server holds nothing
        sink.log(record(1, ADVERSARIAL))
        until(lambda: "epoch 1, 0 images" in server.titles())


@pytest.mark.parametrize(
    ("status", "says", "warning"),
    [(500, None, "it answers with HTTP 500"), (200, "<html>", "what answers there is no Visdom server")],
)
def test_a_server_with_errors_and_another_program(
    make: Make, caplog: pytest.LogCaptureFixture, status: int, says: str | None, warning: str
) -> None:
    server = StandIn(status=status, says=says)
    sink = make(server.port)
    sink.log(record(1, ADVERSARIAL))
    until(lambda: len(server.posts) >= 3)
    assert [warning in line for line in warnings(caplog)] == [True]
    server.status, server.says = 200, None
    until(lambda: {"adversarial losses", "speed"} <= set(server.titles()))
    assert sink.thread.is_alive()
    server.close()


def test_a_proxy_for_the_internet_is_not_asked(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with StandIn() as server:
        make(server.port)
        until(partial(server.holds, {"running"}))


def test_a_server_that_never_answers(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FAREWELL", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # connections are made, and nobody reads them
        sink = make(listening.getsockname()[1])
        connection, _ = listening.accept()
        for step in range(1, 3 * POINTS):  # the thread is stuck in its first request: nothing is taken from the queue
            sink.log(record(step, ADVERSARIAL))
            sink.show(Position(), {"real_A": torch.zeros(1, 3, 2, 2)})
        assert len(sink.records) == POINTS
        assert sink.records[-1]["step"] == 3 * POINTS - 1
        sink.close()
        assert sink.thread.is_alive()  # still stuck: neither `close` nor anything before waited for it
        assert ["did not take the last figures within 0.2 s" in line for line in warnings(caplog)] == [True]
        connection.close()
    sink.thread.join(10)
    assert not sink.thread.is_alive()


def test_a_mistake_in_the_drawing_ends_the_drawing_alone(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.windows, "status", lambda *_: 1 / 0)
    sink = make(free_port())
    sink.thread.join(10)
    assert warnings(caplog) == ["Visdom is given up: ZeroDivisionError: division by zero"]
    for step in range(1, 3 * POINTS):
        sink.log(record(step, ADVERSARIAL))
    assert len(sink.records) == POINTS


# -- starting a server ------------------------------------------------------------------------------------------------


class Started:
    """In place of a server process: listens after a while, or has ended with a last line."""

    def __init__(self, port: int = 0, said: str | None = None) -> None:
        self.said, self.stopped = said, False
        self.server: StandIn | None = None
        if port:
            threading.Timer(0.2, self._listen, (port,)).start()

    def _listen(self, port: int) -> None:
        self.server = StandIn(port)

    def failure(self) -> str | None:
        return self.said

    def stop(self) -> None:
        self.stopped = True


def test_a_server_on_its_way_is_waited_for_without_a_word(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    started = Started(port := free_port())
    sink = make(port, started)
    until(lambda: started.server and "running" in started.server.titles())
    until(lambda: "Visdom: http://127.0.0.1" in caplog.text)
    assert not warnings(caplog)
    assert started.server is not None
    started.server.close()
    sink.step(Position(1, 1, 1, 1))
    sink.log(record(1, ADVERSARIAL))
    until(lambda: warnings(caplog))
    assert "nobody listens there" in warnings(caplog)[0]
    sink.close()
    assert not started.stopped  # it outlives the training


def test_a_run_that_came_to_nothing_leaves_no_server(make: Make) -> None:
    started = Started()
    make(free_port(), started).close()
    assert started.stopped


def test_a_server_that_cannot_start_is_told_with_its_last_line(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    make(free_port(), Started(said="visdom: error: npm is not installed"))
    until(lambda: warnings(caplog))
    assert "one was started and says: visdom: error: npm is not installed" in warnings(caplog)[0]


def test_one_is_started_where_nobody_listens_on_this_machine_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def start(_: Path, runs: Path, port: int) -> Started:
        made.append(port)
        return Started()

    monkeypatch.setattr(module, "ServerProcess", start)
    port = free_port()
    with StandIn(status=404) as other:
        for address, number in (
            ("http://127.0.0.1", other.port),
            ("http://no-such-host.invalid", port),
            ("localhost", port),
        ):
            sink = VisdomWindows.create(run_info(tmp_path, number, "--display_server", address))
            assert sink is not None
            sink.close()
    assert made == [port]
