"""What test.py translates: data sets, folders and files, and images that cannot be read."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coopcut.images.io import read_image
from tests.tools import (
    CPU,
    FAKES,
    RESULTS,
    ROOT,
    TINY,
    Page,
    by_hand,
    generator_of,
    make_images,
    names_in,
    pixels,
    refused,
    run,
    translate,
    truncate,
    write_image,
)

# -- what is translated -----------------------------------------------------------------------------------------------


def test_data_set_with_both_domains(a_run: Path) -> None:
    outcome = translate("--dataroot", "data")
    assert outcome.err == ""
    assert "3 images translated" in outcome.out
    wanted = [f"{label}/{i}.png" for label in ("fake_B", "real_A") for i in range(3)] + ["real_B/0.png", "real_B/1.png"]
    assert names_in(RESULTS / "images") == sorted(wanted)  # testB has 2 images
    for i in range(3):
        source = Path(f"data/testA/{i}.png")
        assert np.array_equal(pixels(FAKES / f"{i}.png"), by_hand(generator_of(a_run), source))
        resized = read_image(source, 3).resize((32, 32), Image.Resampling.BICUBIC)
        assert np.array_equal(pixels(RESULTS / "images" / "real_A" / f"{i}.png"), np.asarray(resized))


def test_data_set_without_domain_b(a_run: Path) -> None:
    for folder in ("testB", "trainA", "trainB"):
        for path in Path("data", folder).iterdir():
            path.unlink()
        Path("data", folder).rmdir()
    assert translate("--dataroot", "data").err == ""
    assert sorted(path.name for path in (RESULTS / "images").iterdir()) == ["fake_B", "real_A"]


def test_val_stands_in_for_test(a_run: Path) -> None:
    Path("data/testA").rename("data/valA")
    Path("data/testB").rename("data/valB")
    assert translate("--dataroot", "data").err == ""
    assert names_in(FAKES) == ["0.png", "1.png", "2.png"]
    assert names_in(RESULTS / "images" / "real_B") == ["0.png", "1.png"]


def test_phase_chooses_the_folder(a_run: Path) -> None:
    translate("--dataroot", "data", "--phase", "train")
    assert names_in(Path("results/tiny/train_latest/images/fake_B")) == ["0.png", "1.png", "2.png", "3.png"]
    said = translate("--dataroot", "data", "--phase", "val", code=2).err
    assert "data/valA: no such folder" in said
    assert "testA (3 images)" in said


def test_the_other_direction_reads_b(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--direction", "BtoA", "--max_iters", 1]
    assert run("train", *flags).code == 0
    translate("--dataroot", "data")
    shown = RESULTS / "images" / "real_A" / "0.png"
    source = read_image(Path("data/testB/0.png"), 3).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(pixels(shown), np.asarray(source))
    assert names_in(FAKES) == ["0.png", "1.png"]


def test_folder_of_images(a_run: Path) -> None:
    paths = make_images(Path("my photos/größe"), 2, 40)
    translate("--dataroot", "my photos/größe/")
    assert names_in(FAKES) == ["0.png", "1.png"]
    assert np.array_equal(pixels(FAKES / "1.png"), by_hand(generator_of(a_run), paths[1]))


def test_nested_folders_keep_their_paths(a_run: Path) -> None:
    for name in ("a/1.png", "b/1.png", "b/deeper/1.jpg", "1.png"):
        write_image(Path("album") / name, 40, 40, seed=len(name))
    assert "4 images translated" in translate("--dataroot", "album").out
    assert names_in(FAKES) == ["1.png", "a/1.png", "b/1.png", "b/deeper/1.png"]
    net = generator_of(a_run)
    assert np.array_equal(pixels(FAKES / "b/1.png"), by_hand(net, Path("album/b/1.png")))
    assert np.array_equal(pixels(FAKES / "b/deeper/1.png"), by_hand(net, Path("album/b/deeper/1.jpg")))
    assert set(Page(RESULTS / "index.html").images) >= {"images/fake_B/b/deeper/1.png", "images/real_A/a/1.png"}


def test_same_stem_with_another_extension(a_run: Path) -> None:
    names = ["a.bmp", "a.jpg", "a.png", "a_jpg.png", "A.PNG"]
    for seed, name in enumerate(names):
        write_image(Path("album") / name, 40, 40, seed=seed)
    assert "5 images translated" in translate("--dataroot", "album").out
    found = names_in(FAKES)
    assert len(found) == len({name.lower() for name in found}) == 5
    expected = {by_hand(generator_of(a_run), Path("album") / name).tobytes() for name in names}
    assert {pixels(FAKES / name).tobytes() for name in found} == expected


def test_names_that_are_too_long_or_those_of_folders(a_run: Path) -> None:
    names = ["L" * 251 + ".jpg", "L" * 251 + ".png", "x.bmp", "x.png/q.png", "é" * 125 + ".jpg", "é" * 125 + ".png"]
    for seed, name in enumerate(names):
        write_image(Path("album") / name, 40, 40, seed=seed)
    assert "6 images translated" in translate("--dataroot", "album").out
    expected = {by_hand(generator_of(a_run), Path("album") / name).tobytes() for name in names}
    assert {pixels(FAKES / name).tobytes() for name in names_in(FAKES)} == expected
    assert len(expected) == 6


def test_one_file_that_is_no_image(a_run: Path) -> None:
    Path("text.png").write_text("not a picture")
    refused("test", ["--name", "tiny", "--dataroot", "text.png", *CPU], "text.png: not a readable JPEG")


def test_one_file(a_run: Path) -> None:
    path = write_image(Path("one horse.webp"), 40, 40)
    translate("--dataroot", path)
    assert names_in(FAKES) == ["one horse.png"]
    assert np.array_equal(pixels(FAKES / "one horse.png"), by_hand(generator_of(a_run), path))
    translate("--dataroot", path.absolute(), "--dataset_mode", "single", "--results_dir", "elsewhere")
    assert names_in(Path("elsewhere/tiny/test_latest/images/fake_B")) == ["one horse.png"]


def test_links_are_followed(a_run: Path) -> None:
    Path("linked").symlink_to("data/testA")
    translate("--dataroot", "linked")
    assert names_in(FAKES) == ["0.png", "1.png", "2.png"]


def test_single_takes_a_data_set_literally(a_run: Path) -> None:
    assert "12 images translated" in translate("--dataroot", "data", "--dataset_mode", "single").out
    assert "testB/1.png" in names_in(FAKES)


def test_file_name_that_is_not_utf_8(a_run: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        write_image(Path("album") / name, 40, 40)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    Path("album", "broken\udce9.png").write_bytes(b"")
    outcome = translate("--dataroot", "album", code=1)
    assert "broken\\udce9.png: empty file" in outcome.err
    assert (FAKES / name).is_file()
    assert f"images/fake_B/{name}" in Page(RESULTS / "index.html").images


def test_a_random_choice_of_the_images(a_run: Path) -> None:
    make_images(Path("many"), 12, 32)
    chosen = set()
    for folder in ("first", "again"):
        translate("--dataroot", "many", "--num_test", 3, "--serial_batches", "False", "--results_dir", folder)
        found = names_in(Path(folder) / "tiny/test_latest/images/fake_B")
        assert len(found) == 3
        chosen.add(tuple(found))
    assert len(chosen) == 1  # the same, from the seed of the run
    assert chosen != {("0.png", "1.png", "10.png")}


def test_num_test(a_run: Path) -> None:
    outcome = translate("--dataroot", "data", "--num_test", 2)
    assert "--num_test: translating 2 of 3 images" in outcome.out
    assert names_in(FAKES) == ["0.png", "1.png"]
    assert "--num_test" not in translate("--dataroot", "data", "--num_test", 99).out
    assert names_in(FAKES) == ["0.png", "1.png", "2.png"]


def test_more_than_cuts_fifty(a_run: Path) -> None:
    make_images(Path("many"), 53, 8)
    assert "53 images translated" in translate("--dataroot", "many", "--preprocess", "none").out
    assert len(names_in(FAKES)) == 53


def test_results_of_an_earlier_run_are_mentioned(a_run: Path) -> None:
    translate("--dataroot", "data")
    outcome = translate("--dataroot", "data", "--num_test", 1)
    assert outcome.err == f"warning: {FAKES} also holds 2 pictures from an earlier run, which are not on the page\n"
    assert len(Page(RESULTS / "index.html").images) == 3


# -- images that cannot be read ---------------------------------------------------------------------------------------


def test_translations_do_not_take_the_place_of_their_inputs(a_run: Path) -> None:
    """The folder that is read is the one that is written."""
    flags = ["--name", "tiny", "--gpu_ids", -1]
    assert run("test", *flags, "--dataroot", "data").code == 0
    fakes = Path("results/tiny/test_latest/images/fake_B")
    before = {path: path.read_bytes() for path in fakes.iterdir()}
    for source in (fakes, next(iter(before))):
        refused("test", [*flags, "--dataroot", source], "results/tiny/test_latest", "another --results_dir")
    assert {path: path.read_bytes() for path in fakes.iterdir()} == before
    assert run("test", *flags, "--dataroot", fakes, "--results_dir", "again").code == 0


def test_unreadable_images_are_named_and_skipped(a_run: Path) -> None:
    folder = Path("album")
    make_images(folder, 5, 40)
    truncate(folder / "1.png")
    (folder / "3.png").write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    (folder / "notes.txt").write_text("not for us")
    (folder / "gone.png").symlink_to("nowhere.png")
    for batch_size in (1, 4):
        outcome = translate("--dataroot", "album", "--batch_size", batch_size, code=1)
        lines = outcome.err.splitlines()
        assert len(lines) == 4
        for name, line in zip(("1.png", "3.png", "gone.png", "text.png"), lines, strict=True):
            assert line.startswith(f"warning: skipped: album/{name}: ")
        assert "3 images translated, 4 skipped" in outcome.out
        assert names_in(FAKES) == ["0.png", "2.png", "4.png"]


def test_unreadable_picture_of_the_other_domain_costs_nothing(a_run: Path) -> None:
    truncate(Path("data/testB/0.png"))
    assert translate("--dataroot", "data").err == ""
    assert names_in(FAKES) == ["0.png", "1.png", "2.png"]
    assert names_in(RESULTS / "images" / "real_B") == ["1.png"]


def test_all_images_unreadable(a_run: Path) -> None:
    make_images(Path("album"), 2, 40)
    for path in Path("album").iterdir():
        truncate(path)
    outcome = translate("--dataroot", "album", code=2)
    first = outcome.err.splitlines()[0].removeprefix("warning: skipped: ")
    said = f"test.py: error: none of the 2 images in album could be read and translated; the first: {first}"
    assert outcome.err.splitlines()[-1] == said
    assert [line.split(":")[0] for line in outcome.err.splitlines()[:-1]] == ["warning", "warning"]
    assert not Path("results").exists()
    Path("note.txt").write_text("not an image")
    assert "note.txt" in translate("--dataroot", "note.txt", code=2).err


# -- as a separate program --------------------------------------------------------------------------------------------


def test_from_the_command_line_of_another_folder(a_run: Path) -> None:
    """Relative paths, worker processes, and stderr with nothing but what was skipped."""
    truncate(Path("data/testA/1.png"))
    command = [sys.executable, str(ROOT / "test.py"), "--name", "tiny", "--dataroot", "data", "--num_threads", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--gpu_ids", "-1"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=a_run.parents[1],
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("warning: skipped: data/testA/1.png: ")
    assert "2 images translated, 1 skipped" in done.stdout
    assert names_in(FAKES) == ["0.png", "2.png"]
