"""Where training stands."""

from dataclasses import asdict, dataclass


@dataclass
class Position:
    """Everything that the schedule depends on: the phase and the learning rate are functions of it alone.

    epoch: number of the epoch in progress, from 1. samples: samples of that epoch that are done. step: training
    steps done in all. images: samples done in all; the frequencies of CUT's options count these.
    """

    epoch: int = 1
    samples: int = 0
    step: int = 0
    images: int = 0

    def advance(self, samples: int) -> None:
        """One step with so many samples is done."""
        self.samples += samples
        self.step += 1
        self.images += samples

    def next_epoch(self) -> None:
        """The epoch is done."""
        self.epoch += 1
        self.samples = 0

    def crossed(self, every: int, samples: int) -> bool:
        """Whether the last `samples` images reached or passed a multiple of `every`, for any batch size."""
        return self.images // every > (self.images - samples) // every

    def state_dict(self) -> dict[str, int]:
        """As plain numbers."""
        return asdict(self)
