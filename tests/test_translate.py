"""Translating: test.py on folders, files and data sets, weights of CUT, and the Python call."""

import builtins
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models import Translator, create_model
from models.networks import create_G
from models.networks.infer import infer_generator_options
from tests.tools import ROOT, TINY, Outcome, make_images, run, train_options, tree, truncate, write_image
from util.errors import CheckpointError, DataError, OptionError
from util.images import read_image, to_image, to_tensor
from util.position import Position

CPU = ["--num_threads", 0, "--gpu_ids", -1]
RESULTS = Path("results/tiny/test_latest")
FAKES = RESULTS / "images" / "fake_B"


def translate(*flags: Any, code: int = 0) -> Outcome:
    """test.py on the run `tiny`."""
    outcome = run("test", "--name", "tiny", *CPU, *flags)
    assert outcome.code == code, outcome
    return outcome


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as img:
        return np.asarray(img)


def generator_of(run_folder: Path, weights: str = "latest_net_G.pth") -> torch.nn.Module:
    """The generator of `tiny`, built and filled by hand."""
    net = create_G(train_options(TINY))
    net.load_state_dict(torch.load(run_folder / weights, weights_only=True))
    return net


def by_hand(net: torch.nn.Module, path: Path, size: tuple[int, int] | None = (32, 32)) -> np.ndarray:
    img = read_image(path, 3)
    img = img if size is None else img.resize(size, Image.Resampling.BICUBIC)
    with torch.no_grad():
        return np.asarray(to_image(net(to_tensor(img)[None])))


