"""The page checkpoints/<name>/web/index.html with the pictures of each epoch.

Twenty epochs share a page, and a page that is full is never written again, so that an update costs the same in the
last epoch as in the first. dominate is imported only here.
"""

from pathlib import Path

from torch import Tensor

from coopcut.engine.position import Position
from coopcut.images.io import save_image
from coopcut.monitors.base import LABELS, MONITORS, Monitor, RunInfo
from coopcut.util.web import ImageCell, write_page

EPOCHS_PER_PAGE = 20


@MONITORS.register("html")
class HtmlPage(Monitor):
    """Keeps the newest pictures of each epoch."""

    def __init__(self, folder: Path, title: str, every: int, width: int) -> None:
        import dominate  # noqa: F401  (told at the start, not at the first picture, when it is not installed)

        self.every_images = every
        self.folder = folder / "web"
        self.title = title
        self.width = width
        self.labels = list(LABELS)
        (self.folder / "images").mkdir(parents=True, exist_ok=True)

    @classmethod
    def create(cls, run: RunInfo) -> "HtmlPage | None":
        opt = run.opt
        return None if opt.no_html else cls(run.folder, run.title, opt.update_html_freq, opt.display_winsize)

    def show(self, position: Position, images: dict[str, Tensor]) -> None:
        epoch = position.epoch
        self.labels += [label for label in images if label not in self.labels]
        for label, batch in images.items():
            save_image(batch[0], self.folder / "images" / f"epoch{epoch:03d}_{label}.png")
        page = (epoch - 1) // EPOCHS_PER_PAGE
        self._write(page, epoch, "index.html")
        if epoch % EPOCHS_PER_PAGE == 0:
            self._write(page, epoch, f"epochs_{page:03d}.html")

    def _write(self, page: int, newest: int, name: str) -> None:
        """The page with number `page` up to epoch `newest`, newest first, with a link to the page before."""
        first = page * EPOCHS_PER_PAGE + 1
        rows = []
        for epoch in range(newest, first - 1, -1):
            names = {label: f"images/epoch{epoch:03d}_{label}.png" for label in self.labels}
            cells = [ImageCell(name, label) for label, name in names.items() if (self.folder / name).is_file()]
            if cells:
                rows.append((f"epoch {epoch}", cells))
        links = (
            [(f"epochs {first - EPOCHS_PER_PAGE} to {first - 1}", f"epochs_{page - 1:03d}.html")] if page > 0 else []
        )
        write_page(self.folder / name, self.title, rows, self.width, links)
