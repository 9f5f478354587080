"""What is kept for the gradients, as the most bytes that tensors held at one time."""

import gc
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from coopcut.networks import fused
from coopcut.networks.blur import Downsample, blur
from coopcut.networks.layers import InstanceNorm2d
from coopcut.objectives.patches import sample_patch_ids, sample_patches
from tests.steps import batch, method_with, pass_of, trainer_with


def peak_bytes(work: Callable[[], None]) -> int:
    """The most that tensors made by `work` held at one time."""
    gc.collect()  # what earlier tests left in cycles, freed meanwhile, would be taken off
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    assert record.profiler
    assert record.profiler.kineto_results
    changes = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in changes))


TORCHS_OWN: dict[str, tuple[Any, str, Any]] = {
    "norm and rectifier": (InstanceNorm2d, "rectified", lambda self, x: functional.relu(self(x))),
    "blur": (Downsample, "forward", lambda self, x: blur(x, self.filt)),
    "upsampling": (fused, "convolve_upsampled", lambda up, convolution, x: convolution(up(x))),
}


def keep_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for way in TORCHS_OWN.values():
        monkeypatch.setattr(*way)


def test_checkpointing_holds_less_at_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, selective, full = (
        peak_bytes(partial(pass_of, trainer_with("--ngf 8", flags)))
        for flags in ("", "--selective_checkpointing", "--activation_checkpointing")
    )
    assert plain > 32 * 32 * 8 * 4
    assert selective < 0.9 * plain
    assert full < 0.9 * selective
    keep_as_torch_does(monkeypatch)
    assert selective < 0.65 * peak_bytes(partial(pass_of, trainer_with("--ngf 8")))


def test_norms_blurs_and_upsampling_keep_less_than_torch_would(monkeypatch: pytest.MonkeyPatch) -> None:
    lean = peak_bytes(partial(pass_of, trainer_with("--ngf 8")))
    for name, way in TORCHS_OWN.items():  # each for itself
        with monkeypatch.context() as patch:
            patch.setattr(*way)
            assert lean < 0.95 * peak_bytes(partial(pass_of, trainer_with("--ngf 8"))), name
    keep_as_torch_does(monkeypatch)
    assert lean < 0.8 * peak_bytes(partial(pass_of, trainer_with("--ngf 8")))


def test_vectors_are_taken_while_the_generator_encodes() -> None:
    """Afterwards, the gradients of all layers would be maps at one time."""
    contrastive = method_with("--ngf 8 --nce_layers 0,1,4,5,8,9,12").contrastive
    images = batch()["A"]
    with torch.no_grad():
        ids = sample_patch_ids(contrastive.taps.encode(images), 16, torch.Generator())

    def late() -> None:
        vectors = contrastive.F(list(map(sample_patches, contrastive.taps.encode(images), ids)))
        torch.cat([v.flatten() for v in vectors]).square().mean().backward()

    def early() -> None:
        (vectors,) = contrastive.queries([images], [ids])
        torch.cat([v.flatten() for v in vectors]).square().mean().backward()

    late()  # the gradients of the weights are there from now on
    assert peak_bytes(early) < 0.85 * peak_bytes(late)
