"""A buffer of earlier translations for the discriminator (Shrivastava et al. 2017), as in CycleGAN."""

from collections.abc import Sequence

import torch
from torch import Tensor


class ImagePool:
    """Holds up to `size` images; with size 0 it hands back what it is given."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def query(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """[B, C, H, W] -> the same shape: each image, with probability 1/2, swapped for one in the full buffer."""
        if self.size == 0:
            return images
        answer = []
        for image in images.detach():
            if len(self.images) < self.size:
                self.images.append(image.clone())
                answer.append(image)
            elif torch.rand((), generator=generator) > 0.5:
                place = int(torch.randint(self.size, (), generator=generator))
                if self.images[place].shape != image.shape:  # images of any size: only like can be swapped for like
                    answer.append(image)
                    continue
                answer.append(self.images[place])
                self.images[place] = image.clone()
            else:
                answer.append(image)
        return torch.stack(answer)

    def state_dict(self) -> list[Tensor]:
        """The buffered images."""
        return [image.cpu() for image in self.images]

    def load_state_dict(self, images: Sequence[Tensor], device: torch.device) -> None:
        """Put `images` back."""
        self.images = [image.to(device) for image in images[: self.size]]
