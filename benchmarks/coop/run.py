"""One run of the study: a method trained on the toy set in memory, and measured along the way."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from benchmarks.ready import batch_of, options, trainer_of
from coopcut.datasets.make_toy import classify_look, read_truth
from coopcut.datasets.toy.looks import N_LOOKS
from coopcut.datasets.toy.render import compose, draw_layers
from coopcut.datasets.toy.scene import Scene, scene_from_truth
from coopcut.engine.position import Position
from coopcut.engine.processes.shard import Shard
from coopcut.engine.step import StepContext
from coopcut.engine.trainer import Trainer
from coopcut.images.io import read_image, to_tensor
from coopcut.images.listing import list_images
from coopcut.metrics.distribution import kernel_distance, manifold_figures
from coopcut.metrics.features import Features, create_features
from coopcut.metrics.looks import reverse_kl
from coopcut.models import Method
from coopcut.objectives.cooperative import Cooperative

MEASURED = 10  # times in a run
LAST = 3  # of these, which are averaged and have all figures
SHOWN = 8  # test images in the picture of a run


@dataclass(frozen=True)
class Data:
    """The toy set: images [N, 3, H, W] in [-1, 1] by folder, the scenes of the test set, features of the target."""

    images: dict[str, Tensor]
    trainA_true: Tensor  # what the training photographs would be as zebras: for the ceiling alone
    scenes: list[Scene]
    target: NDArray[np.int64]  # looks of trainB: [N_LOOKS]
    features: Features
    real: NDArray[np.float64]  # features of trainB

    @classmethod
    def load(cls, root: Path) -> "Data":
        truth = read_truth(root)["files"]
        names = {
            split: [Path(p).name for p in list_images(root / split)] for split in ("trainA", "trainB", "testA", "testB")
        }
        images = {split: torch.stack([_image(root / split / n) for n in files]) for split, files in names.items()}
        size = images["trainA"].shape[-1]
        scenes_A = [scene_from_truth(truth[f"trainA/{name}"]) for name in names["trainA"]]
        looks = [int(truth[f"trainB/{name}"]["look"]) for name in names["trainB"]]
        features = create_features("builtin")
        return cls(
            images=images,
            trainA_true=torch.stack([_tensor(compose(draw_layers(s, size, "B"), "B")) for s in scenes_A]),
            scenes=[scene_from_truth(truth[f"testB/{name}"]) for name in names["testB"]],
            target=np.bincount(looks, minlength=N_LOOKS),
            features=features,
            real=features(levels(images["trainB"])),
        )


def _image(path: Path) -> Tensor:
    return to_tensor(read_image(path, 3))


def _tensor(picture: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 127.5 - 1


def levels(images: Tensor) -> list[NDArray[np.uint8]]:
    """[N, 3, H, W] in [-1, 1] as uint8 arrays [H, W, 3]."""
    return list(images.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())


@dataclass(frozen=True)
class Result:
    """rows: the figures at `MEASURED` places, with the seconds of training alone up to there.

    pictures: by name [8, 3, H, W] of the first test images, among them fake_B of the last and of the averaged
    weights, and what the last warm-up step saw.
    """

    rows: list[dict[str, Any]]
    pictures: dict[str, Tensor]


def train(
    data: Data,
    flags: Sequence[str],
    steps: int,
    supervised: bool = False,
    variant: type[Method] | None = None,
    decay: bool = True,
) -> Result:
    """Train for `steps` steps.

    The rate is constant for half of the steps and then, with `decay`, falls to 0 in a straight line, step by step.
    `supervised`: the generator alone learns the true counterparts (mean absolute difference), as a ceiling.
    `variant`: a class in place of that of --model.
    """
    opt = options(flags)
    trainer = trainer_of(opt, variant)
    method, device = trainer.method, trainer.runtime.device
    position, rows, seconds = Position(), list[dict[str, Any]](), 0.0
    began, means = time.perf_counter(), _Means()
    pictures = {split: data.images[split][:SHOWN] for split in ("testA", "testB")}
    coop = method.objectives["adversarial"]
    warm = coop if isinstance(coop, Cooperative) and coop.starting(position) else None
    for step, (a, b, true) in enumerate(_batches(data, opt.batch_size, steps, opt.seed), 1):
        for optimizer in trainer.optimizers.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = opt.lr * (min(1.0, 2 * (1 - (step - 1) / steps)) if decay else 1.0)
        phase = "supervised" if supervised else method.stage(position)
        if supervised:
            _supervised_step(trainer, a.to(device), true.to(device))
        else:
            means.add(trainer.step(batch_of(a, b).to(device), position).losses)
        position.advance(len(a))
        if warm is not None and (step == steps or not warm.starting(position)):
            pictures |= _revised(trainer, warm, pictures["testA"].to(device), pictures["testB"].to(device))
            warm = None
            for name in getattr(method, "forgetting", ()):
                trainer.optimizers.optimizers[name].state.clear()
        if step * MEASURED // steps > (step - 1) * MEASURED // steps:
            losses = means.take()  # waits for the device
            seconds += time.perf_counter() - began
            found = {
                name: measure(data, net, device, len(rows) >= MEASURED - LAST) for name, net in _generators(trainer)
            }
            row = {"step": step, "seconds": seconds, "phase": phase, "losses": losses}
            rows.append(row | {"advice": method.advice(losses, position)} | found)
            began = time.perf_counter()
    for name, net in _generators(trainer):
        pictures[f"fake_B, {name}"] = translate(net, pictures["testA"], device)
    return Result(rows, pictures)


def _revised(trainer: Trainer, coop: Cooperative, sources: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Translations before and after the revision, [N, 3, H, W] on the CPU."""
    with torch.no_grad():
        fake_B = trainer.networks["G"](sources)
    ctx = StepContext(Position(), batch_of(sources, targets).shard, True, trainer.rng)
    revised_B = coop.revise(fake_B, targets, ctx).x
    return {"fake_B, warm-up": fake_B.clamp(-1, 1).cpu(), "revised_B": revised_B.cpu()}


