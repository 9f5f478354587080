"""Decoded images kept in memory, within a budget."""

from PIL import Image

from coopcut.images.io import read_image
from coopcut.images.pixels import Range


class ImageCache:
    """Reads images, and keeps the first ones as long as their pixels fit into `budget` bytes.

    No image is evicted: each is read about once per epoch, so it does not matter which ones are kept.
    """

    def __init__(self, budget: int) -> None:
        self.left = budget
        self._images: dict[tuple[str, int], Image.Image] = {}

    def __len__(self) -> int:
        return len(self._images)

    def read(self, path: str, channels: int, value_range: Range | None) -> Image.Image:
        """What `read_image` gives, for the same range whenever the file is asked for. It must not be changed."""
        known = self._images.get((path, channels))
        if known is not None:
            return known
        image = read_image(path, channels, value_range)
        size = image.width * image.height * channels
        if size <= self.left:
            self.left -= size
            self._images[path, channels] = image
        return image
