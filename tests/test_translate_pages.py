"""The page and the contact sheet of translations."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tools import (
    FAKES,
    RESULTS,
    TINY,
    Page,
    make_images,
    names_in,
    pixels,
    run,
    translate,
    write_image,
)


def test_page_lists_every_picture(a_run: Path) -> None:
    for name in ("a & b <c>.png", "100%.png", "what?#1.png", 'quote".png', "日本.png"):
        write_image(Path("album") / name, 40, 40)
    outcome = translate("--dataroot", "album", "--easy_label", "<b>Title</b> & more")
    assert f"page: {RESULTS / 'index.html'}" in outcome.out
    images = Page(RESULTS / "index.html").images
    assert sorted(images) == sorted(f"images/{name}" for name in names_in(RESULTS / "images"))
    assert len(images) == 10
    assert all((RESULTS / image).is_file() for image in images)
    assert "&lt;b&gt;Title&lt;/b&gt; &amp; more" in (RESULTS / "index.html").read_text(encoding="utf-8")


def test_many_images_are_spread_over_pages(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coopcut.inference.results.ROWS_PER_PAGE", 2)
    make_images(Path("album"), 5, 8)
    translate("--dataroot", "album", "--preprocess", "none")
    pages = [Page(RESULTS / name) for name in ("index.html", "page_2.html", "page_3.html")]
    assert [len(page.images) for page in pages] == [4, 4, 2]
    listed = [image for page in pages for image in page.images]
    assert sorted(listed) == [f"images/{name}" for name in names_in(RESULTS / "images")]
    assert ["page_2.html" in page.links for page in pages] == [True, False, True]
    translate("--dataroot", "album", "--preprocess", "none", "--num_test", 2)
    assert [name for name in names_in(RESULTS) if name.endswith(".html")] == ["index.html"]  # none of the earlier run


def test_contact_sheet(a_run: Path) -> None:
    outcome = translate("--dataroot", "data")
    assert f"contact sheet: {RESULTS / 'contact_sheet.png'}" in outcome.out
    side, columns, rows = 256, 3, 3
    sheet = pixels(RESULTS / "contact_sheet.png")
    assert sheet.shape == (16 + rows * (side + 4), columns * (side + 4) + 4, 3)
    for row in range(rows):  # a cell shows its picture, enlarged
        for column, label in enumerate(("real_A", "fake_B", "real_B")):
            y, x = 16 + row * (side + 4), column * (side + 4) + 4
            cell = sheet[y : y + side, x : x + side]
            path = RESULTS / "images" / label / f"{row}.png"
            shown = Image.open(path).resize((side, side), Image.Resampling.BICUBIC) if path.is_file() else None
            assert np.array_equal(cell, np.full_like(cell, 255) if shown is None else np.asarray(shown))


def test_contact_sheet_of_many_is_evenly_chosen(a_run: Path) -> None:
    paths = make_images(Path("album"), 15, 8)
    translate("--dataroot", "album", "--preprocess", "none", "--display_winsize", 64)
    sheet = pixels(RESULTS / "contact_sheet.png")
    assert sheet.shape == (16 + 8 * 68, 2 * 68 + 4, 3)
    names = [path.name for path in sorted(paths)]
    chosen = []
    for row in range(8):
        cell = sheet[16 + row * 68 :][:64, 4:68]
        enlarged = [Image.open(f"album/{name}").resize((64, 64), Image.Resampling.BICUBIC) for name in names]
        chosen.append([np.array_equal(cell, np.asarray(img)) for img in enlarged].index(True))
    assert chosen == [0, 1, 3, 5, 7, 9, 11, 13]


def test_without_dominate(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def refuse(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.split(".")[0] == "dominate":
            raise ImportError(name)
        return imported(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    outcome = translate("--dataroot", "data")
    assert outcome.err.count("\n") == 1
    assert "dominate is not installed (pip install dominate)" in outcome.err
    assert names_in(FAKES) == ["0.png", "1.png", "2.png"]
    assert (RESULTS / "contact_sheet.png").is_file()
    assert not (RESULTS / "index.html").exists()
    assert "page:" not in outcome.out
    trained = run("train", "--dataroot", "data", "--name", "new", *TINY, "--max_iters", 1)
    assert trained.code == 0
    assert "dominate is not installed" in trained.err
