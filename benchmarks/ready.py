"""A training without its folder: options, trainer, and batches of tensors."""

from collections.abc import Sequence

from torch import Tensor

from coopcut.data.batch import Batch
from coopcut.engine.device import set_up
from coopcut.engine.processes.peers import Peers
from coopcut.engine.runtime import Runtime
from coopcut.engine.trainer import Trainer
from coopcut.models import MODELS, Method
from coopcut.options.option import Options
from coopcut.options.parser import OptionParser


def options(flags: Sequence[object]) -> Options:
    """Options of a training, as train.py would parse them."""
    return OptionParser(True).parse(["--dataroot", ".", *map(str, flags)])


def trainer_of(opt: Options, method: type[Method] | None = None) -> Trainer:
    """What trains the method of `opt`, or another class, in this process."""
    runtime = Runtime.from_options(opt, Peers())
    set_up(opt.seed, opt.deterministic, runtime.device)
    return Trainer(opt, (method or MODELS[opt.model])(opt, runtime), runtime)


def batch_of(A: Tensor, B: Tensor) -> Batch:
    """Images [N, C, H, W] of both domains, without files."""
    return Batch.whole({"A": A, "B": B}, {"A": [""] * len(A), "B": [""] * len(B)})
