"""How to use less memory than now: only flags that the script has and that are not yet at their minimum."""

from typing import Any

import torch

from coopcut.options.option import Options
from coopcut.util.errors import OptionError

NEXT = {"resnet_9blocks": "resnet_6blocks", "resnet_6blocks": "resnet_4blocks"}  # the smaller --netG
LEAST = 4  # pixels: of --load_size and --crop_size
MOST = 16384
CHECKPOINTING = ["--selective_checkpointing", "--activation_checkpointing"]


def for_training(opt: Options, device: torch.device, trainer: Any = None) -> str:
    """What `train.py` can do with less memory, the cheapest first; trainer: the `Trainer`, if it is there already."""
    ways: list[str] = []
    batch_norm = getattr(opt, "normG", "") == "batch"
    if opt.accumulation_steps < opt.batch_size and _accepts(trainer, opt, accumulation_steps=opt.batch_size):
        ways.append(f"--accumulation_steps {opt.batch_size}")
    if opt.selective_checkpointing:
        ways.append("--activation_checkpointing --selective_checkpointing False")
    elif not opt.activation_checkpointing and not batch_norm:
        ways += ["--activation_checkpointing"] if opt.compile else CHECKPOINTING
    ways += _lower_precision(opt, device) if device.type == "cuda" else []
    ways += [f"--batch_size {opt.batch_size // 2}"] if opt.batch_size > 1 else []
    ways += _smaller(opt, int(getattr(trainer, "min_size", LEAST)))
    ways += ["a smaller --cache_images"] if opt.cache_images > 0 else []
    if not opt.continue_train:  # these belong to a run for good
        ways += [f"--netG {NEXT[opt.netG]}"] if opt.netG in NEXT else []
        ways += [f"--ngf {opt.ngf // 2}"] if opt.ngf > 1 else []
        ways += ["--CUT_mode FastCUT"] if getattr(opt, "CUT_mode", "") == "CUT" else []
    patches = getattr(opt, "num_patches", 1)
    return _joined(ways + ([f"--num_patches {patches // 2}"] if patches > 1 else []))


def for_translating(opt: Options, device: torch.device, width: int | None = None) -> str:
    """What `test.py` can do for an image of this width that does not fit alone; None: for a network that does not."""
    ways: list[str] = []
    if width is not None and opt.preprocess != "none":
        ways += _smaller(opt)
    elif width is not None and width > LEAST:
        ways.append(f"--preprocess scale_width --load_size {min(max(width // 2, LEAST), MOST)}")
    return _joined(ways + _lighter(opt, device))


def for_measuring(device: torch.device, size: int | None = None) -> str:
    """What `evaluate.py` can do with less memory; size: that of its feature network's images, if it can be chosen."""
    ways = [f"--feature_size {max(32, size // 2)}"] if size is not None and size > 32 else []
    ways += ["--gpu_ids -1 (the CPU)"] if device.type != "cpu" else []
    return _joined([*ways, "fewer or smaller images"])


def _accepts(trainer: Any, opt: Options, **changes: Any) -> bool:
    """Whether the trainer is there and takes the options with these `changes`."""
    if trainer is None:
        return False
    try:
        trainer.check(Options(**{**vars(opt), **changes}))
    except OptionError:
        return False
    return True


def _smaller(opt: Options, least: int = LEAST) -> list[str]:
    """Smaller images, by the options that their size depends on."""
    if opt.preprocess == "none":
        names = []
    elif opt.preprocess == "scale_width":
        names = ["load_size"]
    elif opt.preprocess == "resize_and_crop" and not opt.isTrain:  # the size of the crop, unless both were typed
        names = [name for name in ("load_size", "crop_size") if name in opt.given] or ["load_size"]
    else:
        names = ["crop_size"]
    flags = [f"--{name} {max(least, getattr(opt, name) // 2)}" for name in names if getattr(opt, name) > least]
    return [" ".join(flags)] if flags else []


def _lighter(opt: Options, device: torch.device) -> list[str]:
    """The same images in a lower precision, or on the CPU."""
    if device.type == "cpu":
        return _lower_precision(opt, device)
    more = [" --amp none" * (opt.amp == "fp16"), " --tf32 False" * bool(opt.tf32)]
    return [*_lower_precision(opt, device), f"--gpu_ids -1{''.join(more)} (the CPU)"]


def _lower_precision(opt: Options, device: torch.device) -> list[str]:
    if device.type == "cuda" and opt.amp == "none":
        return [f"--amp {'bf16' if torch.cuda.is_bf16_supported(including_emulation=False) else 'fp16'}"]
    if device.type == "cpu" and opt.amp != "fp16":
        better = "bf16" if _cpu_has_bf16() else "none"  # else the CPU emulates it with larger tensors
        return [f"--amp {better}"] if better != opt.amp else []
    return []


def _cpu_has_bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _joined(ways: list[str]) -> str:
    return f"try {' or '.join([', '.join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways)}" if ways else ""
