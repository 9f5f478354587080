"""Where and how a run computes."""

from dataclasses import dataclass, field

import torch
from torch import nn

from coopcut.engine.device import choose_device
from coopcut.engine.precision import N, Network, check_device
from coopcut.engine.processes.peers import Peers
from coopcut.networks.contract import Generator, NoiseGenerator
from coopcut.networks.sequence import set_checkpointing
from coopcut.options.option import Options
from coopcut.util.errors import OptionError

FLAGS = {"selective": "--selective_checkpointing", "full": "--activation_checkpointing"}


@dataclass(frozen=True)
class Runtime:
    """The device, the precision, and the processes of a run.

    amp: none, bf16 or fp16. compile: whether networks are compiled. checkpointing: what generators compute again for
    their gradients (see `networks.sequence`).
    """

    device: torch.device
    amp: str = "none"
    compile: bool = False
    checkpointing: str = ""
    peers: Peers = field(default_factory=Peers)

    @classmethod
    def from_options(cls, opt: Options, peers: Peers) -> "Runtime":
        """What `opt` describes. Raises `OptionError` for what this machine lacks."""
        device = choose_device(opt.gpu_ids)
        check_device(opt, device)
        return cls(device, opt.amp, opt.compile, _checkpointing(opt), peers)

    def prepare(self, net: N) -> Network[N]:
        """`net` on the device, in training mode, as it is to be called."""
        if isinstance(net, NoiseGenerator) and self.checkpointing:
            raise OptionError(f"{FLAGS[self.checkpointing]} is for generators that translate: leave it out")
        if isinstance(net, Generator) and self.checkpointing:
            if any(isinstance(module, nn.BatchNorm2d) for module in net.modules()):
                flag = FLAGS[self.checkpointing]
                raise OptionError(f"{flag}: batch norm would count each batch twice; use --normG instance")
            if not set_checkpointing(net, self.checkpointing):
                raise OptionError(f"{FLAGS[self.checkpointing]}: this --netG does not support it; leave it out")
        return Network(net, self.device, self.amp, self.compile)


def _checkpointing(opt: Options) -> str:
    """What generators compute again for their gradients: `full`, `selective`, or nothing."""
    if opt.selective_checkpointing and (opt.activation_checkpointing or opt.compile):
        other = FLAGS["full"] if opt.activation_checkpointing else "--compile"
        raise OptionError(f"{FLAGS['selective']} cannot be combined with {other}: set one of them to False")
    return "full" if opt.activation_checkpointing else "selective" if opt.selective_checkpointing else ""
