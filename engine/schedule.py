"""Learning-rate policies of CUT, by the names of `--lr_policy`; a scheduler is moved on once per epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim import lr_scheduler

from coopcut.options.option import Options


def create_scheduler(optimizer: torch.optim.Optimizer, opt: Options) -> lr_scheduler.LRScheduler:
    """The scheduler for `opt.lr_policy`.

    linear: the full rate for n_epochs, then a straight line to zero over n_epochs_decay. step: a tenth after every
    lr_decay_iters epochs. plateau: a fifth when the epoch's mean generator loss has not fallen by 1 % for 5 epochs
    (CUT hands it a constant). cosine: half a cosine over n_epochs; as in CUT it rises again after them.
    """
    if opt.lr_policy == "linear":

        def factor(epochs_done: int) -> float:
            beyond = max(0, epochs_done + opt.epoch_count - opt.n_epochs)
            return max(0.0, 1.0 - beyond / float(opt.n_epochs_decay + 1))

        return lr_scheduler.LambdaLR(optimizer, lr_lambda=factor)
    if opt.lr_policy == "step":
        return lr_scheduler.StepLR(optimizer, step_size=opt.lr_decay_iters, gamma=0.1)
    if opt.lr_policy == "plateau":
        return lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.2, threshold=0.01, patience=5)
    if opt.lr_policy == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, opt.n_epochs), eta_min=0)
    raise ValueError(f"unknown --lr_policy '{opt.lr_policy}'")


def follow_options(
    optimizer: torch.optim.Optimizer,
    scheduler: lr_scheduler.LRScheduler,
    fresh: Sequence[Mapping[str, Any]],
    before: Mapping[str, Any],
    opt: Options,
) -> None:
    """After a state was loaded: let rates and schedule follow `opt`, should the run be continued with other flags.

    before: the options that the state was saved with; with the same ones nothing changes, to the last bit.
    fresh: the groups of the optimizer as its method makes them of `opt`. Another --lr scales the rate of every group,
    also one that its method chose. Another --beta1 or --beta2 replaces what its method took from that flag.
    """
    factor = opt.lr / before["lr"]

    def scaled(rate: float) -> float:
        return opt.lr if rate == before["lr"] else rate * factor

    for group, made in zip(optimizer.param_groups, fresh, strict=True):
        for index, flag in enumerate(("beta1", "beta2") if "betas" in group else ()):
            old, new = before[flag], getattr(opt, flag)
            if group["betas"][index] == old and made["betas"][index] == new:
                group["betas"] = (*group["betas"][:index], new, *group["betas"][index + 1 :])
        group.update({name: scaled(group[name]) for name in ("lr", "initial_lr") if name in group})
    for name in ("base_lrs", "_last_lr"):
        if hasattr(scheduler, name):
            setattr(scheduler, name, [scaled(rate) for rate in getattr(scheduler, name)])
    rates = _rates_of_epoch(scheduler, before, opt)
    if rates:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        scheduler._last_lr = rates


def _rates_of_epoch(
    scheduler: lr_scheduler.LRScheduler, before: Mapping[str, Any], opt: Options
) -> list[float | torch.Tensor]:
    """The rates on a schedule that is a function of the epoch alone, if the options changed it; else none."""
    changed = {name for name in ("lr", "n_epochs", "n_epochs_decay", "epoch_count") if before[name] != vars(opt)[name]}
    if isinstance(scheduler, lr_scheduler.LambdaLR) and changed:
        courses = [course(scheduler.last_epoch) for course in scheduler.lr_lambdas]
        return [base * course for base, course in zip(scheduler.base_lrs, courses, strict=True)]
    if not isinstance(scheduler, lr_scheduler.CosineAnnealingLR) or "n_epochs" not in changed:
        return []
    if scheduler.T_max != max(1, before["n_epochs"]):  # its method chose another length
        return []
    scheduler.T_max = max(1, opt.n_epochs)
    course = (1 + math.cos(math.pi * scheduler.last_epoch / scheduler.T_max)) / 2
    return [scheduler.eta_min + (base - scheduler.eta_min) * course for base in scheduler.base_lrs]
