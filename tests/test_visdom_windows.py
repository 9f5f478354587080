"""What arrives in a Visdom server: the state of the run, its curves, its pictures, and every text as text."""

import base64
import io
import json
import logging
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coopcut.data import create_loader
from coopcut.engine.position import Position
from coopcut.monitors import visdom as module
from coopcut.monitors.curves import SMOOTHING
from coopcut.monitors.text import LossFiles
from coopcut.monitors.visdom.client import Client
from coopcut.monitors.visdom.monitor import ALONE, POINTS, VisdomWindows
from tests.steps import trainer_with
from tests.tools import train_options
from tests.visdom_tools import ADVERSARIAL, COOPERATIVE, PER_EPOCH, StandIn, record, run_info

Make = Callable[..., VisdomWindows]


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: StandIn) -> Iterator[Make]:
    """Builds sinks that draw quickly, and closes them."""
    monkeypatch.setattr(module, "PAUSE", 0.02)
    sinks: list[VisdomWindows] = []

    def build(*flags: str) -> VisdomWindows:
        sinks.append(VisdomWindows(run_info(tmp_path, server.port, *flags)))
        return sinks[-1]

    yield build
    for sink in sinks:
        sink.close()


def finish(sink: VisdomWindows) -> None:
    """Close, and wait longer than `close` does for a busy machine."""
    sink.close()
    sink.thread.join(20)
    assert not sink.thread.is_alive()


def lines(post: dict[str, Any], bold: bool = True) -> dict[str, list[tuple[float, float | None]]]:
    """The points of a window of curves, by the name of the line; `bold`: those that stand in the legend."""
    traces = [trace for trace in post["data"] if trace.get("showlegend", True) == bold]
    return {trace["name"]: list(zip(trace["x"], trace["y"], strict=True)) for trace in traces}


# -- figures ----------------------------------------------------------------------------------------------------------