def _batches(data: Data, size: int, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Random sources, random targets and the true counterparts of the sources, each batch mirrored by chance."""
    rng = torch.Generator().manual_seed(seed)
    A, B = data.images["trainA"], data.images["trainB"]
    for _ in range(steps):
        i, j = torch.randint(len(A), (size,), generator=rng), torch.randint(len(B), (size,), generator=rng)
        flip_A, flip_B = (torch.rand(2, generator=rng) < 0.5).tolist()
        a, true, b = A[i], data.trainA_true[i], B[j]
        yield (a.flip(-1) if flip_A else a), (b.flip(-1) if flip_B else b), (true.flip(-1) if flip_A else true)


def _supervised_step(trainer: Trainer, a: Tensor, true: Tensor) -> None:
    l1_loss(trainer.networks["G"](a), true).backward()
    trainer.optimizers.step(["G"], Shard.whole(len(a)))
    for name, average in trainer.averages.items():
        average.update_parameters(trainer.networks[name])


def _generators(trainer: Trainer) -> Iterator[tuple[str, nn.Module]]:
    yield "raw", trainer.networks["G"]
    if "G" in trainer.averages:
        yield "ema", trainer.averages["G"].module


def translate(net: nn.Module, images: Tensor, device: torch.device) -> Tensor:
    """[N, 3, H, W] -> the same, on the CPU."""
    with torch.no_grad():
        return torch.cat([net(part.to(device)).clamp(-1, 1).cpu() for part in images.split(32)])


def measure(data: Data, net: nn.Module, device: torch.device, with_features: bool) -> dict[str, Any]:
    """Figures of the translations of testA; KID and coverage, which take their time, only `with_features`."""
    fake = translate(net, data.images["testA"], device)
    pictures = levels(fake)
    shown = np.array([classify_look(picture, scene) for picture, scene in zip(pictures, data.scenes, strict=True)])
    true = np.array([scene.look for scene in data.scenes])
    counts = np.bincount(shown, minlength=N_LOOKS)
    error = (fake - data.images["testB"]).mul(127.5).square().mean().sqrt()
    found = {
        "covered": int((counts > 0.02 * counts.sum()).sum()),  # one lucky picture is not a look
        "reverse_KL": reverse_kl(counts, data.target),
        "true_look": float((shown == true).mean()),
        "RMSE": float(error),
        "shown": counts.tolist(),
    }
    if with_features:
        vectors = data.features(pictures)
        found |= {
            "KID": kernel_distance(data.real, vectors),
            "coverage": manifold_figures(data.real, vectors)["coverage"],
        }
    return found


class _Means:
    """The mean of each loss since it was last taken."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, loss in losses.items():
            total, number = self.sums.get(name, (torch.zeros_like(loss), 0))
            self.sums[name] = total + loss, number + 1

    def take(self) -> dict[str, float]:
        means = {name: float(total) / number for name, (total, number) in self.sums.items()}
        self.sums.clear()
        return means
