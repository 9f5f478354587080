"""Which image belongs to which by name, and how translations are named."""

import unicodedata

import pytest

from coopcut.images.names import PictureNames, pair_names, pair_pictures, same_files

PAIRED: dict[str, tuple[list[str], dict[str, str]]] = {
    "same names": (["b.png", "a.png"], {"a.png": "a.png", "b.png": "b.png"}),
    "extensions": (["a.jpg", "b.TIF"], {"a.png": "a.jpg", "b.png": "b.TIF"}),
    "domains": (["a_B.jpg", "b_B.jpg"], {"a_A.png": "a_B.jpg", "b_A.png": "b_B.jpg"}),
    "domains, extensions": (["a_B.bmp", "a_B.png"], {"a_A.bmp": "a_B.bmp", "a_A.png": "a_B.png"}),
    "one domain": (["a_B.jpg", "b.jpg"], {"a.png": "a_B.jpg", "b_A.png": "b.jpg"}),
    "one missing": (["1.png", "2.png", "4.png"], {"1.png": "1.png", "4.png": "4.png"}),
    "the same name goes before another extension": (["a.jpg", "a.png"], {"a.jpg": "a.jpg", "a.png": "a.png"}),
    "what is left has one extension": (["a.bmp", "a.png"], {"a.jpg": "a.bmp", "a.png": "a.png"}),
    "two channels": (["w_A.png", "w_B.png"], {"w_A.png": "w_A.png", "w_B.png": "w_B.png"}),
    "two channels, extensions": (["w_A.tif", "w_B.tif"], {"w_A.png": "w_A.tif", "w_B.png": "w_B.tif"}),
    "a name and one with a domain": (["x.png", "x_B.png"], {"x.png": "x.png", "x_A.png": "x_B.png"}),
    "one domain is left out once": (["x_A_B.png", "x_B.png"], {"x_A_A.png": "x_A_B.png", "x_A.png": "x_B.png"}),
    "dots": (["a.b.jpg", "a.c_B.jpg"], {"a.b.png": "a.b.jpg", "a.c_A.png": "a.c_B.jpg"}),
    "folders": (["s/a.jpg", "t/a.jpg"], {"s/a.png": "s/a.jpg", "t/a.png": "t/a.jpg"}),
    "case": (["A.png", "a.png"], {"a.png": "a.png", "A.png": "A.png"}),
}


@pytest.mark.parametrize("case", PAIRED)
def test_counterparts(case: str) -> None:
    others, found = PAIRED[case]
    pairs = pair_names(found, others)
    assert (pairs.found, pairs.unclear) == (found, [])
    back = pair_names(others, found)
    assert back.found == {other: name for name, other in found.items()}


NONE = {
    "other names": (["a.png"], ["b.png"]),
    "another folder": (["a.png"], ["s/a.png"]),
    "another case": (["a.png"], ["A.png"]),
    "no domain at the end": (["a_A_1.png"], ["a_B_1.png"]),
    "small letters": (["a_a.png"], ["a_b.png"]),
}


@pytest.mark.parametrize("case", NONE)
def test_no_counterparts(case: str) -> None:
    pairs = pair_names(*NONE[case])
    assert (pairs.found, pairs.unclear) == ({}, [])


def test_endings_that_are_domains_in_spite_of_a_stray_image() -> None:
    names, others = ["1_A.png", "2_A.png", "3_B.png"], ["1_B.png", "2_B.png", "3_B.png"]
    assert pair_names(names, others).found == dict(zip(names, others, strict=True))


def test_endings_that_belong_to_the_name_are_no_domain() -> None:
    """well2_A.png and well2_B.png are two channels, each of which has lost its counterpart."""
    pairs = pair_names(["well1_A.png", "well1_B.png", "well2_A.png"], ["well1_A.png", "well1_B.png", "well2_B.png"])
    assert pairs.found == {"well1_A.png": "well1_A.png", "well1_B.png": "well1_B.png"}


UNCLEAR = {
    "two extensions": (["a.jpg", "a.png", "b.png"], ["a.bmp", "b.png"], (["a.jpg", "a.png"], ["a.bmp"])),
    "two candidates": (["a.png", "b.png"], ["a.bmp", "a.tif", "b.png"], (["a.png"], ["a.bmp", "a.tif"])),
    "two domains": (["a_A.png", "a_B.png", "b.png"], ["a.png", "b.png"], (["a_A.png", "a_B.png"], ["a.png"])),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_names_that_do_not_tell(case: str) -> None:
    names, others, unclear = UNCLEAR[case]
    pairs = pair_names(names, others)
    assert (pairs.found, pairs.unclear) == ({"b.png": "b.png"}, [unclear])


@pytest.mark.parametrize("ending", [".png", "_A.png", "/x.png"])
def test_accents_may_be_composed_or_not(ending: str) -> None:
    composed, apart = (unicodedata.normalize(form, "caf\u00e9\u30ac") + ending for form in ("NFC", "NFD"))
    assert composed != apart
    assert pair_names([apart], [composed]).found == {apart: composed}
    other = composed.replace("_A", "_B").replace(".png", ".jpg")
    assert pair_names([apart], [other]).found == {apart: other}
    assert pair_names([apart, composed], [composed, apart]).found == {apart: apart, composed: composed}
    assert pair_pictures([apart], [composed]).found == {apart: composed}
    assert same_files([apart], [composed]) == {apart: composed}


def test_names_that_are_not_utf_8() -> None:
    assert pair_names(["caf\udce9.png"], ["caf\udce9.jpg"]).found == {"caf\udce9.png": "caf\udce9.jpg"}


def test_names_of_translations() -> None:
    names = PictureNames()
    images = ["a.jpg", "a.png", "A.PNG", "b.png/c.jpg", "b.jpg", "caf\u00e9.png", "cafe\u0301.png", "x.y.tif"]
    assert [names.name(image) for image in images] == [
        "a.png",
        "a_png.png",
        "A_PNG_PNG.png",
        "b.png/c.png",
        "b_jpg.png",
        "caf\u00e9.png",
        "cafe\u0301_png.png",
        "x.y.png",
    ]


def test_translations_are_paired_with_what_they_are_named_after() -> None:
    """By the names alone a.png would belong to a.png."""
    images = ["a.jpg", "a.png"]
    assert pair_pictures(["a.png", "a_png.png"], images).found == {"a.png": "a.jpg", "a_png.png": "a.png"}
    assert pair_pictures(["a.png"], images).found == {"a.png": "a.png"}
    assert pair_pictures(["a.jpg", "a.png"], images).found == {"a.jpg": "a.jpg", "a.png": "a.png"}


def test_files_under_names_that_a_disk_has_changed() -> None:
    assert same_files(["A.png", "a.png", "old.png"], ["a.png"]) == {"a.png": "a.png"}
    assert same_files(["A.png", "old.png"], ["a.png", "b.png"]) == {"A.png": "a.png"}
