"""What the live view costs training, by the state of its server: python -m benchmarks.visdom_push

A push is what a training step that is logged does: hand over a record, and five pictures of 256 x 256, while the curves
of 1000 records are drawn again each time. It is timed with the server absent, running, stopped (SIGSTOP) and failing
(HTTP 500).
"""

import json
import signal
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import torch

from coopcut.engine.position import Position
from coopcut.monitors import Record, RunInfo
from coopcut.monitors.text import as_dict
from coopcut.monitors.visdom import VisdomWindows
from coopcut.options.parser import OptionParser
from tests.visdom_tools import StandIn, free_port, real_server

STATES = ("absent", "running", "stopped", "failing")
TURNS, PUSHES, PAUSE = 3, 100, 0.02  # seconds between two pushes
EARLIER = 1000  # records that the curves have from the start: as many as they ever show
LOSSES = dict.fromkeys(("D_real", "D_fake", "G_GAN", "G", "NCE", "NCE_Y", "f_real", "gap"), 0.1)


def entry(step: int) -> Record:
    """The figures after `step` steps."""
    return Record(Position(1, step, step, step), "adversarial", LOSSES, 2e-4, 0.1, 0.0, step / 1000, 100.0)


def turn(state: str) -> list[float]:
    """Seconds of each push with a server in `state`."""
    host = "127.0.0.1" if state != "absent" else "127.0.0.2"  # where none is started
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        port = free_port()
        if state == "failing":
            stack.enter_context(StandIn(port, status=500))
        elif state != "absent":
            server = stack.enter_context(real_server(port))
            server.send_signal(signal.SIGSTOP if state == "stopped" else signal.SIGCONT)
        flags = f"--dataroot x --name push --display_server {host} --display_port {port}".split()
        lines = [json.dumps(as_dict(entry(step))) + "\n" for step in range(1, EARLIER + 1)]
        (Path(folder) / "losses.jsonl").write_text("".join(lines))
        start = Position(1, EARLIER, EARLIER, EARLIER)
        sink = VisdomWindows(RunInfo(OptionParser(True).parse(flags), Path(folder), start, 10**6, 10**6))
        pictures = {label: torch.rand(1, 3, 256, 256) for label in ("real_A", "fake_B", "revised_B", "real_B", "idt_B")}
        found = []
        for step in range(EARLIER + 1, EARLIER + 1 + PUSHES):
            record, before = entry(step), time.perf_counter()
            sink.log(record)
            sink.show(record.position, pictures)
            found.append(time.perf_counter() - before)
            time.sleep(PAUSE)
        sink.close()
        return found


if __name__ == "__main__":
    times = {state: [push for _ in range(TURNS) for push in turn(state)] for state in STATES}
    print(f"{'server':<10}{'median':>12}{'99 %':>12}{'worst':>12}   of {TURNS * PUSHES} pushes")
    for state, found in times.items():
        figures = (statistics.median(found), sorted(found)[int(0.99 * len(found))], max(found))
        print(f"{state:<10}" + "".join(f"{1000 * value:>9.3f} ms" for value in figures))
