"""An energy-based model of images as a generator of them: Langevin dynamics from the chains of its training."""

import math

import torch
from torch import Tensor

from coopcut.networks.contract import Critic, NoiseGenerator
from coopcut.options.option import Options
from coopcut.sampling.langevin import Langevin
from coopcut.util.errors import OptionError

STEPS = 20  # of a sample, from a chain


class EnergyModel(NoiseGenerator):
    """p(x) ~ exp f(x) on [-1, 1], f the scores of `critic`; chains [N, C, size, size]: where its samplers stand.

    forward: noise [B, nz] -> samples. The first number of a row chooses a chain, the others move its start; from there
    the image climbs f for some steps, without noise. So a row gives the same image whatever is beside it, and samples
    are near the chains: no more of them differ than there are chains.
    """

    chains: Tensor
    invertible = False
    unaveraged = ("chains",)  # buffers of which --ema keeps the last values

    def __init__(self, critic: Critic, channels: int, size: int, chains: int, noise: float) -> None:
        super().__init__()
        self.critic, self.size, self.classes, self.noise = critic, size, 0, noise
        self.nz = 1 + channels * size * size
        self.register_buffer("chains", torch.rand(chains, channels, size, size) * 2 - 1)
        self.sampler = Langevin(STEPS, displacement=0.02, backtrack=True)

    @classmethod
    def from_options(cls, opt: Options, out_channels: int, classes: int) -> "EnergyModel":
        from coopcut.networks import create_critic  # it imports all networks

        if classes:
            raise OptionError("--model descriptor takes no classes: leave --conditional out")
        critic = create_critic(opt, out_channels, 0)
        return cls(critic, out_channels, opt.crop_size, opt.chains, opt.langevin_noise)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        share = (1 + torch.erf(z[:, 0].double() / math.sqrt(2))) / 2  # uniform in (0, 1)
        chosen = (share * len(self.chains)).long().clamp(0, len(self.chains) - 1)
        start = self.chains[chosen] + self.noise * z[:, 1:].view(-1, *self.chains.shape[1:])
        return self.climb(start.clamp(-1, 1))

    def climb(self, images: Tensor) -> Tensor:
        """Images [B, C, size, size] after some steps up f."""
        with torch.inference_mode(False), torch.enable_grad():
            return self.sampler.revise(self.critic, images.clone()).x

    def rows(self, step: int, number: int) -> Tensor:
        """The numbers of the chains that a step of training moves: all of them in turn."""
        return (torch.arange(number) + step * number) % len(self.chains)
