"""What is advised when memory runs out: only flags that the script has, are not set yet, and are taken."""

import pytest
import torch

from coopcut.options.savings import for_measuring, for_training, for_translating
from tests.steps import trainer_with
from tests.tools import (
    translation_options,
)

GPU = torch.device("cuda")
LEAST = "--ngf 1 --num_patches 1 --CUT_mode FastCUT"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (
            "--batch_size 4 --load_size 64 --crop_size 64 --netG resnet_9blocks --ngf 64 --num_patches 256",
            "--accumulation_steps 4, --selective_checkpointing, --activation_checkpointing, --batch_size 2, "
            "--crop_size 32, --netG resnet_6blocks, --ngf 32, --CUT_mode FastCUT or --num_patches 128",
        ),
        (f"{LEAST} --activation_checkpointing", None),
        (f"{LEAST} --normG batch", None),
        (f"{LEAST} --normG batch --batch_size 2", "--batch_size 1"),
        (
            f"{LEAST} --batch_size 2 --accumulation_steps 2 --selective_checkpointing --cache_images 1",
            "--activation_checkpointing --selective_checkpointing False, --batch_size 1 or a smaller --cache_images",
        ),
        (
            f"{LEAST} --preprocess scale_width --load_size 200 --compile",
            "--activation_checkpointing or --load_size 100",
        ),
    ],
)
def test_advice_for_training(flags: str, says: str | None) -> None:
    """Only what is not set yet, not at its least, and taken by the networks."""
    trainer = trainer_with(flags)
    assert for_training(trainer.opt, torch.device("cpu"), trainer) == (f"try {says}" if says else "")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--preprocess none", "--preprocess scale_width --load_size 500"),
        ("--preprocess none --batch_size 4", "--preprocess scale_width --load_size 500"),
        ("--load_size 800", "--load_size 400"),
        ("--crop_size 800", "--crop_size 400"),
        ("--load_size 800 --crop_size 800", "--load_size 400 --crop_size 400"),
        ("--preprocess scale_width --load_size 800", "--load_size 400"),
        ("--preprocess crop --crop_size 800", "--crop_size 400"),
    ],
)
def test_advice_for_translating(flags: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coopcut.options.savings._cpu_has_bf16", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    opt = translation_options(*flags.split())
    assert for_translating(opt, torch.device("cpu"), 1000) == f"try {says}"
    assert for_translating(opt, GPU, 1000) == f"try {says}, --amp bf16 or --gpu_ids -1 (the CPU)"
    opt.amp = "bf16"
    assert for_translating(opt, torch.device("cpu"), 1000) == f"try {says} or --amp none"
    opt.amp, opt.tf32 = "fp16", True
    assert for_translating(opt, GPU, 1000) == f"try {says} or --gpu_ids -1 --amp none --tf32 False (the CPU)"


def test_advice_follows_what_test_py_takes() -> None:
    """What is advised can be typed, and makes the images smaller."""
    for flags in (
        ["--preprocess", "none"],
        ["--load_size", "800"],
        ["--preprocess", "scale_width", "--load_size", "90"],
    ):
        advice = (
            for_translating(translation_options(*flags), torch.device("cpu"), 1000).removeprefix("try ").split(" or ")
        )
        opt = translation_options(*flags, *advice[0].split())
        assert (opt.preprocess, opt.load_size) != ("none", 800)
        assert opt.load_size in (500, 400, 45)
        assert opt.crop_size <= opt.load_size


def test_advice_for_measuring() -> None:
    assert for_measuring(torch.device("cpu"), 128) == "try --feature_size 64 or fewer or smaller images"
    assert for_measuring(GPU, 32) == "try --gpu_ids -1 (the CPU) or fewer or smaller images"
