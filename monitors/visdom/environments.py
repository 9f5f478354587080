"""Visdom's environments (named sets of windows) with clean names, and the files they are kept in."""

import json
import logging
import re
from pathlib import Path
from typing import Any

from coopcut.util.files import write_text

log = logging.getLogger(__name__)


def clean(name: str) -> str:
    """A name that is no path, no markup and no script, whatever it was: letters, digits, "-" and "_"."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:100] or "main"


class Environments(dict[str, Any]):
    """What Visdom calls its state: environments by name. Under whatever name one is asked for, the clean one counts."""

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(clean(name))

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(clean(name), value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(clean(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(clean(name))

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(clean(name), default)


class EnvironmentFiles:
    """Keeps environments in `folder`, each in <name>.json as Visdom writes it. Raises `OSError`.

    The windows of a run are also kept in the folder of that run, if it is one below `runs`.
    """

    def __init__(self, folder: Path, runs: Path | None = None) -> None:
        self.folder, self.runs = folder.resolve(), runs
        folder.mkdir(parents=True, exist_ok=True)
        self._saved: dict[str, str] = {}  # name -> text of the file
        self._of_runs: dict[Path, tuple[str, range]] = {}  # file -> environment, numbers of the windows
        self._saved_of_runs: dict[Path, str] = {}

    def keep(self, env: str, numbers: range, run: Path) -> bool:
        """Keep windows of an environment in the folder `run` from now on; False if that is no run of ours."""
        folder = run.resolve() / "visdom"
        if self.runs is None or not run.resolve().is_relative_to(self.runs.resolve()) or not _is_run(run):
            return False
        if folder != self.folder:  # else they are there already
            self._of_runs[folder / f"{clean(env)}.json"] = clean(env), numbers
        return True

    def load(self) -> Environments:
        """The environments of an earlier server; a damaged file is put aside with a warning."""
        environments = Environments(main={"jsons": {}, "reload": {}})
        for path in sorted(self.folder.glob("*.json")):
            try:
                text = path.read_text(encoding="utf-8")
                content = json.loads(text)
                environments[path.stem] = {"jsons": dict(content["jsons"]), "reload": dict(content["reload"])}
                self._saved[clean(path.stem)] = text
            except (ValueError, KeyError, TypeError) as error:
                path.replace(path.with_suffix(".damaged"))
                log.warning("%s is damaged (%s): put aside as %s.damaged", path, error, path.stem)
        return environments

    def save(self, environments: Environments) -> None:
        """Write what has changed, and remove what is no longer there."""
        for name, environment in list(environments.items()):
            text = json.dumps(environment)
            if self._saved.get(name) != text and (environment["jsons"] or name in self._saved):
                self.folder.mkdir(parents=True, exist_ok=True)
                write_text(self.folder / f"{name}.json", text)
                self._saved[name] = text
        for name in self._saved.keys() - environments.keys():
            (self.folder / f"{name}.json").unlink(missing_ok=True)
            del self._saved[name]
        self._save_of_runs(environments)

    def _save_of_runs(self, environments: Environments) -> None:
        """Windows that were closed in the page are kept here: this is what the run has shown."""
        for path, (env, numbers) in self._of_runs.items():
            jsons = environments.get(env, {"jsons": {}})["jsons"]
            own = {win: window for win, window in jsons.items() if win.isdecimal() and int(win) in numbers}
            text = json.dumps({"jsons": own, "reload": {}})
            if own and self._saved_of_runs.get(path) != text and _is_run(path.parent.parent):
                path.parent.mkdir(exist_ok=True)
                write_text(path, text)
                self._saved_of_runs[path] = text


def _is_run(folder: Path) -> bool:
    return (folder / "train_opt.json").is_file()
