"""Finding the first loss that is not a finite number, without making the device wait at each step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coopcut.util.errors import NonFiniteLossError


class FiniteGuard:
    """Looks at the losses of each step; on a GPU the verdict is read one step later, when it has long been there.

    defer: note what is found as `trouble` instead of raising it: one of several processes must not leave alone.
    """

    def __init__(self, defer: bool = False) -> None:
        self.defer = defer
        self.trouble: NonFiniteLossError | None = None
        self._pending: tuple[dict[str, Tensor], int, list[str], Tensor, torch.cuda.Event | None] | None = None

    def check(self, losses: dict[str, Tensor], step: int, paths: Sequence[str]) -> None:
        """Note the losses of `step` and judge those of the step before. Raises `NonFiniteLossError`."""
        self.settle()
        finite = torch.stack([loss.reshape(()).float() for loss in losses.values()]).isfinite().all()
        event = None
        if finite.is_cuda:
            host = torch.empty((), dtype=torch.bool, pin_memory=True)
            host.copy_(finite, non_blocking=True)
            finite, event = host, torch.cuda.Event()
            event.record()
        self._pending = (losses, step, list(paths), finite, event)
        if event is None:
            self.settle()

    def settle(self) -> None:
        """Judge what has not been judged yet: to be called before anything is saved. Raises `NonFiniteLossError`."""
        if self._pending is None:
            return
        losses, step, paths, finite, event = self._pending
        self._pending = None
        if event is not None:
            event.synchronize()
        if not bool(finite):
            name, value = next((n, float(v)) for n, v in losses.items() if not bool(v.isfinite().all()))
            error = NonFiniteLossError(
                f"loss {name} is {value} at step {step}, images {', '.join(paths)}; saved files are unchanged: "
                "lower --lr or check these images, then resume with --continue_train (if it had saved) or start again"
            )
            if not self.defer:
                raise error
            self.trouble = self.trouble or error
