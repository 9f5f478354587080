"""The trained network of a run or of a weights file, ready to be used."""

from pathlib import Path
from typing import Any

from torch import nn

from coopcut.engine.checkpoint.files import read_file
from coopcut.engine.checkpoint.weights import fill, network_of_state, options_of_generator
from coopcut.engine.device import Devices
from coopcut.engine.method import Export
from coopcut.models.registry import MODELS
from coopcut.options.option import Options
from coopcut.options.saved import contradictions_with_weights, default_options, load_options, run_folder
from coopcut.util.errors import CheckpointError


def saved_options(path: str | Path, epoch: str | int, gpu_ids: Devices, export: str = "") -> Options:
    """Those of the run whose folder or weights file is `path`, as `test.py` would have them.

    Raises `CheckpointError` for an empty path.
    """
    if not str(path):
        raise CheckpointError("the path is empty: name a run's folder or a weights file")
    saved = load_options(run_folder(Options(checkpoint=str(path))))
    given: dict[str, Any] = {"checkpoint": str(path), "epoch": epoch, "gpu_ids": gpu_ids, "export": export}
    opt = Options(**{**default_options(saved.get("model", "cut")), **saved, **given})
    opt.eval, opt.given = False, []
    opt.amp, opt.compile = "none", False  # those of the training's machine
    return opt


def trained_network(opt: Options, export: Export) -> nn.Module:
    """The network of an export with the weights that `opt` names, on the CPU.

    Options that a weights file without train_opt.json contradicts are set in `opt`. Raises `CheckpointError` for a file
    that is missing, damaged, unsafe, of another architecture or not finite.
    """
    path = weights_path(opt, export.network)
    content = network_of_state(read_file(path), export.network, path)
    if not load_options(run_folder(opt)):
        for name, value in contradictions_with_weights(opt, options_of_generator(content, path), path).items():
            setattr(opt, name, value)
    net: nn.Module = MODELS[opt.model].build(opt, export)
    fill(net, content, path, opt)
    _check_finite(net, path)
    return net


def weights_of(net: nn.Module, opt: Options, network: str) -> None:
    """Fill `net` with the weights of a network of the run. Raises `CheckpointError` as `trained_network`."""
    path = weights_path(opt, network)
    fill(net, network_of_state(read_file(path), network, path), path, opt)
    _check_finite(net, path)


def _check_finite(net: nn.Module, path: Path) -> None:
    broken = [name for name, value in net.state_dict().items() if not bool(value.isfinite().all())]
    if broken:
        raise CheckpointError(f"{path}: {broken[0]} is not finite (NaN or infinite); use another --epoch or run")


def weights_path(opt: Options, network: str) -> Path:
    """The file of a network's weights: that of --checkpoint, or of --epoch in the run, averaged if it was."""
    if opt.checkpoint and Path(opt.checkpoint).exists() and not Path(opt.checkpoint).is_dir():
        return Path(opt.checkpoint)
    if opt.checkpoint and not Path(opt.checkpoint).is_dir():
        raise CheckpointError(f"--checkpoint {opt.checkpoint} does not exist: name a run's folder or a weights file")
    folder = run_folder(opt)
    averaged = folder / f"{opt.epoch}_net_{network}_ema.pth"
    current = load_options(folder).get("ema", 1) > 0  # else the run was continued without, and the file is outdated
    return averaged if current and averaged.is_file() else folder / f"{opt.epoch}_net_{network}.pth"