def test_losses_by_kind_over_epochs_with_the_switch_of_phase(
    server: StandIn, make: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    sink = make("--display_env", "../a b/é")
    sink.log(record(5, COOPERATIVE, "cooperative"))
    sink.log(record(10, COOPERATIVE | {"gap": math.nan, "teach": math.inf}, "cooperative"))
    sink.log(record(15, ADVERSARIAL))
    finish(sink)
    found = server.titles()
    assert all(post["path"] == "/events" and post["eid"] == "___a_b__" for post in server.posts)
    assert lines(found["adversarial losses"]) == {
        "D": [(0.5, 0.1), (1.0, 0.1), (1.5, None)],
        "D_real": [(0.5, None), (1.0, None), (1.5, 0.2)],
        "G_GAN": [(0.5, None), (1.0, None), (1.5, 0.5)],
    }
    assert lines(found["generator: total and contrastive"]) == {
        "G": [(0.5, 2.0), (1.0, 2.0), (1.5, None)],
        "NCE": [(0.5, 4.0), (1.0, 4.0), (1.5, 3.0)],
    }
    assert lines(found["warm-up: scores f = \u2212energy"]) == {
        "f_real": [(0.5, 0.3), (1.0, 0.3), (1.5, None)],
        "gap": [(0.5, 0.2), (1.0, None), (1.5, None)],
    }
    assert lines(found["warm-up: sampler"])["teach"] == [(0.5, 0.01), (1.0, None), (1.5, None)]
    assert lines(found["learning rate"]) == {"learning rate": [(0.5, 2e-4), (1.0, 2e-4), (1.5, 2e-4)]}
    assert lines(found["speed"]) == {
        "images/s": [(x, 10.0) for x in (0.5, 1.0, 1.5)],
        "waiting for data [%]": [(x, 25.0) for x in (0.5, 1.0, 1.5)],
    }
    for title in ("adversarial losses", "warm-up: sampler", "learning rate", "speed"):
        (mark,) = found[title]["layout"]["shapes"]
        assert mark["x0"] == mark["x1"] == 1.0
        assert found[title]["layout"]["annotations"][0]["text"] == "adversarial"
    assert capfd.readouterr() == ("", "")


def test_windows_keep_their_numbers(server: StandIn, make: Make) -> None:
    """State and pictures come first, so that they stand at the top; each kind of curve keeps its window."""
    sink = make("--display_id", "40")
    sink.log(record(5, {"f_real": 1.0}, "cooperative"))
    finish(sink)
    again = make("--display_id", "40")
    again.log(record(15, {"D_real": 1.0}))
    finish(again)
    numbers = {title: post["win"] for title, post in server.titles().items()}
    assert [post["win"] for post in server.posts[:2]] == ["40", "41"]
    assert numbers["pictures"] == "41"
    assert sum(post["win"] == "41" for post in server.posts) == 1  # no new placeholder over what is there
    assert len(set(numbers.values()) - {"40", "41"}) == len(numbers) - 2
    own = {make().first, VisdomWindows(run_info(sink.run.folder / "other", server.port)).first}
    assert len(own) == 2  # without a number two runs have windows of their own


def test_a_noisy_curve_is_smoothed_and_shown_pale_behind(server: StandIn, make: Make) -> None:
    sink = make()
    given = [float(i % 2) for i in range(30)]
    for step, value in enumerate(given, 1):
        sink.log(record(step, {"NCE": value}))
    finish(sink)
    post = server.titles()["generator: total and contrastive"]
    assert [y for _, y in lines(post, bold=False)["NCE"]] == given
    weights = [SMOOTHING**i for i in range(30)]
    expected = sum(w * y for w, y in zip(weights, reversed(given), strict=True)) / sum(weights)
    assert lines(post)["NCE"][-1][1] == pytest.approx(expected, rel=1e-4)
    assert lines(post)["NCE"][0][1] == given[0]


def test_steps_that_come_again_are_not_shown_twice(server: StandIn, tmp_path: Path) -> None:
    files = LossFiles(tmp_path, Position(), 1)
    for step in range(1, 11):
        files.log(record(step, {"NCE": float(step)}))
    sink = VisdomWindows(replace(run_info(tmp_path, server.port), start=Position(1, 5, 5, 5)))
    assert [entry["step"] for entry in sink.curve.records] == [1, 2, 3, 4, 5]
    finish(sink)


def test_earlier_sessions_are_shown_too(server: StandIn, make: Make, tmp_path: Path) -> None:
    files = LossFiles(tmp_path, Position(), 1)
    for step in range(1, 31):
        files.log(record(step, {"NCE": math.nan if step == 7 else float(step)}))
    sink = VisdomWindows(replace(run_info(tmp_path, server.port), start=Position(3, 10, 30, 30)))
    sink.log(record(31, {"NCE": 31.0}))
    finish(sink)
    points = lines(server.titles()["generator: total and contrastive"], bold=False)["NCE"]
    assert [y for _, y in points] == [None if step == 7 else step for step in range(1, 32)]
    assert [x for x, _ in points] == pytest.approx([step / PER_EPOCH for step in range(1, 32)])


def test_a_long_curve_is_thinned_evenly(server: StandIn, make: Make, tmp_path: Path) -> None:
    entry = {"epoch": 1, "step": 0, "phase": "", "lr": 1.0, "seconds": 1.0, "waiting": 0.0, "images": 1}
    text = "".join(json.dumps(entry | {"epochs": i, "losses": {"NCE": i}}) + "\n" for i in range(5003))
    (tmp_path / "losses.jsonl").write_text(text + '{"cut sho')
    finish(make())
    points = lines(server.titles()["generator: total and contrastive"], bold=False)["NCE"]
    y = [int(value) for _, value in points if value is not None]
    assert POINTS / 2 <= len(y) <= POINTS
    assert y[:-1] == list(range(0, 5003, y[1]))[: len(y) - 1]
    assert y[-1] == 5002


# -- the state --------------------------------------------------------------------------------------------------------


def test_state_of_the_run_with_its_options(server: StandIn, make: Make) -> None:
    sink = make("--easy_label", "<b>&", "--dataroot", "<img src=x>", "--n_epochs", "7", "--n_epochs_decay", "4")
    sink.log(record(25, COOPERATIVE, "cooperative"))
    while not server.titles().get("learning rate"):
        assert sink.thread.is_alive()
    text = server.titles()["running"]["data"][0]["content"]
    rows = dict(re.findall(r"<tr><td[^>]*>([^<]*)</td><td>([^<]*)</td></tr>", text))
    assert rows["state"] == "running"
    assert rows["phase"] == "cooperative"
    assert rows["epoch"] == "2.50 of 11"
    assert rows["step"] == "25 of 100 (25 images)"
    assert rows["time left"] == "01:05"
    assert rows["speed"] == "10.00 images/s, 25 % of it waiting for data"
    assert rows["learning rate"] == "0.0002"
    assert rows["data"] == rows["--dataroot"] == "&lt;img src=x&gt;"
    assert rows["--n_epochs"] == "7"
    assert rows["--lambda_NCE"] == "1.0"
    assert "<b>&</b>" not in text
    assert "&lt;b&gt;&amp;" in text
    assert "width:25.0%" in text
    sink.ended("failed: <no> memory")
    finish(sink)
    assert "failed: &lt;no&gt; memory" in server.titles()["failed: <no> memory"]["data"][0]["content"]


# -- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_in_one_panel(server: StandIn, make: Make) -> None:
    sink = make("--display_ncols", "2", "--display_id", "20", "--display_winsize", "100")
    image = torch.tensor([1.01, -3.0, math.nan]).view(1, 3, 1, 1).expand(2, 3, 8, 16)
    sink.show(Position(2, 3, 13, 13), {"real_B": image, "<b>&": image[:, :1, :4], "real_A": image})
    finish(sink)
    post = server.titles()["epoch 2, 13 images"]
    assert post["win"] == "21"
    rows = [re.findall(r"<br>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", post["data"][0]["content"])]
    assert rows == [["real_A", "real_B"], ["&lt;b&gt;&amp;"]]
    sources = re.findall(r'src="data:image/png;base64,(.*?)" width="100"', post["data"][0]["content"])
    colour, _, gray = (np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))) for source in sources)
    assert colour.shape == (8, 16, 3)
    assert gray.shape == (4, 16)
    assert colour.reshape(-1, 3).tolist() == [[255, 0, 0]] * 128


