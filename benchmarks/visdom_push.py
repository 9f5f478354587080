"""What the live view costs training, by the state of its server: python -m benchmarks.visdom_push

A push is what a training step that is logged does: hand over a record, and five pictures of 256 x 256, while the curves
of 1000 records are drawn again each time. It is timed from
outside with the server absent, running, slow, failing, stopped (SIGSTOP) and killed; the states take turns, and the
medians and maxima are over all turns.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch

from coopcut.engine.position import Position
from coopcut.monitors import Record, RunInfo
from coopcut.monitors.text import as_dict
from coopcut.monitors.visdom.monitor import VisdomWindows
from coopcut.options.parser import OptionParser

ROOT = Path(__file__).resolve().parents[1]
STATES = ("absent", "running", "slow", "failing", "stopped", "killed")
EARLIER = 1000  # records that the curves have from the start: as many as they ever show
LOSSES = dict.fromkeys(("D_real", "D_fake", "G_GAN", "G", "NCE", "NCE_Y", "f_real", "gap"), 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--pushes", type=int, default=100, help="in a turn")
    parser.add_argument("--every", type=float, default=0.02, help="seconds between two pushes")
    opt = parser.parse_args()
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(opt.turns):
        for state in STATES:
            times[state] += turn(state, opt.pushes, opt.every)
    print(f"{'server':<10}{'median':>12}{'99 %':>12}{'worst':>12}   of {opt.turns * opt.pushes} pushes")
    for state, found in times.items():
        found.sort()
        figures = (statistics.median(found), found[int(0.99 * len(found))], found[-1])
        print(f"{state:<10}" + "".join(f"{1000 * value:>9.3f} ms" for value in figures))
    started = sorted(start_to_page() for _ in range(opt.turns))
    print(f"from the start of a server to its page: median {statistics.median(started):.1f} s of {opt.turns}")


def start_to_page() -> float:
    """Seconds until a new server, whose scripts are in the cache, answers with its page."""
    with tempfile.TemporaryDirectory() as folder:
        port, before = free_port(), time.perf_counter()
        command = [sys.executable, "-m", "coopcut.monitors.visdom", "--port", str(port), "--env_path", folder]
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        while server.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                page.read()
                break
            time.sleep(0.01)
        seconds = time.perf_counter() - before
        server.kill()
        server.wait()
        return seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def turn(state: str, pushes: int, every: float) -> list[float]:
    """Seconds of each push with a server in `state`."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server: subprocess.Popen[bytes] | None = None
        if state in ("running", "stopped", "killed"):
            command = [sys.executable, "-m", "benchmarks.visdom_push", str(port), folder]
            server = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"SERVE": "1"}, stdout=subprocess.DEVNULL)
            while socket.socket().connect_ex(("127.0.0.1", port)):
                if server.poll() is not None:
                    sys.exit("the server has ended")
                time.sleep(0.05)
        elif state in ("slow", "failing"):
            stand_in(port, 3.0 if state == "slow" else 0.0, 200 if state == "slow" else 500)
        flags = ["--dataroot", "x", "--display_server", "http://127.0.0.1", "--display_port", str(port)]
        options = OptionParser(True).parse([*flags, "--name", "push"])
        lines = [json.dumps(as_dict(entry(step))) + "\n" for step in range(1, EARLIER + 1)]
        (Path(folder) / "losses.jsonl").write_text("".join(lines))
        start = Position(1, EARLIER, EARLIER, EARLIER)
        sink = VisdomWindows(RunInfo(options, Path(folder), start, 10**6, 10**6))
        time.sleep(0.5)
        if server is not None and state != "running":
            os.kill(server.pid, signal.SIGSTOP if state == "stopped" else signal.SIGKILL)
        pictures = {label: torch.rand(1, 3, 256, 256) for label in ("real_A", "fake_B", "revised_B", "real_B", "idt_B")}
        found = []
        for step in range(EARLIER + 1, EARLIER + 1 + pushes):
            record = entry(step)
            before = time.perf_counter()
            sink.log(record)
            sink.show(record.position, pictures)
            found.append(time.perf_counter() - before)
            time.sleep(every)
        threading.Thread(target=sink.close).start()
        if server is not None:
            server.kill()
            server.wait()
        return found


def entry(step: int) -> Record:
    """The figures after `step` steps."""
    return Record(Position(1, step, step, step), "adversarial", LOSSES, 2e-4, 0.1, 0.0, step / 1000, 100.0)


def stand_in(port: int, seconds: float, status: int) -> None:
    """A server that takes so long to answer `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(seconds)
            self.send_error(status)

        def log_message(self, format: str, *args: object) -> None:
            return

    threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever, daemon=True).start()


def serve() -> None:
    """The real server, in a process of its own."""
    from coopcut.monitors.visdom.environments import EnvironmentFiles
    from coopcut.monitors.visdom.server import Server, serve

    files = EnvironmentFiles(Path(sys.argv[2]) / "kept")
    asyncio.run(serve(Server(files.load(), Path(sys.argv[2]), [], int(sys.argv[1])), files, "127.0.0.1", 30, 0))


if __name__ == "__main__":
    if os.environ.get("SERVE"):
        serve()
    else:
        main()
