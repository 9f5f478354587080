"""Files of a run: checkpoints, logs, pages, and its lock."""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from coopcut.engine.checkpoint.lock import lock_folder
from coopcut.engine.position import Position
from coopcut.util.errors import CheckpointError
from tests.training import run, same


def test_one_training_at_a_time(images: Path) -> None:
    run(images, "busy", "--num_threads", "0", "--max_iters", "1")
    held = lock_folder(images.parent / "checkpoints/busy")
    assert held is not None
    with pytest.raises(CheckpointError, match="in use by another training"):
        run(images, "busy", "--continue_train", "--max_iters", "2")
    os.close(held)
    run(images, "busy", "--continue_train", "--max_iters", "2")


def test_files_of_a_run(images: Path) -> None:
    flags = ["--num_threads", "0", "--n_epochs", "2", "--n_epochs_decay", "1", "--save_epoch_freq", "2", "--ema", "0.5"]
    run(images, "files", *flags, "--save_latest_freq", "5", "--save_by_iter", "--update_html_freq", "3")
    folder = images.parent / "checkpoints/files"
    names = {path.name for path in folder.iterdir()}
    for label in ("latest", "2", "iter_5", "iter_10", "iter_20"):
        assert {f"{label}_net_{net}.pth" for net in ("G", "F", "D", "G_ema")} <= names
    assert not {name for name in names if name.startswith(("1_net", ".", "iter_7"))}
    lines = (folder / "loss_log.txt").read_text().splitlines()
    assert re.fullmatch(r"\(epoch: 1, iters: 1, time: \d+\.\d{3}, data: \d+\.\d{3}\) (\w+: -?\d+\.\d{3} )+", lines[1])
    records = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records] == list(range(1, 22))
    assert records[0]["phase"] == "adversarial"
    assert records[-1]["lr"] == pytest.approx(2e-4 * 1 / 2)
    page = (folder / "web/index.html").read_text()
    for epoch in (1, 2, 3):
        for label in ("real_A", "fake_B", "real_B", "idt_B"):
            assert f"images/epoch{epoch:03d}_{label}.png" in page
            assert Image.open(folder / f"web/images/epoch{epoch:03d}_{label}.png").size == (32, 32)
    saved = json.loads((folder / "train_opt.json").read_text())
    assert saved["ngf"] == 4
    assert saved["max_iters"] == "inf"


def test_page_does_not_grow_with_the_epochs(tmp_path: Path) -> None:
    from coopcut.monitors.html import EPOCHS_PER_PAGE, HtmlPage

    page = HtmlPage(tmp_path, "<b>run</b>", 1, 64)
    sizes = []
    for epoch in range(1, 3 * EPOCHS_PER_PAGE + 1):
        page.show(Position(epoch=epoch), {"fake_B": torch.zeros(1, 3, 8, 8)})
        sizes.append(len((tmp_path / "web/index.html").read_text()))
    assert max(sizes) < 1.1 * sizes[EPOCHS_PER_PAGE - 1]
    text = (tmp_path / "web/index.html").read_text()
    assert "&lt;b&gt;run" in text
    assert "<b>run" not in text
    assert 'href="epochs_001.html"' in text
    assert (tmp_path / "web/epochs_000.html").exists()


def test_a_failing_monitor_is_dropped_and_training_goes_on(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from coopcut.monitors.html import HtmlPage

    def fail(*arguments: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(HtmlPage, "show", fail)
    a = run(images, "failing", "--num_threads", "0", "--max_iters", "4", "--update_html_freq", "1")
    b = run(images, "without", "--num_threads", "0", "--max_iters", "4", "--no_html")
    same(a["model"], b["model"])