class Page(HTMLParser):
    """The pictures and links of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.images: list[str] = []
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            self.images.append(unquote(values["src"] or "", errors="surrogateescape"))
        if tag == "a":
            self.links.append(unquote(values["href"] or "", errors="surrogateescape"))


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


def test_num_test(a_run: Path) -> None:
    outcome = translate("--dataroot", "data", "--num_test", 2)
    assert "--num_test: 2 of 3 images" in outcome.out
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
    assert outcome.err == f"warning: {FAKES} also holds 2 pictures of an earlier run, which are not on the page\n"
    assert len(Page(RESULTS / "index.html").images) == 3


# -- pixels -----------------------------------------------------------------------------------------------------------


def test_batched_equals_unbatched(a_run: Path) -> None:
    for index, (width, height) in enumerate([(40, 40), (40, 40), (40, 40), (37, 51), (37, 51), (40, 40), (5, 7)]):
        write_image(Path(f"album/{index}.png"), width, height, seed=index)
    for size in (1, 3, 4):
        flags = ["--dataroot", "album", "--batch_size", size, "--preprocess", "none", "--results_dir", f"by_{size}"]
        assert "7 images translated" in translate(*flags).out
    one, three, four = (tree(Path(f"by_{size}/tiny/test_latest/images/fake_B")) for size in (1, 3, 4))
    assert len(one) == 7
    assert one == three == four


def test_the_default_resizes_and_says_so(a_run: Path) -> None:
    write_image(Path("album/wide.png"), 99, 21)
    lines = translate("--dataroot", "album").out.splitlines()
    said = [line for line in lines if "32x32" in line]
    assert len(said) == 1
    assert "as CUT does" in said[0]
    assert "--preprocess none" in said[0]
    assert pixels(FAKES / "wide.png").shape == (32, 32, 3)


SIZES = [(37, 51), (5, 7), (1, 1), (64, 48), (33, 20), (17, 16), (2, 90)]


@pytest.mark.parametrize("size", SIZES)
def test_preprocess_none_keeps_any_size(a_run: Path, size: tuple[int, int]) -> None:
    path = write_image(Path("album/odd.png"), *size)
    outcome = translate("--dataroot", "album", "--preprocess", "none")
    assert "pixels, as CUT does" not in outcome.out
    shown = pixels(FAKES / "odd.png")
    assert shown.shape == (size[1], size[0], 3)
    assert np.array_equal(pixels(RESULTS / "images/real_A/odd.png"), np.asarray(read_image(path, 3)))
    if size[0] % 4 == 0 and size[1] % 4 == 0:
        assert np.array_equal(shown, by_hand(generator_of(a_run), path, None))


def test_padding_reflects(a_run: Path) -> None:
    path = write_image(Path("album/odd.png"), 37, 51)
    translate("--dataroot", "album", "--preprocess", "none")
    padded = np.pad(np.asarray(read_image(path, 3)), ((0, 1), (0, 3), (0, 0)), mode="reflect")
    with torch.no_grad():
        expected = generator_of(a_run)(to_tensor(Image.fromarray(padded))[None])[:, :, :51, :37]
    assert np.array_equal(pixels(FAKES / "odd.png"), np.asarray(to_image(expected)))


@pytest.mark.parametrize("extra", [[], ["--normG", "batch"], ["--ema", "0.5"]])
def test_same_pixels_as_in_training(place: Path, monkeypatch: pytest.MonkeyPatch, extra: list[str]) -> None:
    """`fake_B` of a training step, and test.py with the weights that the step began with."""
    flags = [*TINY, "--no_flip", "--load_size", "32", "--nce_idt", "False", "--init_gain", "0.3", *extra]
    flags = ["--dataroot", "data", "--name", "tiny", *flags]
    assert run("train", *flags, "--max_iters", 2).code == 0
    weights = torch.load("checkpoints/tiny/latest_net_G.pth", weights_only=True)
    model = create_model(train_options([*flags, "--gpu_ids", "-1"]), [torch.device("cpu")])
    model.networks["G"].load_state_dict(weights)
    A = to_tensor(read_image(Path("data/testA/0.png"), 3).resize((32, 32), Image.Resampling.BICUBIC))[None]
    batch = SimpleNamespace(A=A, B=A.flip(2), A_paths=["a"], B_paths=["b"])
    in_training = model.step(batch, Position()).images["fake_B"]
    translate(
        "--dataroot", "data", *(["--checkpoint", "checkpoints/tiny/latest_net_G.pth"] if "--ema" in extra else [])
    )
    assert np.array_equal(pixels(FAKES / "0.png"), np.asarray(to_image(in_training)))


def test_eval_mode_matters_for_batch_norm(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--normG", "batch", "--max_iters", 1, "--init_gain", 0.3]
    assert run("train", *flags).code == 0
    translate("--dataroot", "data")
    translate("--dataroot", "data", "--eval", "--results_dir", "evaluated")
    assert not np.array_equal(pixels(FAKES / "0.png"), pixels(Path("evaluated/tiny/test_latest/images/fake_B/0.png")))
    stored = torch.load("checkpoints/tiny/latest_net_G.pth", weights_only=True)
    translator = Translator.load("checkpoints/tiny", gpu_ids="-1", eval=True)
    mine = translator(Image.open("data/testA/0.png").resize((32, 32), Image.Resampling.BICUBIC))
    assert np.array_equal(np.asarray(mine), pixels(Path("evaluated/tiny/test_latest/images/fake_B/0.png")))
    assert torch.equal(translator.generator.state_dict()["model.2.running_mean"], stored["model.2.running_mean"])


def test_one_channel_model(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--input_nc", 1, "--output_nc", 1, "--max_iters", 1]
    assert run("train", *flags).code == 0
    write_image(Path("data/testA/gray.png"), 37, 51, channels=1)
    assert "4 images translated" in translate("--dataroot", "data", "--preprocess", "none").out
    with Image.open(FAKES / "gray.png") as img:
        assert (img.mode, img.size) == ("L", (37, 51))
    with Image.open(FAKES / "0.png") as img:
        assert img.mode == "L"
    translator = Translator.load("checkpoints/tiny", gpu_ids="-1")
    assert translator(Image.new("RGB", (20, 24))).mode == "L"  # type: ignore[union-attr]
    assert translator(np.zeros((24, 20), dtype=np.uint8)).shape == (24, 20)  # type: ignore[union-attr]
    assert translator(np.zeros((24, 20, 3), dtype=np.uint8)).shape == (24, 20, 1)  # type: ignore[union-attr]


# -- images that cannot be read ---------------------------------------------------------------------------------------


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
    assert outcome.err.splitlines()[-1] == "test.py: error: none of the 2 images in album could be read"
    assert [line.split(":")[0] for line in outcome.err.splitlines()[:-1]] == ["warning", "warning"]
    assert not Path("results").exists()
    Path("note.txt").write_text("not an image")
    assert "note.txt" in translate("--dataroot", "note.txt", code=2).err


# -- checkpoints ------------------------------------------------------------------------------------------------------


def test_checkpoint_by_folder_and_by_file(a_run: Path) -> None:
    translate("--dataroot", "data")
    expected = tree(FAKES)
    moved = a_run.rename(a_run.parents[1] / "moved run")
    flags = ["--dataroot", "data", *CPU]
    for path, results in (
        (moved, "results/moved run/test_latest"),
        (moved / "latest_net_G.pth", "results/moved run/test_latest"),
        (moved / "latest_net_G.pth", "results/by hand/test_latest"),
    ):
        name = ["--name", "by hand"] if "by hand" in results else []
        assert run("test", *flags, "--checkpoint", path, *name).code == 0
        assert tree(Path(results, "images/fake_B")) == expected


def test_results_of_two_epochs_do_not_mix(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--save_epoch_freq", 1, "--max_dataset_size", 1]
    assert run("train", *flags, "--max_iters", 3, "--init_gain", 0.3, "--lr", 0.01).code == 0
    found = []
    for epoch in ("1", "2"):
        translate("--dataroot", "data", "--epoch", epoch)
        checkpoint = ["--checkpoint", f"checkpoints/tiny/{epoch}_net_G.pth", "--results_dir", "again"]
        assert run("test", "--dataroot", "data", *CPU, *checkpoint).code == 0
        found.append(tree(Path(f"results/tiny/test_{epoch}/images/fake_B")))
        assert tree(Path(f"again/tiny/test_{epoch}/images/fake_B")) == found[-1]
    assert found[0] != found[1]
    outcome = run("test", "--dataroot", "data", *CPU, *checkpoint, "--epoch", "1")
    assert outcome.code == 2
    assert "--epoch 1 contradicts --checkpoint checkpoints/tiny/2_net_G.pth" in outcome.err


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("legacy", [False, True])
def test_weights_as_cut_writes_them(a_run: Path, prefix: str, legacy: bool) -> None:
    """No options beside them, the prefix of DataParallel or none, today's file format or that of torch before 1.6."""
    translate("--dataroot", "data")
    expected = tree(FAKES)
    weights = torch.load(a_run / "latest_net_G.pth", weights_only=True)
    folder = Path("checkpoints/pretrained")
    folder.mkdir()
    renamed = {prefix + name: value for name, value in weights.items()}
    torch.save(renamed, folder / "latest_net_G.pth", _use_new_zipfile_serialization=not legacy)
    flags = ["--dataroot", "data", *CPU, "--load_size", 32]
    assert run("test", *flags, "--name", "pretrained").code == 0
    assert tree(Path("results/pretrained/test_latest/images/fake_B")) == expected
    assert run("test", *flags, "--checkpoint", folder / "latest_net_G.pth").code == 0
    assert tree(Path("results/data_cut/test_latest/images/fake_B")) == expected
    for flag, value, found in (
        ("--ngf", 8, 4),
        ("--netG", "resnet_9blocks", "resnet_4blocks"),
        ("--normG", "batch", ""),
    ):
        outcome = run("test", *flags, "--name", "pretrained", flag, value)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert f"{flag} {value} contradicts checkpoints/pretrained/latest_net_G.pth, which has {found}" in outcome.err
    assert run("test", *flags, "--name", "pretrained", "--ngf", 4, "--netG", "resnet_4blocks").code == 0


