"""Which sinks there are: by --monitor, in the first process alone, none of them able to end a training."""

import csv
import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from coopcut.engine.position import Position
from coopcut.monitors import MONITORS, Monitor, Monitors, Record, RunInfo, create_monitors
from coopcut.monitors.text import LossFiles
from tests import training
from tests.tools import TINY, refused, run
from tests.visdom_tools import ADVERSARIAL, COOPERATIVE, record, run_info


def kinds(info: RunInfo) -> list[str]:
    with create_monitors(info) as monitors:
        return [type(sink).__name__ for sink in monitors.sinks]


# -- the choice -------------------------------------------------------------------------------------------------------


def test_choices(tmp_path: Path) -> None:
    assert list(MONITORS) == ["console", "files", "html", "tensorboard", "visdom"]
    quiet = ["--display_id", "0"]
    assert kinds(run_info(tmp_path, 1, *quiet)) == ["Console", "LossFiles", "HtmlPage"]
    assert kinds(run_info(tmp_path, 1, *quiet, "--no_html")) == ["Console", "LossFiles"]
    assert kinds(run_info(tmp_path, 1, "--monitor", "files,files")) == ["LossFiles"]
    assert kinds(run_info(tmp_path, 1, "--monitor", "none")) == []
    assert kinds(run_info(tmp_path, 1, "--monitor", "html,console")) == ["HtmlPage", "Console"]
    with_visdom = run_info(tmp_path, 1, "--display_server", "http://192.0.2.1")  # an address that nobody has
    assert kinds(with_visdom) == ["Console", "LossFiles", "HtmlPage", "VisdomWindows"]


def test_unknown_monitor_is_one_line(place: Path) -> None:
    known = "is not one of console, files, html, tensorboard, visdom, none"
    flags = ["--dataroot", "data", "--name", "new", *TINY, "--monitor"]
    refused("train", [*flags, "console,wandb"], "--monitor: 'wandb'", known)
    refused("train", [*flags, ""], "--monitor: ''", known)
    refused("train", [*flags, "console,"], "--monitor: ''", known)


@pytest.mark.parametrize("shown", [True, False])
def test_the_first_process_alone_shows(tmp_path: Path, shown: bool) -> None:
    with create_monitors(run_info(tmp_path, 1, "--display_id", "0"), shown) as monitors:
        assert bool(monitors.sinks) == shown
    assert (tmp_path / "losses.csv").is_file() == shown


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboard"), ("html", "dominate")])
def test_a_package_that_is_missing_costs_one_warning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    package: str,
) -> None:
    for module in [found for found in sys.modules if found.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, module)
    for module in [package, *(found for found in sys.modules if found.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, module, None)
    assert kinds(run_info(tmp_path, 1, "--monitor", f"{name},files")) == ["LossFiles"]
    (warning,) = (entry.getMessage() for entry in caplog.records)
    assert warning.startswith(f"monitor {name} is off: the package {package}")
    assert f"leave {name} out of --monitor" in warning


def test_training_sends_to_visdom_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("visdom", "tornado", "requests", "dominate", "tensorboard", "matplotlib"):
        monkeypatch.setitem(sys.modules, module, None)
    info = run_info(tmp_path, 1, "--monitor", "visdom,files", "--display_server", "http://192.0.2.1")
    assert kinds(info) == ["VisdomWindows", "LossFiles"]


# -- feeding them -----------------------------------------------------------------------------------------------------


class Broken(Monitor):
    """Fails in one of its methods."""

    every_losses = every_images = 1

    def __init__(self, method: str) -> None:
        self.calls: list[str] = []
        self.method = method

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if method == self.method:
            raise OSError("no room")

    def step(self, position: Position) -> None:
        self._called("step")

    def log(self, record: Record) -> None:
        self._called("log")

    def show(self, position: Position, images: dict[str, torch.Tensor]) -> None:
        self._called("show")

    def ended(self, how: str) -> None:
        self._called(how)

    def close(self) -> None:
        self._called("close")


@pytest.mark.parametrize("method", ["step", "log", "show", "finished", "close"])
def test_a_failing_sink_is_dropped_once_and_the_others_go_on(
    tmp_path: Path, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = Broken(method), Broken("")
    with Monitors([broken, sound], run_info(tmp_path, 1)) as monitors:
        for step in (99, 100):
            position = Position(1, step, step, step)
            monitors.step(position, 1, 0.0)
            monitors.log(position, 1, "adversarial", {"G": 1.0}, 1e-4)
            monitors.show(position, 1, {"real_A": torch.zeros(1, 3, 4, 4)})
    assert sound.calls == ["step", "log", "show"] * 2 + ["finished", "close"]
    assert broken.calls == sound.calls[: sound.calls.index(method) + 1]
    assert [entry.getMessage() for entry in caplog.records] == [
        "monitor Broken failed and is now off: OSError: no room"
    ]


def test_how_it_ended(tmp_path: Path) -> None:
    sink = Broken("")
    with Monitors([sink], run_info(tmp_path, 1)) as monitors:
        monitors.step(Position(1, 1, 1, 1), 1, 0.0)
    with pytest.raises(ValueError, match="out of room"), Monitors([sink], run_info(tmp_path, 1)) as monitors:
        raise ValueError("out of room")
    assert sink.calls == ["step", "stopped", "close", "failed: out of room", "close"]


def test_time_left_and_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 8.0, 8.0, 9.0, 9.0])
    monkeypatch.setattr("coopcut.monitors.base.time.perf_counter", lambda: next(times))
    seen: list[Record] = []
    sink = Broken("")
    monkeypatch.setattr(sink, "log", seen.append)
    monitors = Monitors([sink], run_info(tmp_path, 1))  # 100 steps in all, 10 samples an epoch
    monitors.clock.reset()
    for step in (2, 4):
        for _ in range(2):
            monitors.step(Position(1, 2 * step, step, 2 * step), 2, 0.5)
        monitors.log(Position(1, 2 * step, step, 2 * step), 2, "x", {}, 1e-4)
    assert [r.images_per_second for r in seen] == [0.5, 4.0]
    assert [r.waiting_share for r in seen] == [0.125, 1.0]
    assert [r.epochs for r in seen] == [0.4, 0.8]
    assert seen[0].left == 98 * 4.0  # seconds a step
    assert seen[1].left == pytest.approx(96 * (0.7 * 4.0 + 0.3 * 0.5))


