"""What `test.py` does with a generator of noise: samples as files, pages to look at them, and a way between two."""

import contextlib
import csv
import io
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from coopcut.engine.processes.peers import Peers
from coopcut.images.io import save_image, to_image
from coopcut.inference.results import SHEET, Results
from coopcut.inference.sampler import CHUNK, Sampler
from coopcut.inference.translated import FAKES
from coopcut.options.option import Options
from coopcut.util.errors import DataError, OptionError
from coopcut.util.files import write_text
from coopcut.util.plots import save_figure
from coopcut.util.web import ImageCell

log = logging.getLogger("test")

STRIP, POINTS = "interpolation.png", "points.csv"
COLUMNS, MOST = 8, 64  # of the contact sheet: images in a row, and in all


def sample(opt: Options, sampler: Sampler, peers: Peers) -> int:
    """Make --num_test images or points of --seed and write them, together with the other processes, if any."""
    number = int(opt.num_test)
    folder = Path(opt.results_dir) / opt.name / f"{opt.phase}_{opt.epoch}"
    with peers.agreed():
        if opt.interpolate == 1:
            raise OptionError("--interpolate 1: a way has 2 images or more; 0: no strip")
        if sampler.makes_points:
            if given := [flag for flag in ("truncation", "interpolate", "class_id") if flag in opt.given]:
                raise OptionError(f"--{given[0]} is for images, and this run makes points: leave it out")
            if peers.rank == 0:
                write_points(sampler.sample(range(number), opt.seed)[:, :, 0, 0], folder)
            return 0
    results = Samples(opt)
    try:
        with peers.agreed():
            _make(opt, sampler, results, peers)
            if lines := results.finish():
                raise DataError(lines[0])
    finally:
        results.close()
    if not peers.alone:
        results.merge([row for rows in peers.collect(results.rows) for row in rows])
    with peers.agreed():
        if peers.rank == 0:
            page, sheet = results.write_pages()
            (folder / STRIP).unlink(missing_ok=True)
            if opt.interpolate:
                strip = sampler.interpolation(int(opt.interpolate), opt.seed, opt.class_id, opt.truncation)
                save_image(torch.cat([*strip], dim=2), folder / STRIP)
            log.info("%s made with seed %d", "1 image" if number == 1 else f"{number} images", opt.seed)
            log.info("%scontact sheet: %s", f"page: {page}\n" if page.is_file() else "", sheet)
    return 0


def _make(opt: Options, sampler: Sampler, results: "Samples", peers: Peers) -> None:
    """The images of this process, of N processes every N-th chunk."""
    names = [sample_name(i, sampler, opt.class_id) for i in range(int(opt.num_test))]
    if not peers.alone:
        results.plan(names)
    chunks = [range(i, min(i + CHUNK, len(names))) for i in range(0, len(names), CHUNK)][peers.rank :: peers.size]
    with tqdm(total=len(names), unit="image", desc="sampling", disable=peers.rank > 0 or None) as bar:
        for chunk in chunks:
            made = sampler.sample(chunk, opt.seed, opt.class_id, opt.truncation)
            for i, image in zip(chunk, made, strict=True):
                results.add(names[i], {"fake_B": image})
            bar.update(len(chunk) * peers.size)


def sample_name(number: int, sampler: Sampler, class_id: str) -> str:
    """The file of an image: 00017.png, or with classes 00017_cat.png."""
    label = sampler.class_of(number, class_id)
    kind = f"_{re.sub(r'[^A-Za-z0-9.-]+', '-', sampler.class_names[label])}" if sampler.class_names else ""
    return f"{number:05}{kind}.png"


class Samples(Results):
    """<results_dir>/<name>/<phase>_<epoch> with images/fake_B/<number>.png, a page and a contact sheet of them all."""

    def __init__(self, opt: Options) -> None:
        super().__init__(opt, "")
        self.title = f"{opt.easy_label or opt.name}: epoch {opt.epoch}, seed {opt.seed}"

    def _begin(self) -> None:
        super()._begin()
        if self._planned:
            return
        with contextlib.suppress(OSError):  # what other settings made would be taken for these
            for path in (self.folder / FAKES).iterdir():
                if re.fullmatch(r"\d{5,}(_[A-Za-z0-9.-]+)?\.png", path.name):
                    path.unlink()

    def _cells(self, rows: Sequence[tuple[str, list[str]]]) -> list[tuple[str, list[ImageCell]]]:
        return [("", [ImageCell(f"{FAKES}/{name}", Path(name).stem) for name, _ in rows])]

    def _contact_sheet(self) -> Image.Image:
        """The first samples, side by side."""
        pictures = []
        for name, _ in self.rows[:MOST]:
            with Image.open(self.folder / FAKES / name) as picture:
                pictures.append(picture.convert("RGB"))
        return grid(pictures)


def grid(pictures: Sequence[Image.Image], columns: int = COLUMNS, least: int = 64) -> Image.Image:
    """Pictures of one size side by side, each enlarged by a whole factor to about `least` pixels."""
    width, height = pictures[0].size
    factor = max(1, round(least / width))
    width, height = width * factor, height * factor
    rows = -(-len(pictures) // columns)
    columns = min(columns, len(pictures))
    sheet = Image.new("RGB", (columns * (width + 2) + 2, rows * (height + 2) + 2), "white")
    for i, picture in enumerate(pictures):
        place = (2 + i % columns * (width + 2), 2 + i // columns * (height + 2))
        sheet.paste(picture.resize((width, height), Image.Resampling.NEAREST), place)
    return sheet


def sheet_of(images: Tensor, columns: int = COLUMNS) -> Image.Image:
    """`grid` of images [N, C, H, W] in [-1, 1]."""
    return grid([to_image(image).convert("RGB") for image in images], columns)


def write_points(points: Tensor, folder: Path) -> None:
    """Points [N, 2] as points.csv and a plot of them, the contact sheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["x", "y"])
    writer.writerows(points.tolist())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / POINTS, text.getvalue())
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); check --results_dir") from None
    log.info("%d points in %s", len(points), folder / POINTS)
    try:
        import matplotlib

        matplotlib.use("agg")
        from matplotlib import pyplot
    except ImportError:
        log.warning("no plot of them: the package matplotlib is not installed (pip install matplotlib)")
        return
    figure, axes = pyplot.subplots(figsize=(5, 5))
    axes.scatter(points[:, 0].tolist(), points[:, 1].tolist(), s=4, alpha=0.5)
    axes.set_aspect("equal")
    save_figure(figure, folder / SHEET, "--results_dir")
    log.info("plot: %s", folder / SHEET)