@pytest.mark.parametrize("netG", ["resnet_9blocks", "resnet_6blocks", "resnet_4blocks"])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("no_dropout", [True, False])
@pytest.mark.parametrize(
    ("no_antialias", "no_antialias_up"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_architecture_is_read_off_the_weights(
    netG: str, norm: str, no_dropout: bool, no_antialias: bool, no_antialias_up: bool
) -> None:
    wanted = {
        "netG": netG, "ngf": 2, "input_nc": 1, "output_nc": 3, "normG": norm, "no_dropout": no_dropout,
        "no_antialias": no_antialias, "no_antialias_up": no_antialias_up,
    }  # fmt: skip
    opt = train_options([])
    for name, value in wanted.items():
        setattr(opt, name, value)
    assert infer_generator_options(create_G(opt).state_dict()) == wanted


def test_averaged_weights_are_used(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--ema", 0.9, "--max_iters", 3, "--lr", 0.01]
    assert run("train", *flags, "--init_gain", 0.3).code == 0
    translate("--dataroot", "data")
    folder = Path("checkpoints/tiny")
    averaged = by_hand(generator_of(folder, "latest_net_G_ema.pth"), Path("data/testA/0.png"))
    last = by_hand(generator_of(folder), Path("data/testA/0.png"))
    assert not np.array_equal(averaged, last)
    assert np.array_equal(pixels(FAKES / "0.png"), averaged)


def test_averaged_weights_of_a_run_that_no_longer_averages(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--ema", 0.9, "--max_iters", 2, "--lr", 0.01]
    assert run("train", *flags, "--init_gain", 0.3).code == 0
    again = ["--name", "tiny", "--continue_train", "--gpu_ids", -1, "--ema", 0, "--max_iters", 4]
    assert run("train", *again).code == 0
    translate("--dataroot", "data")
    last = by_hand(generator_of(Path("checkpoints/tiny")), Path("data/testA/0.png"))
    assert np.array_equal(pixels(FAKES / "0.png"), last)


def test_no_training_flag_need_be_repeated(place: Path) -> None:
    flags = [
        *TINY,
        "--ngf",
        6,
        "--netG",
        "resnet_6blocks",
        "--normG",
        "batch",
        "--no_antialias",
        "--no_dropout",
        "False",
    ]
    flags += [
        "--no_antialias_up",
        "--nce_layers",
        "0,3",
        "--CUT_mode",
        "FastCUT",
        "--model",
        "coopcut",
        "--coop_iters",
        1,
    ]
    assert run("train", "--dataroot", "data", "--name", "tiny", *flags, "--max_iters", 1).code == 0
    assert "3 images translated" in translate("--dataroot", "data").out


# -- pages ------------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr("util.results.ROWS_PER_PAGE", 2)
    make_images(Path("album"), 5, 8)
    translate("--dataroot", "album", "--preprocess", "none")
    pages = [Page(RESULTS / name) for name in ("index.html", "page_2.html", "page_3.html")]
    assert [len(page.images) for page in pages] == [4, 4, 2]
    listed = [image for page in pages for image in page.images]
    assert sorted(listed) == [f"images/{name}" for name in names_in(RESULTS / "images")]
    assert ["page_2.html" in page.links for page in pages] == [True, False, True]
    translate("--dataroot", "album", "--preprocess", "none", "--num_test", 2)
    assert names_in(RESULTS)[-1] == "index.html"  # no page of the earlier run


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


# -- the Python call --------------------------------------------------------------------------------------------------


def test_python_call_on_pictures(a_run: Path) -> None:
    translator = Translator.load(a_run, gpu_ids="-1")
    path = Path("data/testA/0.png")
    with Image.open(path) as img:
        answer = translator(img)
    assert isinstance(answer, Image.Image)
    assert answer.mode == "RGB"
    assert np.array_equal(np.asarray(answer), by_hand(generator_of(a_run), path, None))
    gray = Image.open(path).convert("L")
    assert np.array_equal(np.asarray(translator(gray)), np.asarray(translator(gray.convert("RGB"))))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "YCbCr"])
@pytest.mark.parametrize("size", [(37, 51), (1, 1)])
def test_python_call_takes_every_mode_and_size(trained: Path, mode: str, size: tuple[int, int]) -> None:
    answer = Translator.load(str(trained / "tiny"), gpu_ids="-1")(Image.new(mode, size))
    assert isinstance(answer, Image.Image)
    assert (answer.mode, answer.size) == ("RGB", size)


def test_python_call_on_arrays(a_run: Path) -> None:
    translator = Translator.load(a_run / "latest_net_G.pth", gpu_ids="-1")
    array = pixels(Path("data/testA/0.png"))
    before = array.copy()
    expected = by_hand(generator_of(a_run), Path("data/testA/0.png"), None)
    assert np.array_equal(np.asarray(translator(array)), expected)
    assert np.array_equal(np.asarray(translator(array[::-1, ::-1])).shape, array.shape)  # a view, not contiguous
    assert np.array_equal(array, before)
    gray = array[:, :, 0].copy()
    three = np.asarray(translator(np.repeat(gray[:, :, None], 3, axis=2)))
    for form in (gray, gray[:, :, None]):
        answer = translator(form)
        assert isinstance(answer, np.ndarray)
        assert np.array_equal(answer, three)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((8, 8, 3)),
        np.zeros((8, 8, 4), dtype=np.uint8),
        np.zeros((8, 8, 2), dtype=np.uint8),
        np.zeros((3, 8, 8), dtype=np.uint8),
        np.zeros((1, 8, 8, 3), dtype=np.uint8),
        np.zeros((0, 8), dtype=np.uint8),
        np.zeros((8, 0, 3), dtype=np.uint8),
        np.zeros((8, 8), dtype=np.uint16),
        np.zeros((8, 8), dtype=bool),
        "horse.png",
        None,
    ],
    ids=lambda wrong: f"{type(wrong).__name__}{getattr(wrong, 'shape', '')}{getattr(wrong, 'dtype', '')}",
)
def test_python_call_refuses_other_arrays(trained: Path, wrong: Any) -> None:
    translator = Translator.load(trained / "tiny", gpu_ids="-1")
    with pytest.raises(
        DataError, match=r"^an array of shape .* expected \[H, W\], \[H, W, 1\] or \[H, W, 3\] of uint8"
    ):
        translator(wrong)


