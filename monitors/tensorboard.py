"""Figures and pictures for TensorBoard, in the folder `tensorboard` of the run; the package is imported only here."""

from pathlib import Path

import torch
from torch import Tensor

from coopcut.engine.position import Position
from coopcut.monitors.base import MONITORS, Monitor, Record, RunInfo


@MONITORS.register("tensorboard")
class TensorBoard(Monitor):
    """Curves over steps. A continued run purges what an earlier process wrote of steps that are redone."""

    def __init__(self, folder: Path, start: Position, every_losses: int, every_images: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.every_losses, self.every_images = every_losses, every_images
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=start.step + 1)

    @classmethod
    def create(cls, run: RunInfo) -> "TensorBoard":
        return cls(run.folder, run.start, run.opt.print_freq, run.opt.display_freq)

    def log(self, record: Record) -> None:
        step = record.position.step
        for name, value in record.losses.items():
            self.writer.add_scalar(f"losses/{name}", value, step)
        self.writer.add_scalar("training/learning rate", record.lr, step)
        self.writer.add_scalar("training/images per second", record.images_per_second, step)
        self.writer.add_scalar("training/share of time waiting for data", record.waiting_share, step)
        self.writer.add_scalar("training/epochs", record.epochs, step)

    def show(self, position: Position, images: dict[str, Tensor]) -> None:
        for label, batch in images.items():
            picture = torch.nan_to_num(batch[0].detach().float().cpu()).clamp(-1, 1) / 2 + 0.5
            self.writer.add_image(label, picture, position.step)

    def close(self) -> None:
        self.writer.close()
