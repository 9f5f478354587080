"""A real training, followed live in a real browser, which also sees the server die and come back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coopcut.monitors.base import LABELS
from tests.tools import ROOT, TINY, make_images
from tests.visdom_tools import RealServer, chromium, free_port, real_assets, until

QUIET = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
QUIET += "--disable-component-update --disable-sync"
FOLDER = "<b id=folder>data"
NAME = "<b id=bold>run $x^2$ & <img src=x onerror=document.title='hit'>"
LINE = "svg.main-svg .scatterlayer .trace path.js-line"


class Watcher:
    """A page of a headless browser, and all that goes wrong in it."""

    def __init__(self, browser: Any, port: int) -> None:
        self.address, self.problems = f"http://localhost:{port}", list[str]()
        self.page = browser.new_page(viewport={"width": 1366, "height": 900})
        self.page.on("pageerror", lambda error: self.problems.append(f"error {error}"))
        self.page.on("requestfailed", lambda request: self.problems.append(f"failed {request.url}"))
        self.page.on("response", self._answered)
        self.page.on("request", self._asked)

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.status} {response.url}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", self.address.replace("http", "ws"))):
            self.problems.append(f"foreign {request.url[:200]}")

    def text(self) -> str:
        return str(self.page.evaluate("document.body.innerText"))

    def see_the_run(self, past: float) -> None:
        """Curves, pictures with captions, and a state with more than `past` steps, all as they should be."""
        page = self.page
        page.goto(self.address)
        page.wait_for_selector(LINE, state="attached", timeout=60_000)
        page.wait_for_function("document.querySelectorAll('.content-text img').length >= 5", timeout=60_000)
        until(lambda: self.step() > past, 60)
        page.wait_for_function(
            "[...document.querySelectorAll('.content-text img')].every(i => i.complete && i.naturalWidth == 32)"
        )
        captions = [text.strip() for text in self.cells() if text.strip() in LABELS]
        assert captions == ["real_A", "fake_B", "revised_B", "real_B", "idt_B"]
        legends = page.evaluate("[...document.querySelectorAll('.legendtext')].map(text => text.textContent)")
        for name in ("D", "G", "NCE", "f_real", "f_fake", "f_revised", "gap", "displacement", "grad", "learning rate"):
            assert name in legends
        titles = page.evaluate("[...document.querySelectorAll('.bar')].map(bar => bar.innerText)")
        for title in ("running", "adversarial losses", "warm-up: scores f = \u2212energy", "speed"):
            assert any(title in bar for bar in titles), (title, titles)
        points = page.evaluate(f"Math.max(...[...document.querySelectorAll('{LINE}')].map(p => p.getTotalLength()))")
        assert points > 10  # a line with an extent
        # text stays text
        assert NAME in self.text()
        assert FOLDER in self.text()
        assert page.query_selector("#bold, #folder, #file") is None
        assert page.title() == "visdom"

    def cells(self) -> list[str]:
        """The texts in the tables of the windows."""
        return list(self.page.evaluate("[...document.querySelectorAll('.content-text td')].map(c => c.innerText)"))

    def step(self) -> int:
        """The step that the window with the state of the run shows."""
        cells = self.cells()
        return int(cells[cells.index("step") + 1].split()[0]) if "step" in cells else 0


@pytest.fixture
def browser() -> Iterator[Any]:
    path = chromium()
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=QUIET.split())
        yield browser
        browser.close()


def server_of(port: int) -> int:
    """The process id of the server that a training has started."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"coopcut.monitors.visdom" in words and str(port).encode() in words:
            return int(process.name)
    return 0


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the server by /proc")
def test_a_training_is_followed_live(tmp_path: Path, browser: Any) -> None:
    assets, port = real_assets(), free_port()
    for domain in "AB":
        make_images(folder := tmp_path / FOLDER / f"train{domain}", 4, 40, ord(domain))
        for path in list(folder.iterdir()):
            path.rename(folder / f"<b id=file>'&{path.name}")
    command = [sys.executable, ROOT / "train.py", "--model", "coopcut", "--coop_epochs", "100000", "--dataroot", FOLDER]
    flags = ["--display_id", "1", "--display_port", str(port), "--display_freq", "1", "--langevin_steps", "3"]
    flags += ["--monitor", "visdom,files", "--name", NAME, "--n_epochs", "100000"]
    with (tmp_path / "log").open("w") as log:
        training = subprocess.Popen(
            [*map(str, command), *TINY, *flags], cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT
        )
    started = 0
    try:
        until(lambda: server_of(port), 60)
        started = server_of(port)
        until(lambda: "Visdom: http://localhost" in (tmp_path / "log").read_text(), 60)
        watcher = Watcher(browser, port)
        watcher.see_the_run(past=5)
        os.kill(started, signal.SIGKILL)
        assert watcher.problems == []
        until(lambda: "offline" in watcher.text().lower(), 60)  # the page says so
        seen = watcher.step()
        with RealServer(port, tmp_path / "kept", assets):
            until(lambda: "online" in watcher.text().lower() and watcher.step() > seen, 60)  # it comes back by itself
            watcher.page.close()
            again = Watcher(browser, port)
            again.see_the_run(past=seen)
            assert again.problems == []
            training.send_signal(signal.SIGTERM)
            assert training.wait(60) == 128 + signal.SIGTERM
            until(lambda: "state\tstopped" in again.text() or "stopped" in again.text(), 20)
    finally:
        training.kill()
        training.wait()
        if started and server_of(port) == started:
            os.kill(started, signal.SIGKILL)
    said = (tmp_path / "log").read_text()
    assert said.count("no Visdom at") <= 1
    assert "Traceback" not in said
    assert time.time() - (tmp_path / "checkpoints" / NAME / "latest_net_G.pth").stat().st_mtime < 600
