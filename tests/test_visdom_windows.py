"""What arrives in a Visdom server: the state of the run, its curves, its pictures, and every text as text."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from coopcut.engine.position import Position
from coopcut.monitors import create_monitors
from coopcut.monitors.curves import smoothed
from coopcut.monitors.visdom.client import Client
from coopcut.monitors.visdom.monitor import VisdomWindows
from tests.visdom_tools import ADVERSARIAL, COOPERATIVE, StandIn, record, run_info


def shown(folder: Path, feed: Callable[[VisdomWindows], object], *flags: str, start: int = 0) -> StandIn:
    """The server with the windows of a run after all that `feed` hands over."""
    with StandIn() as server:
        sink = VisdomWindows(replace(run_info(folder, server.port, *flags), start=Position(step=start)))
        feed(sink)
        sink.close()
        sink.thread.join(20)
    return server


def lines(post: dict[str, Any], bold: bool = True) -> dict[str, list[tuple[float, float | None]]]:
    """The points of a window of curves, by the name of the line; `bold`: those that stand in the legend."""
    traces = [trace for trace in post["data"] if trace.get("showlegend", True) == bold]
    return {trace["name"]: list(zip(trace["x"], trace["y"], strict=True)) for trace in traces}


def test_losses_by_kind_over_epochs_with_the_switch_of_phase(tmp_path: Path) -> None:
    def feed(sink: VisdomWindows) -> None:
        sink.log(record(5, COOPERATIVE, "cooperative"))
        sink.log(record(10, COOPERATIVE | {"gap": math.nan, "teach": math.inf}, "cooperative"))
        sink.log(record(15, ADVERSARIAL))

    server = shown(tmp_path, feed, "--display_env", "../a b/é", "--display_id", "40")
    assert all(post["eid"] == "___a_b__" for post in server.posts)
    assert list(dict.fromkeys(post["win"] for post in server.posts)) == ["40", "41", "42", "43", "44", "45", "49", "50"]
    found = server.titles()
    assert lines(found["adversarial losses"]) == {
        "D": [(0.5, 0.1), (1.0, 0.1), (1.5, None)],
        "D_real": [(0.5, None), (1.0, None), (1.5, 0.2)],
        "G_GAN": [(0.5, None), (1.0, None), (1.5, 0.5)],
    }
    assert lines(found["warm-up: scores f = \u2212energy"])["gap"] == [(0.5, 0.2), (1.0, None), (1.5, None)]
    assert lines(found["warm-up: sampler"])["teach"] == [(0.5, 0.01), (1.0, None), (1.5, None)]
    assert found["warm-up: sampler"]["layout"]["yaxis"]["type"] == "log"
    assert lines(found["learning rate"]) == {"learning rate": [(0.5, 2e-4), (1.0, 2e-4), (1.5, 2e-4)]}
    speed = {"images/s": 10.0, "waiting for data [%]": 25.0}
    assert lines(found["speed"]) == {name: [(x, y) for x in (0.5, 1.0, 1.5)] for name, y in speed.items()}
    for title in ("adversarial losses", "learning rate", "speed"):
        (mark,) = found[title]["layout"]["shapes"]
        assert mark["x0"] == mark["x1"] == 1.0
        assert found[title]["layout"]["annotations"][0]["text"] == "adversarial"


def test_a_long_curve_is_thinned_smoothed_and_whole(tmp_path: Path) -> None:
    entry = {"epoch": 1, "phase": "", "lr": 1.0, "seconds": 1.0, "waiting": 0.0, "images": 1}
    text = "".join(json.dumps(entry | {"step": i, "epochs": i, "losses": {"NCE": i}}) + "\n" for i in range(5003))
    (tmp_path / "losses.jsonl").write_text(text + '{"cut sho')
    server = shown(tmp_path, lambda sink: sink.log(record(5002, {"NCE": 5002.0})), start=5001)  # that comes again
    post = server.titles()["generator: total and contrastive"]
    smooth, y = ([value for _, value in lines(post, bold)["NCE"]] for bold in (True, False))
    assert 500 <= len(y) <= 1000
    assert y[:-1] == list(range(0, 5003, int(y[1] or 0)))[: len(y) - 1]
    assert y[-1] == 5002
    assert smooth == [float(f"{value:.5g}") for value in smoothed(np.array(y, dtype=np.float64))]


def test_state_of_the_run_with_its_options_and_text_stays_text(tmp_path: Path) -> None:
    def feed(sink: VisdomWindows) -> None:
        sink.log(record(25, COOPERATIVE, "<i>"))
        sink.ended("failed: <no> memory")

    flags = ["--easy_label", "<b>&", "--dataroot", "<img src=x>", "--n_epochs", "7", "--n_epochs_decay", "4"]
    text = shown(tmp_path, feed, *flags).titles()["failed: <no> memory"]["data"][0]["content"]
    rows = dict(re.findall(r"<tr><td[^>]*>([^<]*)</td><td>([^<]*)</td></tr>", text))
    assert rows["state"] == "failed: &lt;no&gt; memory"
    assert rows["phase"] == "&lt;i&gt;"
    assert rows["epoch"] == "2.50 of 11"
    assert rows["step"] == "25 of 100 (25 images)"
    assert rows["speed"] == "10.00 images/s, 25 % of it waiting for data"
    assert rows["data"] == rows["--dataroot"] == "&lt;img src=x&gt;"
    assert rows["--lambda_NCE"] == "1.0"
    assert " 25.0%," in text
    assert "<b>&" not in text


@pytest.mark.parametrize(
    ("columns", "panels"),
    [
        ("2", {"21": [["real_A", "real_B"], ["&lt;b&gt;&amp;"]]}),
        ("0", {"40": [["real_A"]], "41": [["real_B"]], "42": [["&lt;b&gt;&amp;"]]}),
    ],
)
def test_pictures_in_one_panel_or_one_each(tmp_path: Path, columns: str, panels: dict[str, list[list[str]]]) -> None:
    image = torch.zeros(2, 3, 8, 16)
    pictures = {"real_B": image, "<b>&": image[:, :1, :4], "real_A": image}
    flags = ["--display_ncols", columns, "--display_id", "20", "--display_winsize", "100"]
    server = shown(tmp_path, lambda sink: sink.show(Position(2, 3, 13, 13), pictures), *flags)
    posts = [post for post in server.posts if post["opts"]["title"].endswith("epoch 2, 13 images")]
    texts = {post["win"]: post["data"][0]["content"] for post in posts}
    rows = {win: re.findall("<tr>(.*?)</tr>", text) for win, text in texts.items()}
    assert {win: [re.findall(r"<br>(.*?)</td>", row) for row in found] for win, found in rows.items()} == panels
    assert len(re.findall('<img src="data:image/png;base64,[^"]{50,}" width="100">', "".join(texts.values()))) == 3


def test_addresses_and_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Client("https://host/visdom/", 8097, "my run").page == "https://host:8097/visdom/env/my_run"
    assert Client("http://[::1]", 8097, "main").page == "http://[::1]:8097"
    for address in ("ftp://localhost", "http://", "http://[bad", "http://host:90", "http://me:it@host"):
        with create_monitors(run_info(tmp_path, 1, "--monitor", "visdom", "--display_server", address)) as monitors:
            assert monitors.sinks == []
        (warning,) = caplog.messages
        assert warning.startswith("monitor visdom is off: ")
        caplog.clear()
    for number in ("0", "-1"):
        assert VisdomWindows.create(run_info(tmp_path, 1, "--display_id", number)) is None
    flags, sinks = ["--print_freq", "7", "--display_freq", "11"], list[VisdomWindows]()
    for name in "ab":
        shown(tmp_path / name, sinks.append, *flags)
    assert abs(sinks[0].first - sinks[1].first) >= 100  # each run has windows of its own
    assert (sinks[0].every_losses, sinks[0].every_images) == (7, 11)