def test_a_window_for_each_picture(server: StandIn, make: Make) -> None:
    sink = make("--display_ncols", "0", "--display_id", "1")
    sink.show(Position(), {"real_A": torch.zeros(1, 3, 4, 4), "fake_B": torch.zeros(1, 3, 4, 4)})
    finish(sink)
    found = {post["win"]: re.findall(r"<br>(.*?)</td>", post["data"][0]["content"]) for post in server.posts}
    assert found == {"1": [], str(1 + ALONE): ["real_A"], str(2 + ALONE): ["fake_B"]}


def test_nobody_writes_into_the_pictures_of_a_step(images: Path) -> None:
    """The sink keeps them as they are, so that later steps must leave them alone."""
    trainer = trainer_with("--model coopcut --coop_iters 1 --dataroot", str(images))
    loader, position = create_loader(trainer.opt), Position()
    seen: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
    for batch in loader.epoch(1, 0):
        pictures = trainer.step(batch, position).images
        position.advance(1)
        seen.append((pictures, {label: picture.clone() for label, picture in pictures.items()}))
    loader.close()
    for pictures, copies in seen:
        assert all(torch.equal(pictures[label], copies[label]) for label in copies)


# -- where it goes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "env", "page"),
    [
        ("http://localhost", "main", "http://localhost:8097"),
        ("localhost", "main", "http://localhost:8097"),
        ("https://host/visdom/", "my run", "https://host:8097/visdom/env/my_run"),
        ("http://[::1]", "main", "http://[::1]:8097"),
    ],
)
def test_addresses(server: str, env: str, page: str) -> None:
    assert Client(server, 8097, env).page == page


def test_an_address_that_is_none_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from coopcut.monitors import create_monitors

    for address in ("ftp://localhost", "http://", "http://[bad", "http://host:9000", "http://me:word@host"):
        caplog.clear()
        info = run_info(tmp_path, 1, "--monitor", "visdom", "--display_server", address)
        assert create_monitors(info).sinks == []
        (warning,) = (entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING)
        assert warning.startswith("no monitor visdom: ")


def test_the_options_make_the_sink(tmp_path: Path, server: StandIn) -> None:
    flags = ["--print_freq", "7", "--display_freq", "11", "--batch_size", "2"]
    sink = VisdomWindows.create(run_info(tmp_path, server.port, *flags))
    assert sink is not None
    assert (sink.every_losses, sink.every_images) == (7, 11)
    finish(sink)
    for number in ("0", "-1"):
        assert VisdomWindows.create(run_info(tmp_path, 1, "--display_id", number)) is None
    assert train_options([]).display_id is None