# -- files ------------------------------------------------------------------------------------------------------------


def test_the_table_gets_a_column_when_a_figure_appears(tmp_path: Path) -> None:
    files = LossFiles(tmp_path, Position(), 1)
    assert (tmp_path / "losses.csv").read_text() == ""
    files.log(record(1, COOPERATIVE, "cooperative"))
    files.log(record(2, COOPERATIVE | {"gap": math.nan}, "cooperative"))
    files.log(record(3, ADVERSARIAL))
    files.log(record(4, ADVERSARIAL))
    with (tmp_path / "losses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["phase"] for row in rows] == ["cooperative"] * 2 + ["adversarial"] * 2
    assert [row["gap"] for row in rows] == ["0.2", "", "", ""]
    assert [row["D_real"] for row in rows] == ["", "", "0.2", "0.2"]
    assert rows[0]["epochs"] == "0.1"
    assert float(rows[0]["lr"]) == 2e-4


def test_continued_files_forget_what_is_done_again(tmp_path: Path) -> None:
    files = LossFiles(tmp_path, Position(), 1)
    for step in range(1, 6):
        files.log(record(step, ADVERSARIAL))
    with (tmp_path / "losses.jsonl").open("a") as file:
        file.write('{"cut sho')
    files = LossFiles(tmp_path, Position(1, 3, 3, 3), 1)
    files.log(record(4, ADVERSARIAL))
    steps = [json.loads(line)["step"] for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]
    with (tmp_path / "losses.csv").open(newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == steps


# -- TensorBoard ------------------------------------------------------------------------------------------------------


def test_tensorboard_holds_the_same_figures(images: Path) -> None:
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    flags = ["--model", "coopcut", "--coop_iters", "2", "--display_freq", "1", "--monitor", "tensorboard,files"]
    training.run(images, "board", *flags, "--max_iters", "3")
    training.run(images, "board", "--continue_train", "--max_iters", "4")
    folder = images.parent / "checkpoints" / "board"
    board = EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    records: list[dict[str, Any]] = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in records] == [1, 2, 3, 4]
    for name in ("G", "gap", "D_real"):
        expected = [(r["step"], r["losses"][name]) for r in records if name in r["losses"]]
        found = [(event.step, event.value) for event in board.Scalars(f"losses/{name}")]
        assert found == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected]
    assert [event.value for event in board.Scalars("training/learning rate")] == pytest.approx([2e-4] * 4)
    assert {"real_A", "fake_B", "revised_B", "real_B", "idt_B"} == set(board.Tags()["images"])
    (first, *_) = board.Images("fake_B")
    assert (first.width, first.height) == (32, 32)


def test_pictures_outside_their_range_do_not_break_a_sink(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture = torch.tensor([math.nan, math.inf, -math.inf, 7.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    flags = ["--monitor", "tensorboard,html", "--display_freq", "1", "--update_html_freq", "1"]
    with create_monitors(run_info(tmp_path, 1, *flags)) as monitors, caplog.at_level(logging.WARNING):
        monitors.show(Position(1, 1, 1, 1), 1, {"fake_B": picture})
        assert len(monitors.sinks) == 2
    assert not caplog.records


def test_every_sink_at_once_in_a_training(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "all", *TINY, "--max_iters", 2, "--print_freq", 1, "--display_freq", 1]
    outcome = run("train", *flags, "--update_html_freq", 1, "--monitor", "console,files,html,tensorboard")
    assert (outcome.code, outcome.err) == (0, "")
    folder = place / "checkpoints" / "all"
    for name in ("loss_log.txt", "losses.jsonl", "losses.csv", "web/index.html", "tensorboard"):
        assert (folder / name).exists(), name
    assert "epoch: 1, iters: 1" in outcome.out
