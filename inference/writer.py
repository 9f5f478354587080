"""Pictures that are saved beside the computation."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from torch import Tensor

from coopcut.images.io import save_image, to_image
from coopcut.util.memory import is_out_of_memory, memory_reason

THREADS = 2
WAITING = 8  # pictures, which bounds the memory they take


class PictureWriter:
    """Saves pictures on threads, each whole or not at all. `finish` waits for them, `close` ends the threads.

    failed: the pictures that were not saved because the memory did not suffice, with their size and a reason.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "pictures")
        self._waiting: deque[tuple[Future[None], Image.Image, Path]] = deque()
        self.failed: dict[Path, str] = {}

    def save(self, image: Tensor | Image.Image, path: Path) -> None:
        """Save [C, H, W] in [-1, 1] soon. Raises the `DataError` of an earlier picture that could not be written."""
        while self._waiting and (len(self._waiting) >= WAITING or self._waiting[0][0].done()):
            self._wait()
        image = to_image(image) if isinstance(image, Tensor) else image
        self._waiting.append((self._threads.submit(save_image, image, path), image, path))

    def finish(self) -> None:
        """Wait until all are saved. Raises the `DataError` of the first that could not be."""
        while self._waiting:
            self._wait()

    def close(self) -> None:
        """End the threads; pictures that wait are dropped."""
        self._threads.shutdown(cancel_futures=True)
        self._waiting.clear()

    def _wait(self) -> None:
        """Wait for the picture that waits longest; what a thread had no memory for is tried again here."""
        saving, image, path = self._waiting.popleft()
        for save in (saving.result, lambda: save_image(image, path)):
            try:
                save()
                self.failed.pop(path, None)
                return
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self.failed[path] = (
                    f"{image.width}x{image.height} pixels: no memory to save them ({memory_reason(error)})"
                )
