"""A real training, followed live in a real browser without the internet, which sees the server die and come back."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coopcut.monitors.base import LABELS
from tests.tools import ROOT, TINY
from tests.visdom_tools import free_port, real_server, until

QUIET = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
QUIET += "--disable-component-update --disable-sync"
FOLDER = "<b id=folder>data"
NAME = "<b id=bold>run $x^2$ & <img src=x onerror=document.title='hit'>"
LINE = "svg.main-svg .scatterlayer .trace path.js-line"
TITLES = ("running", "epoch", "adversarial losses", "warm-up: scores f = \u2212energy", "learning rate", "speed")


def texts(page: Any, selector: str) -> list[str]:
    return list(page.evaluate(f"[...document.querySelectorAll('{selector}')].map(found => found.textContent.trim())"))


def step(page: Any) -> int:
    """The step that the window with the state of the run shows."""
    cells = texts(page, ".content-text td")
    return int(cells[cells.index("step") + 1].split()[0]) if "step" in cells else 0


def see_the_run(page: Any, past: int) -> None:
    """Curves, pictures with captions, and a state with more than `past` steps, all as they should be."""
    page.wait_for_selector(LINE, state="attached", timeout=60_000)
    page.wait_for_function("[...document.images].filter(i => i.naturalWidth == 32).length == 5", timeout=60_000)
    until(lambda: step(page) > past, 60)
    assert [text for text in texts(page, ".content-text td") if text in LABELS] == list(LABELS)
    assert {"D", "NCE", "f_real", "gap", "displacement", "learning rate"} <= set(texts(page, ".legendtext"))
    for title in TITLES:
        assert any(f"{NAME}: {title}" in bar for bar in texts(page, ".bar")), title
    assert page.evaluate(f"Math.max(...[...document.querySelectorAll('{LINE}')].map(p => p.getTotalLength()))") > 10
    assert FOLDER in texts(page, ".content-text td")
    assert page.query_selector("#bold, #folder") is None  # text stays text
    assert page.title() == "visdom"


def test_a_training_is_followed_live(tmp_path: Path, images: Path) -> None:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with real_server(free_port()):  # or it is skipped
        port = free_port()
    images.rename(tmp_path / FOLDER)
    flags = f"--model coopcut --coop_epochs 100000 --langevin_steps 3 --display_port {port} --display_id 1".split()
    flags += "--display_freq 1 --print_freq 1 --monitor visdom,files --n_epochs 100000 --dataroot".split()
    flags += [FOLDER, "--name", NAME, *TINY[:-2]]
    problems: list[str] = []
    with (
        (tmp_path / "log").open("w") as log,
        playwright.sync_playwright() as driver,
        subprocess.Popen([sys.executable, ROOT / "train.py", *flags], cwd=tmp_path, stdout=log, stderr=log) as training,
    ):
        try:
            page = driver.chromium.launch(executable_path=path, args=QUIET.split()).new_page()
            page.on("pageerror", lambda error: problems.append(f"error {error}"))
            page.on("response", lambda got: problems.append(f"{got.status} {got.url}") if got.status >= 400 else None)
            page.on("request", lambda sent: problems.append(sent.url) if f"localhost:{port}" not in sent.url else None)
            until(lambda: f"Visdom: http://localhost:{port}" in (tmp_path / "log").read_text(), 60)  # it started one
            page.goto(f"http://localhost:{port}")
            see_the_run(page, 3)
            os.kill(int(subprocess.check_output(["pgrep", "-f", f"coopcut.monitors.visdom --port {port}"])), 9)
            until(lambda: "offline" in texts(page, "button"), 60)
            assert [problem for problem in problems if not problem.startswith("data:image/")] == []
            until(lambda: "no Visdom at" in (tmp_path / "log").read_text(), 60)
            seen = step(page)
            with real_server(port):
                until(lambda: "online" in texts(page, "button"), 60)  # it comes back by itself
                see_the_run(page, seen)
                training.send_signal(signal.SIGTERM)
                assert training.wait(60) == 128 + signal.SIGTERM
                until(lambda: "stopped" in texts(page, ".content-text td"))
        finally:
            training.kill()
    said = (tmp_path / "log").read_text()
    assert (said.count("no Visdom at"), said.count("Traceback")) == (1, 0)
