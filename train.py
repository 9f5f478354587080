"""Train a translator: python train.py --model coopcut --dataroot ./datasets/horse2zebra"""

import coopcut.util.interrupts  # noqa: F401 (before torch)

# isort: split
from collections.abc import Sequence

from coopcut.engine.training import Training
from coopcut.util.cli import run_script


def main(argv: Sequence[str]) -> int:
    """Train as the command line says. Returns the exit code."""
    with Training.prepared(argv) as training:
        train(training)
    return training.conclude()


def train(training: Training) -> None:
    """Epochs of steps, from where the run stands to the last epoch, --max_iters, or a signal to stop."""
    training.finish_epoch()  # one that a signal or a kill left
    while not training.ended:
        with training.saved_before_errors():
            for batch in training.batches():
                output = training.trainer.step(batch, training.position)
                training.note(output, batch)
                training.show(output, batch)
                training.save_if_due(batch)
        training.end_epoch()
    training.save()


def command() -> None:
    """What `coopcut-train` runs."""
    run_script(main)


if __name__ == "__main__":
    command()
