"""Explicit random generators of a training run, part of its saved state."""

import torch


class RandomState:
    """A generator for decisions of the program (`cpu`), one for tensors (`device`), and torch's global ones.

    The global generators serve the layers that accept no other: dropout.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.cpu = torch.Generator().manual_seed(seed)
        self.device = torch.Generator(device=device).manual_seed(seed)

    def coin(self) -> bool:
        """Heads with probability 1/2, without waiting for the device."""
        return bool(torch.randint(2, (), generator=self.cpu))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The states of all generators, as byte tensors on the CPU."""
        state = {"cpu": self.cpu.get_state(), "device": self.device.get_state(), "torch": torch.get_rng_state()}
        if self.device.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device.device)
        return state

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on where `state` was taken. On another kind of device its generators start from their seed."""
        self.cpu.set_state(state["cpu"])
        torch.set_rng_state(state["torch"])
        if state["device"].numel() == self.device.get_state().numel():
            self.device.set_state(state["device"])
        if self.device.device.type == "cuda" and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self.device.device)
