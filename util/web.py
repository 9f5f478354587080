"""Plain picture pages, made with dominate: rows of images with captions, every text escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from coopcut.util.files import write_text

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; background: #fafafa; color: #222 }
h2 { font-size: 1rem; margin: 1.6rem 0 .4rem } .row { display: flex; flex-wrap: wrap; gap: .6rem }
figure { margin: 0 } figcaption { font-size: .8rem; color: #666; text-align: center }
img { display: block; border-radius: 4px; background: #ddd; image-rendering: auto }
nav a { margin-right: 1rem }
"""


@dataclass(frozen=True)
class ImageCell:
    """One picture: its path relative to the page, and its caption."""

    path: str
    caption: str


def write_page(
    path: Path,
    title: str,
    rows: Sequence[tuple[str, Sequence[ImageCell]]],
    width: int,
    links: Sequence[tuple[str, str]] = (),
) -> None:
    """Write `path` atomically: `rows` of pictures `width` pixels wide under headings, and `links` as (text, target)."""
    import dominate
    from dominate import tags

    document = dominate.document(title=title)
    with document.head:
        tags.meta(charset="utf-8")
        tags.style(STYLE)
    with document:
        tags.h1(title)
        with tags.nav():
            for text, target in links:
                tags.a(text, href=_quoted(target))
        for heading, cells in rows:
            tags.h2(heading)
            with tags.div(cls="row"):
                for cell in cells:
                    with tags.figure():
                        with tags.a(href=_quoted(cell.path)):
                            tags.img(src=_quoted(cell.path), width=width, loading="lazy", alt=cell.caption)
                        tags.figcaption(cell.caption)
    write_text(path, document.render())


def _quoted(path: str) -> str:
    """For a link; a file name that is not UTF-8 keeps its bytes."""
    return quote(path, errors="surrogateescape")
