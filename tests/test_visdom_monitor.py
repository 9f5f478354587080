"""Losses and pictures reach a Visdom server, and training notices nothing when there is none or a bad one."""

import base64
import io
import json
import logging
import math
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from options.option import Options
from tests.tools import train_options
from util.monitors import Record, create_monitors
from util.monitors import visdom as module
from util.monitors.text import LossFiles
from util.monitors.visdom import POINTS, VisdomWindows
from util.position import Position

PER_EPOCH = 10  # samples of an epoch
COOPERATIVE = {"D": 0.1, "f_real": 0.3, "gap": 0.2, "teach": 0.01, "G": 2.0, "NCE": 4.0}
ADVERSARIAL = {"D_real": 0.2, "G_GAN": 0.5, "NCE": 3.0}


class Server:
    """Records what is posted to /events, newest last, and answers `status`."""

    def __init__(self, port: int = 0, status: int = 200) -> None:
        self.posts: list[dict[str, Any]] = []
        self.status = status
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.posts.append(body | {"path": self.path})
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.send_header("Connection", "close")  # else a closed server would still serve what is connected
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def windows(self) -> dict[str, dict[str, Any]]:
        """The newest content of each window."""
        return {post["win"]: post for post in self.posts}

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., VisdomWindows]]:
    """Builds sinks that retry quickly, and closes them."""
    pytest.importorskip("visdom", reason="the package visdom is not installed")
    monkeypatch.setattr(module, "PAUSE", 0.02)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)
    sinks: list[VisdomWindows] = []

    def build(port: int, *flags: str) -> VisdomWindows:
        sinks.append(VisdomWindows(options(port, *flags), tmp_path, PER_EPOCH))
        return sinks[-1]

    yield build
    for sink in sinks:
        sink.close()


def options(port: int, *flags: str) -> Options:
    return train_options(["--display_server", "http://127.0.0.1", "--display_port", str(port), "--name", "run", *flags])


def record(step: int, losses: dict[str, float], phase: str = "adversarial") -> Record:
    """After `step` steps of one image."""
    epoch = (step - 1) // PER_EPOCH + 1
    position = Position(epoch, step - (epoch - 1) * PER_EPOCH, step, step)
    return Record(position, phase, losses, lr=2e-4, seconds=0.1, waiting=0.0)


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit, "waited 10 s in vain"
        time.sleep(0.01)


def finish(sink: VisdomWindows) -> None:
    """Close, and wait longer than `close` does for a busy machine."""
    sink.close()
    sink.thread.join(10)
    assert not sink.thread.is_alive()


def lines(post: dict[str, Any]) -> dict[str, list[tuple[float, float | None]]]:
    """The points of a loss window, by the name of the line."""
    return {line["name"]: list(zip(line["x"], line["y"], strict=True)) for line in post["data"]}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]


# -- what arrives -----------------------------------------------------------------------------------------------------


def test_losses_by_kind_over_epochs_with_the_switch_of_phase(
    server: Server, make: Callable[..., VisdomWindows], capfd: pytest.CaptureFixture[str]
) -> None:
    sink = make(server.port, "--display_env", "../a b/é")
    sink.log(record(5, COOPERATIVE, "cooperative"))
    sink.log(record(10, COOPERATIVE | {"gap": math.nan, "teach": math.inf}, "cooperative"))
    sink.log(record(15, ADVERSARIAL))
    finish(sink)
    found = server.windows()
    assert set(found) == {"1", "2", "3", "4"}
    assert all(post["path"] == "/events" and post["eid"] == "___a_b__" for post in server.posts)
    assert lines(found["1"]) == {
        "D": [(0.5, 0.1), (1.0, 0.1), (1.5, None)],
        "G": [(0.5, 2.0), (1.0, 2.0), (1.5, None)],
        "D_real": [(0.5, None), (1.0, None), (1.5, 0.2)],
        "G_GAN": [(0.5, None), (1.0, None), (1.5, 0.5)],
    }
    assert lines(found["2"]) == {"NCE": [(0.5, 4.0), (1.0, 4.0), (1.5, 3.0)]}
    assert lines(found["3"]) == {
        "f_real": [(0.5, 0.3), (1.0, 0.3), (1.5, None)],
        "gap": [(0.5, 0.2), (1.0, None), (1.5, None)],
    }
    assert lines(found["4"])["teach"] == [(0.5, 0.01), (1.0, None), (1.5, None)]
    assert found["2"]["opts"]["title"] == "run: contrastive losses (adversarial)"
    (mark,) = found["2"]["layout"]["shapes"]
    assert mark["x0"] == mark["x1"] == 1.0
    assert capfd.readouterr() == ("", "")


