"""Pictures that are saved beside the computation."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from util.images import save_image, to_image

THREADS = 2
WAITING = 8  # pictures, which bounds the memory they take


class PictureWriter:
    """Saves pictures on threads, each whole or not at all. `finish` waits for them, `close` ends the threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "pictures")
        self._waiting: deque[Future[None]] = deque()

    def save(self, image: Tensor, path: Path) -> None:
        """Save [C, H, W] in [-1, 1] soon. Raises the `DataError` of an earlier picture that could not be written."""
        while self._waiting and (len(self._waiting) >= WAITING or self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._threads.submit(save_image, to_image(image), path))

    def finish(self) -> None:
        """Wait until all are saved. Raises the `DataError` of the first that could not be."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """End the threads; pictures that wait are dropped."""
        self._threads.shutdown(cancel_futures=True)
        self._waiting.clear()
