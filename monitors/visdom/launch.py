"""Starting a Visdom server for a training that finds none: a process of its own, which may outlive the training."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IDLE_MINUTES = 30  # it ends by itself after so long without figures, requests or an open page


class ServerProcess:
    """A server on `port` of this machine that keeps its windows, and its log, in the folder of a run.

    The windows of runs that join it are also kept in theirs, if these are below the folder `runs` too.
    """

    def __init__(self, folder: Path, runs: Path, port: int) -> None:
        self.log = folder.absolute() / "visdom" / "server.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "coopcut.monitors.visdom",
            "--port",
            str(port),
            "--env_path",
            str(self.log.parent),
        ]
        command += ["--checkpoints_dir", str(runs.absolute())]
        with self.log.open("w", encoding="utf-8") as output:
            self._process = subprocess.Popen(
                [*command, "--exit_when_idle", str(IDLE_MINUTES)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C ends the training, not the page
            )

    def stop(self) -> None:
        """End it at once, with nothing kept."""
        self._process.kill()
        self._process.wait()

    def failure(self) -> str | None:
        """The last line that it said if it has ended, else None."""
        if self._process.poll() is None:
            return None
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"
