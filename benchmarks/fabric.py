"""Lightning Fabric beside our engine: pip install lightning-fabric, then python -m benchmarks.fabric

Prints the time of a GAN step in bfloat16 over ours (medians of interleaved steps), and, of two processes that share
three samples, how far the gradients are from those of one process. docs/design.md has the result.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.ready import batch_of, options, trainer_of
from coopcut.engine.position import Position
from coopcut.networks.patch_discriminator import NLayerDiscriminator
from coopcut.networks.resnet_generator import Resnet4
from coopcut.util.cli import run_script

FLAGS = "--netG resnet_4blocks --ngf 16 --ndf 16 --lambda_NCE 0 --nce_idt False --gpu_ids -1 --amp bf16".split()
REPEATS = 15


def main(argv: Sequence[str]) -> int:
    """Time in this process, gradients in two."""
    if "RANK" in os.environ:
        gradients()
        return 0
    ratios = times()
    print(f"time of a step with Fabric over ours, bf16, CPU: {statistics.median(ratios):.3f}")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    subprocess.run([*launch, "benchmarks.fabric"], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return 0


def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return Resnet4(3, 3, ngf=16), NLayerDiscriminator(3, ndf=16)


def images(number: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    A, B = (torch.rand(number, 3, 64, 64, generator=generator) * 2 - 1 for _ in "AB")
    return A, B


def times() -> list[float]:
    """Of each repeat."""
    trainer, batch = trainer_of(options(FLAGS)), batch_of(*images(2))
    theirs = fabric_step("bf16-mixed")
    found = []
    for repeat in range(REPEATS + 2):
        spent = []
        for step in (theirs, lambda: trainer.step(batch, Position(step=repeat))):  # noqa: B023
            began = time.perf_counter()
            step()
            spent.append(time.perf_counter() - began)
        found.append(spent[0] / spent[1])
    return found[2:]


def fabric_step(precision: Any) -> Callable[[], None]:
    """The same step written with Fabric."""
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    (A, B), pairs = images(2), []
    for net in networks():
        adam = torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999), fused=True)
        pairs.append(fabric.setup(net, adam))
    (G, optimizer_G), (D, optimizer_D) = pairs

    def step() -> None:
        fake = G(A)
        optimizer_D.zero_grad()
        scores_fake, scores_real = D(torch.cat([fake.detach(), B])).split(len(A))
        fabric.backward((scores_fake.square().mean() + (scores_real - 1).square().mean()) / 2)
        optimizer_D.step()
        optimizer_G.zero_grad()
        D.requires_grad_(False)
        fabric.backward((D(fake) - 1).square().mean())
        D.requires_grad_(True)
        optimizer_G.step()

    return step


def gradients() -> None:
    """In each of two processes: of three samples two and one, in double precision."""
    from lightning_fabric import Fabric

    from coopcut.engine.processes.collectives import sum_gradients
    from coopcut.engine.processes.shard import Shard

    torch.set_default_dtype(torch.float64)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp", precision="64-true")
    fabric.launch()
    shard, (A, _) = Shard.of(3, fabric.global_rank, 2), images(3)
    expected = vector(networks()[1], lambda D: D(A).square().mean())
    part = A[shard.start : shard.stop]
    D = fabric.setup_module(networks()[1])
    fabric.backward(D(part).square().mean())
    ddp = torch.cat([p.grad.flatten() for p in D.parameters()])
    own = networks()[1]
    own(part).square().mean().backward()
    sum_gradients(own.parameters(), shard)
    ours = torch.cat([p.grad.flatten() for p in own.parameters() if p.grad is not None])
    if fabric.global_rank == 0:
        for name, found in (("Fabric's DDP", ddp), ("ours", ours)):
            off = float((found - expected).norm() / expected.norm())
            print(f"two processes with 2 and 1 samples, gradient of D, {name}: off by {off:.1e}")


def vector(net: nn.Module, loss: Callable[[nn.Module], Tensor]) -> Tensor:
    loss(net).backward()
    return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


if __name__ == "__main__":
    run_script(main)