def test_pictures_in_one_panel(server: Server, make: Callable[..., VisdomWindows]) -> None:
    sink = make(server.port, "--display_ncols", "2", "--display_id", "20", "--display_winsize", "100")
    image = torch.tensor([1.01, -3.0, math.nan]).view(1, 3, 1, 1).expand(2, 3, 8, 16)
    sink.show(Position(2, 3, 13, 13), {"real_A": image, "<b>&": image[:, :1, :4], "real_B": image})
    finish(sink)
    (post,) = server.posts
    assert post["win"] == "24"
    assert post["opts"]["title"] == "run: epoch 2, 13 images"
    rows = [re.findall(r"<br>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", post["data"][0]["content"])]
    assert rows == [["real_A", "&lt;b&gt;&amp;"], ["real_B"]]
    sources = re.findall(r'src="data:image/png;base64,(.*?)" width="100"', post["data"][0]["content"])
    colour, gray, _ = (np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))) for source in sources)
    assert colour.shape == (8, 16, 3)
    assert gray.shape == (4, 16)
    assert colour.reshape(-1, 3).tolist() == [[255, 0, 0]] * 128


def test_a_window_for_each_picture(server: Server, make: Callable[..., VisdomWindows]) -> None:
    sink = make(server.port, "--display_ncols", "0")
    sink.show(Position(), {"real_A": torch.zeros(1, 3, 4, 4), "fake_B": torch.zeros(1, 3, 4, 4)})
    finish(sink)
    found = {win: post["data"][0]["content"] for win, post in server.windows().items()}
    assert {win: re.findall(r"<br>(.*?)</td>", content) for win, content in found.items()} == {
        "5": ["real_A"],
        "6": ["fake_B"],
    }


def test_pictures_are_those_of_the_moment(server: Server, make: Callable[..., VisdomWindows]) -> None:
    sink = make(server.port)
    image = torch.ones(1, 1, 2, 2, requires_grad=True)
    sink.show(Position(), {"fake_B": image})
    with torch.no_grad():
        image.fill_(-1)
    finish(sink)
    (source,) = re.findall('base64,(.*?)"', server.posts[0]["data"][0]["content"])
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))).tolist() == [[255, 255], [255, 255]]


def test_a_proxy_for_the_internet_is_not_asked(
    server: Server, make: Callable[..., VisdomWindows], monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    sink = make(server.port)
    sink.log(record(1, {"NCE": 1.0}))
    finish(sink)
    assert set(server.windows()) == {"2"}


def test_earlier_sessions_are_shown_too(server: Server, make: Callable[..., VisdomWindows], tmp_path: Path) -> None:
    files = LossFiles(tmp_path, Position(), 1)
    for step in range(1, 31):
        files.log(record(step, {"NCE": math.nan if step == 7 else float(step)}))
    sink = make(server.port)
    sink.log(record(31, {"NCE": 31.0}))
    finish(sink)
    points = lines(server.windows()["2"])["NCE"]
    assert [y for _, y in points] == [None if step == 7 else step for step in range(1, 32)]
    assert [x for x, _ in points] == pytest.approx([step / PER_EPOCH for step in range(1, 32)])


def test_a_long_curve_is_thinned_evenly(server: Server, make: Callable[..., VisdomWindows], tmp_path: Path) -> None:
    files = LossFiles(tmp_path, Position(), 1)
    text = "".join(
        json.dumps({"epoch": 1, "samples": i, "phase": "", "losses": {"NCE": i}}) + "\n" for i in range(5003)
    )
    files.records.write_text(text)
    sink = make(server.port)
    sink.wake.set()
    finish(sink)
    y = [int(value) for _, value in lines(server.windows()["2"])["NCE"] if value is not None]
    assert POINTS / 2 <= len(y) <= POINTS
    assert y[:-1] == list(range(0, 5003, y[1]))[: len(y) - 1]
    assert y[-1] == 5002


# -- when nothing can arrive ------------------------------------------------------------------------------------------


def test_without_the_package_one_warning_and_only_when_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "visdom", None)
    for flags, expected in ((["--display_id", "0"], 0), (["--display_id", "-1"], 0), ([], 1)):
        caplog.clear()
        with create_monitors(options(1, "--no_html", *flags), tmp_path, Position(), 100, PER_EPOCH) as monitors:
            assert [type(sink).__name__ for sink in monitors.sinks] == ["Console", "LossFiles"]
        assert len(warnings(caplog)) == expected


