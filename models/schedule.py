"""Learning-rate policies of CUT, by the names of `--lr_policy`; a scheduler is moved on once per epoch."""

import torch
from torch.optim import lr_scheduler

from options.option import Options


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
    raise ValueError(f"unknown lr_policy '{opt.lr_policy}'")


def obey_options(optimizer: torch.optim.Optimizer, scheduler: lr_scheduler.LRScheduler, opt: Options) -> None:
    """After a state was loaded: let rates and schedule follow `opt`, should the run be continued with other flags.

    With the same flags nothing changes, to the last bit.
    """
    for group in optimizer.param_groups:
        group["betas"] = (opt.beta1, opt.beta2)
        before = group.get("initial_lr", opt.lr)
        if before != opt.lr:
            group["lr"] *= opt.lr / before
            group["initial_lr"] = opt.lr
    if not isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        scheduler.base_lrs = [opt.lr for _ in scheduler.base_lrs]
    if isinstance(scheduler, lr_scheduler.CosineAnnealingLR):
        scheduler.T_max = max(1, opt.n_epochs)
    if isinstance(scheduler, lr_scheduler.LambdaLR):  # its rate is a function of the epoch alone
        for group, factor in zip(optimizer.param_groups, scheduler.lr_lambdas, strict=True):
            group["lr"] = opt.lr * factor(scheduler.last_epoch)
