"""What a run of the 2-D mixture benchmark depends on, and what it costs. See benchmarks/mixture.py.

A length of 1 is the radius of the ring, and half the distance of neighbors in the grid.
"""

from dataclasses import asdict, dataclass
from typing import Any

from coopcut.data.mixtures import DATA

ARMS = ("gan", "coopinit")


@dataclass(frozen=True)
class Settings:
    """All that a run depends on. The names are those of the options of `train.py`; lr_D and lr_G: 0 stands for lr."""

    data: str = "ring"
    gan_mode: str = "nonsaturating"
    arm: str = "gan"
    seed: int = 0
    steps: int = 3000
    coop_steps: int = 400
    langevin_steps: int = 15
    langevin_step_size: float = 0.1
    langevin_noise: float = 0.0
    langevin_clip: float = 0.0
    lambda_coop: float = 10.0
    lambda_energy: float = 0.25
    coop_data_noise: float = 0.0
    batch_size: int = 256
    lr: float = 1e-3
    coop_lr_D: float = 0.0
    coop_lr_G: float = 0.0
    beta1: float = 0.5
    beta2: float = 0.999
    width: int = 64
    nz: int = 2
    measure_freq: int = 100

    def matters(self) -> dict[str, Any]:
        """The settings that change what the arm does or reports: those of the sampler change nothing in `gan`."""
        coop = ("langevin_", "lambda_", "coop_lr", "coop_data") if self.arm == "gan" else ()
        return {name: value for name, value in asdict(self).items() if not name.startswith(coop)}

    @property
    def warmup(self) -> int:
        """Number of cooperative steps."""
        return self.coop_steps if self.arm == "coopinit" else 0

    def passes(self, step: int) -> int:
        """Passes of a batch through a network, forward and backward, in the first `step` steps.

        An adversarial step has 4: D on real, on fake, and on fake for G, and G. A cooperative step has D on real, on
        revised and `langevin_steps` times in the sampler, and G. All networks are of one size.
        """
        coop = min(step, self.warmup)
        return coop * (self.langevin_steps + 3) + (step - coop) * 4

    def steps_of_equal_cost(self) -> int:
        """The most steps of this arm that make no more passes than `gan` makes in all its steps."""
        coop, budget = self.langevin_steps + 3, 4 * self.steps
        return min(self.warmup, budget // coop) + max(budget - self.warmup * coop, 0) // 4


def fitting(data: str, gan_mode: str) -> dict[str, float]:
    """The defaults that depend on the task.

    langevin_clip: 2 standard deviations of a mode, since the revision overshoots where it crosses a mode in one step.
    lambda_energy: what suits the loss after the switch, see docs/coopcut.md.
    """
    return {"langevin_clip": 2 * DATA[data]().std, "lambda_energy": 1.0 if gan_mode == "lsgan" else 0.25}