def test_the_options_make_the_sink(make: Callable[..., VisdomWindows], tmp_path: Path, port: int) -> None:
    flags = ["--no_html", "--print_freq", "7", "--display_freq", "11", "--n_epochs", "3", "--n_epochs_decay", "1"]
    opt = options(port, *flags, "--batch_size", "2")
    with create_monitors(opt, tmp_path, Position(), 100, PER_EPOCH) as monitors:
        (sink,) = (sink for sink in monitors.sinks if isinstance(sink, VisdomWindows))
    assert (sink.every_losses, sink.every_images, sink.samples_per_epoch) == (7, 11, PER_EPOCH)


def test_without_a_server_one_warning_and_bounded_queues(
    make: Callable[..., VisdomWindows], port: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, module.__name__)
    sink = make(port)
    for step in range(1, 3 * POINTS):
        sink.log(record(step, ADVERSARIAL))
        sink.show(Position(), {"real_A": torch.zeros(1, 3, 2, 2)})
        assert len(sink.records) <= POINTS
        assert len(sink.pictures) <= 1
    until(lambda: len(caplog.records) >= 4)  # attempts
    finish(sink)
    assert len(warnings(caplog)) == 1
    assert f"http://127.0.0.1:{port} (ConnectionError)" in warnings(caplog)[0]
    assert capfd.readouterr() == ("", "")


def test_a_server_that_comes_late_gets_the_whole_curve(
    make: Callable[..., VisdomWindows], port: int, caplog: pytest.LogCaptureFixture
) -> None:
    sink = make(port)
    for step in range(1, 301):
        sink.log(record(step, {"NCE": float(step)}))
    sink.show(Position(), {"real_A": torch.zeros(1, 3, 2, 2)})
    until(lambda: warnings(caplog))
    server = Server(port)
    until(lambda: set(server.windows()) == {"2", "5"})
    server.close()
    assert [y for _, y in lines(server.windows()["2"])["NCE"]] == list(range(1, 301))
    sink.log(record(301, {"NCE": 301.0}))
    until(lambda: sink.stale)  # noticed that it is gone
    server = Server(port)
    until(lambda: set(server.windows()) == {"2", "5"})
    server.close()
    assert [y for _, y in lines(server.windows()["2"])["NCE"]] == list(range(1, 302))
    assert len(warnings(caplog)) == 1


def test_a_server_with_errors(
    server: Server, make: Callable[..., VisdomWindows], caplog: pytest.LogCaptureFixture
) -> None:
    server.status = 500
    sink = make(server.port)
    sink.log(record(1, ADVERSARIAL))
    until(lambda: len(server.posts) >= 3)
    assert len(warnings(caplog)) == 1
    assert "(HTTPError)" in warnings(caplog)[0]
    server.status = 200
    until(lambda: set(server.windows()) == {"1", "2"})
    assert sink.thread.is_alive()


def test_a_server_that_never_answers(make: Callable[..., VisdomWindows], caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # connections are made, and nobody reads them
        sink = make(listening.getsockname()[1])
        sink.log(record(1, ADVERSARIAL))
        connection, _ = listening.accept()
        for step in range(2, 3 * POINTS):  # the thread is stuck in its first request: nothing is taken from the queue
            sink.log(record(step, ADVERSARIAL))
            sink.show(Position(), {"real_A": torch.zeros(1, 3, 2, 2)})
        assert len(sink.records) == POINTS
        assert sink.records[-1]["step"] == 3 * POINTS - 1
        before = time.monotonic()
        sink.close()
        assert time.monotonic() - before < 3
        assert sink.thread.is_alive()  # still stuck: neither `close` nor anything before waited for it
        assert not warnings(caplog)
        connection.close()
    sink.thread.join(5)
    assert not sink.thread.is_alive()
    assert len(warnings(caplog)) == 1
