"""The folder of translated images: the pictures, pages to look at them, and a contact sheet."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from coopcut.images.io import remove_unfinished, save_image, to_image
from coopcut.images.names import PictureNames
from coopcut.inference.translated import FAKES, earlier_pictures, note_translated
from coopcut.inference.writer import PictureWriter
from coopcut.options.option import Options
from coopcut.util.errors import DataError
from coopcut.util.web import ImageCell, write_page

log = logging.getLogger(__name__)

ROWS_PER_PAGE = 200
SHEET_ROWS = 8
CAPTION = 16  # pixels
SHEET = "contact_sheet.png"
METRICS, METRICS_PLOT = "metrics.json", "metrics.png"  # what evaluate.py writes there


class Results:
    """<results_dir>/<name>/<phase>_<epoch>: images/<label>/<file>.png, index.html, contact_sheet.png, translated.json.

    suffix: added to the name of the folder. A is what is translated, B what becomes of it, also with --export B2A.

    `source`: the folder that the images come from; those of its sub-folders keep their path below it. Raises
    `DataError` if the results would be written over them.
    """

    def __init__(self, opt: Options, source: str, suffix: str = "") -> None:
        self.folder = Path(opt.results_dir) / opt.name / f"{opt.phase}_{opt.epoch}{suffix}"
        self.title = f"{opt.easy_label or opt.name}: {opt.phase}, epoch {opt.epoch}{suffix.replace('_', ', ')}"
        self.width = opt.display_winsize
        self.source = source if os.path.isdir(source) else os.path.dirname(source)
        if Path(self.source).resolve().is_relative_to(self.folder.resolve()):
            raise DataError(
                f"{source} is inside {self.folder}, where the translations are written: they would overwrite the "
                "inputs; name another --results_dir"
            )
        self.rows: list[tuple[str, list[str]]] = []  # file name, and the labels of its pictures
        self._names = PictureNames()
        self._images: dict[str, str] = {}  # picture -> the image that it was made of, below `source`
        self._writer = PictureWriter()
        self._planned: dict[str, str] = {}

    def add(self, path: str, images: Mapping[str, Tensor | None]) -> None:
        """Save the pictures [C, H, W] that were made of the file `path`, as images/<label>/<file>.png.

        They are there after `finish`. Raises the `DataError` of earlier ones that could not be written.
        """
        pictures = {label: to_image(image) for label, image in images.items() if image is not None}  # all, or no file
        name = self._planned.get(path) or self._file_name(path)
        with _hint():
            if not self.rows:
                self._begin()
            for label in images:
                file = self.folder / "images" / label / name
                if label in pictures:
                    self._writer.save(pictures[label], file)
                else:
                    _remove(file)
        self.rows.append((name, list(pictures)))

    def _begin(self) -> None:
        """Note that nothing is translated yet; the figures of an earlier translation would not be those of this one."""
        self._note_translated()
        for name in (METRICS, METRICS_PLOT):
            (self.folder / name).unlink(missing_ok=True)
        if not self._planned:  # else other processes are writing here
            remove_unfinished(self.folder / "images")

    def _note_translated(self, names: Sequence[str] = ()) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            note_translated(self.folder, self.source, {name: self._images[name] for name in names})
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be written ({error.strerror})") from None

    def finish(self) -> list[str]:
        """Wait until all pictures are written. Raises the `DataError` of those that cannot be.

        Returns a line for each image that is left out because the memory did not suffice to write it.
        """
        with _hint():
            self._writer.finish()
        lines = []
        for row in [*self.rows]:
            name, labels = row
            pictures = [self.folder / "images" / label / name for label in labels]
            reasons = [self._writer.failed[picture] for picture in pictures if picture in self._writer.failed]
            if reasons:
                lines.append(f"{os.path.join(self.source, self._images[name])}: {reasons[0]}")
                self.rows.remove(row)
                for picture in pictures:
                    picture.unlink(missing_ok=True)
        return lines

    def close(self) -> None:
        """Save no more pictures."""
        self._writer.close()

    def plan(self, paths: Sequence[str]) -> None:
        """Settle the file names of all images, when several processes will `add` a part of them each."""
        self._planned = {path: self._file_name(path) for path in paths}

    def merge(self, rows: Iterable[tuple[str, list[str]]]) -> None:
        """Take over the rows of all processes, in the order of the plan."""
        places = {name: place for place, name in enumerate(self._planned.values())}
        self.rows = sorted(rows, key=lambda row: places[row[0]])

    def _file_name(self, path: str) -> str:
        image = os.path.relpath(path, self.source or ".").replace(os.sep, "/")
        name = self._names.name(image)
        self._images[name] = image
        return name

    def write_pages(self) -> tuple[Path, Path]:
        """Write index.html (and further pages for many images) and the contact sheet; returns both paths."""
        pages = [self.rows[i : i + ROWS_PER_PAGE] for i in range(0, len(self.rows), ROWS_PER_PAGE)]
        names = ["index.html", *(f"page_{number}.html" for number in range(2, len(pages) + 1))]
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, rows in enumerate(pages):
            cells = self._cells(rows)
            near = {number - 1: "previous page", number + 1: "next page"}
            links = [(text, names[n]) for n, text in near.items() if 0 <= n < len(names)]
            _write_page(self.folder / names[number], self.title, cells, self.width, links)
        self._note_translated([name for name, _ in self.rows])
        self._tell_of_earlier_results(names)
        sheet = self.folder / SHEET
        save_image(self._contact_sheet(), sheet)
        return self.folder / names[0], sheet

    def _cells(self, rows: Sequence[tuple[str, list[str]]]) -> list[tuple[str, list[ImageCell]]]:
        """What a page shows: headings, and the pictures below each."""
        return [(name, [ImageCell(f"images/{label}/{name}", label) for label in labels]) for name, labels in rows]

    def _tell_of_earlier_results(self, pages: list[str]) -> None:
        """Remove the pages that an earlier, larger run left; its pictures stay, with a warning that they are there."""
        for page in self.folder.glob("page_*.html"):
            if page.name not in pages:
                page.unlink()
        folder = self.folder / FAKES
        older = len(earlier_pictures(self.folder))
        if older:
            log.warning("%s also holds %d pictures from an earlier run, which are not on the page", folder, older)

    def _contact_sheet(self) -> Image.Image:
        """Up to 8 translations, evenly chosen, one in a row: real_A, fake_B, real_B, each with its caption."""
        number = min(SHEET_ROWS, len(self.rows))
        rows = [self.rows[i * len(self.rows) // number] for i in range(number)]
        columns = list(dict.fromkeys(label for _, labels in rows for label in labels))
        side = max(64, min(256, self.width))
        sheet = Image.new("RGB", (len(columns) * (side + 4) + 4, CAPTION + len(rows) * (side + 4)), "white")
        draw = ImageDraw.Draw(sheet)
        for x, label in enumerate(columns):
            draw.text((x * (side + 4) + 6, 2), label, fill="black")
            for y, (name, labels) in enumerate(rows):
                if label in labels:
                    with Image.open(self.folder / "images" / label / name) as picture:
                        thumbnail = _fitted(picture.convert("RGB"), side)
                    sheet.paste(thumbnail, (x * (side + 4) + 4, CAPTION + y * (side + 4)))
        return sheet


def _remove(picture: Path) -> None:
    """Remove the picture of an earlier translation, which would pass for one of this translation."""
    try:
        picture.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{picture}: cannot be removed ({error.strerror})") from None


@contextmanager
def _hint() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}; check --results_dir") from None


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """`picture` as large as fits into side x side pixels."""
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)


def _write_page(
    path: Path, title: str, rows: list[tuple[str, list[ImageCell]]], width: int, links: list[tuple[str, str]]
) -> None:
    """Write the page; without dominate only warn: the pictures are there anyway."""
    try:
        write_page(path, title, rows, width, links)
    except ImportError:
        log.warning("cannot write %s: the package dominate is not installed (pip install dominate)", path)
