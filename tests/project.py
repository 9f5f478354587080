"""A copy of the project, for tests that run its commands as a user would."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = (".*", "__pycache__", "checkpoints", "results", "tests", "*.egg-info", "horse2zebra*")


def copy_project(folder: Path) -> Path:
    """Copy the sources (no data, runs or tests) into `folder`/project; returns that path."""
    return Path(shutil.copytree(ROOT, folder / "project", symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT)))