def test_python_call_refuses_a_picture_without_pixels(trained: Path) -> None:
    with pytest.raises(DataError, match="0x5 pixels"):
        Translator.load(trained / "tiny", gpu_ids="-1")(Image.new("RGB", (0, 5)))


def test_python_call_on_tensors(a_run: Path) -> None:
    translator = Translator.load(a_run, gpu_ids="-1")
    images = torch.rand(3, 3, 37, 21, generator=torch.Generator().manual_seed(0)) * 2 - 1
    answer = translator.translate(images)
    assert (answer.shape, answer.dtype, answer.device.type) == (images.shape, torch.float32, "cpu")
    assert float(answer.abs().max()) <= 1
    assert not answer.requires_grad
    singly = torch.cat([translator.translate(image[None]) for image in images])
    assert_close(answer, singly)


def assert_close(one: Tensor, other: Tensor) -> None:
    assert float((one - other).abs().max()) < 1e-5


def test_loading_by_epoch_and_its_errors(a_run: Path) -> None:
    weights = torch.load(a_run / "latest_net_G.pth", weights_only=True)
    torch.save({name: value * 0 for name, value in weights.items()}, a_run / "7_net_G.pth")
    empty = Translator.load(a_run, epoch="7", gpu_ids="-1")
    assert float(empty.translate(torch.ones(1, 3, 16, 16)).abs().max()) == 0
    for path, epoch, error, says in (
        (a_run, "8", CheckpointError, r"8_net_G\.pth does not exist; .* holds 7_net_G\.pth"),
        (a_run / "typo.pth", "latest", CheckpointError, r"typo\.pth does not exist"),
        (a_run.parent / "typo", "latest", CheckpointError, "typo does not exist"),
        (a_run / "latest_net_D.pth", "latest", CheckpointError, "another architecture"),
    ):
        with pytest.raises(error, match=says):
            Translator.load(path, epoch=epoch, gpu_ids="-1")
    with pytest.raises(OptionError, match="--gpu_ids"):
        Translator.load(a_run, gpu_ids="no such device")
    values = json.loads((a_run / "train_opt.json").read_text())
    (a_run / "train_opt.json").write_text(json.dumps(values | {"model": "sincut"}))
    with pytest.raises(OptionError, match="unknown model 'sincut'; known: coopcut, cut"):
        Translator.load(a_run)


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
