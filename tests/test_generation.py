"""Images from noise by the scripts: training, samples, completion, restoration, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coopcut import Sampler, Translator
from coopcut.data.batch import Batch
from coopcut.data.mixtures import ring
from coopcut.engine.position import Position
from coopcut.engine.processes.peers import Peers
from coopcut.engine.runtime import Runtime
from coopcut.engine.trainer import Trainer
from coopcut.models import create_method
from coopcut.util.errors import CheckpointError
from tests.processes import finish, torchrun
from tests.tools import losses_of, make_images, names_in, pixels, refused, run, tiny, train_options, tree
from tests.training import same

RUN = ["--num_threads", 0, "--gpu_ids", -1, "--display_id", 0]
GAN = ["--dataroot", "data", "--name", "g", *tiny("gan"), "--init_gain", 0.3, "--max_iters", 2]
FAKES = Path("results/g/test_latest/images/fake_B")


def sampled(*flags: Any, name: str = "g") -> str:
    outcome = run("test", "--name", name, "--gpu_ids", -1, *flags)
    assert outcome.code == 0, outcome
    return outcome.out


@pytest.fixture
def a_gan(place: Path) -> Path:
    """`place` with the run checkpoints/g of two steps."""
    outcome = run("train", *GAN)
    assert outcome.code == 0, outcome
    return place


def test_samples_are_those_of_their_seed(a_gan: Path) -> None:
    assert "12 images made with seed 1" in sampled("--num_test", 12, "--seed", 1)
    assert names_in(FAKES) == [f"{i:05}.png" for i in range(12)]
    first = tree(FAKES)
    assert sorted(p.name for p in FAKES.parents[1].iterdir()) == [
        "contact_sheet.png", "images", "index.html", "interpolation.png", "translated.json"]  # fmt: skip
    with Image.open(FAKES.parents[1] / "interpolation.png") as strip:
        assert strip.size == (8 * 32, 32)
    sampled("--num_test", 5, "--seed", 1, "--interpolate", 0, "--batch_size", 3)
    assert tree(FAKES) == {name: content for name, content in first.items() if int(name[:5]) < 5}
    sampled("--num_test", 5, "--seed", 2)
    assert tree(FAKES)["00000.png"] != first["00000.png"]
    images = Sampler.load("checkpoints/g")(2, seed=2)
    assert np.array_equal(np.asarray(images[1]), pixels(FAKES / "00001.png"))
    assert len(json.loads((FAKES.parents[1] / "translated.json").read_text())["pictures"]) == 5


def test_samples_are_measured(a_gan: Path) -> None:
    sampled("--num_test", 4)
    outcome = run("evaluate", "--name", "g", "--gpu_ids", -1)
    assert outcome.code == 0, outcome
    assert "4 images of 32x32" in outcome.out
    assert "2 images of 32x32" in outcome.out  # of testB, cut and scaled as in training
    assert json.loads((FAKES.parents[1] / "metrics.json").read_text())
    refused("evaluate", ["--name", "g", "--epoch", "5"], "test_5: no samples there", "--num_test 1000")


def test_training_is_measured_and_the_best_is_kept(place: Path) -> None:
    flags = ["--eval_freq", 1, "--eval_num", 2, "--n_epochs", 2, "--n_epochs_decay", 0]
    outcome = run("train", *GAN[:-2], *flags)
    assert outcome.code == 0, outcome
    lines = [json.loads(line) for line in Path("checkpoints/g/metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert all(math.isfinite(line["KID"]) and line["fake_images"] == 2 for line in lines)
    assert Path("checkpoints/g/best_net_G.pth").is_file()
    sampled("--num_test", 2, "--epoch", "best")


def test_hidden_pixels_are_filled_in(a_gan: Path) -> None:
    out = sampled("--task", "complete", "--dataroot", "data/testB", "--search_steps", 3, "--search_starts", 2)
    assert "RMSE" in out
    results = Path("results/g/complete_latest")
    found = json.loads((results / "completion.json").read_text())
    assert found["images"] == 2
    kept, original, hidden = (pixels(results / f"images/{name}/0.png") for name in ("fake_B", "real_B", "real_A"))
    inner = (slice(8, 24), slice(8, 24))
    outer = np.ones((32, 32), bool)
    outer[inner] = False
    assert np.array_equal(kept[outer], original[outer])
    assert not np.array_equal(kept[inner], original[inner])
    assert (hidden[inner] == 0).all()
    files = [[results / f"images/{name}/{i}.png" for name in ("fake_B", "real_B")] for i in range(2)]
    files = [[results / f"images/{name}/{i}.png" for name in ("fake_B", "real_B")] for i in range(2)]
    errors = [pixels(made)[inner].astype(float) - pixels(true)[inner] for made, true in files]
    assert found["RMSE"] == pytest.approx(float(np.sqrt(np.square(errors).mean())), abs=0.5)


def test_images_are_moved_up_the_scores(a_gan: Path) -> None:
    out = sampled("--task", "restore", "--dataroot", "data/testB", "--search_steps", 3)
    before, after = (float(text.split()[0]) for text in out.split("images: ")[1].split(", "))
    assert after > before
    files = [Path(f"results/g/restore_latest/images/{name}/0.png") for name in ("fake_B", "real_A")]
    moved, given = (pixels(path).astype(float) for path in files)
    assert 0 < np.abs(moved - given).mean() <= 0.1 * 127.5 + 1


def test_points_are_a_table_and_a_plot(place: Path) -> None:
    flags = ["--model", "gan", "--dataroot", "ring:8", *RUN, "--max_iters", 2, "--batch_size", 8]
    assert run("train", *flags).code == 0
    sampled("--num_test", 20, name="ring_8_gan")
    results = Path("results/ring_8_gan/test_latest")
    assert sorted(p.name for p in results.iterdir()) == ["contact_sheet.png", "points.csv"]
    rows = (results / "points.csv").read_text().splitlines()
    assert (rows[0], len(rows)) == ("x,y", 21)
    made = Sampler.load("checkpoints/ring_8_gan").sample([3])[0, :, 0, 0].tolist()
    assert [float(text) for text in rows[4].split(",")] == pytest.approx(made)


def test_coopnets_find_the_modes_of_a_ring(place: Path) -> None:
    length = "--max_iters 700 --n_epochs 10 --n_epochs_decay 8 --monitor none".split()
    assert run("train", "--model", "coopnets", "--dataroot", "ring:8", *RUN, *length).code == 0
    points = Sampler.load("checkpoints/ring_8_coopnets").sample(range(2500))[:, :, 0, 0]
    figures = ring(8).measure(points)
    assert figures["modes"] == 8
    assert figures["reverse_kl"] < 0.5
    distance = torch.cdist(points, ring(8).means).min(dim=1).values
    assert float(distance.median()) < 0.15  # the ring has radius 1


def test_a_class_is_made_when_asked_for(place: Path) -> None:
    """By a classifier of scikit-learn's digits, after a short run; chance is 10 %."""
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC

    network = "--crop_size 8 --output_nc 1 --ngf 16 --ndf 16 --nz 16 --normD spectral".split()
    length = "--no_flip --lr 0.001 --ema 0.98 --n_epochs 10 --n_epochs_decay 6 --monitor none".split()
    flags = ["--model", "gan", "--dataroot", "digits", "--conditional", "--name", "d", *network, *length, *RUN]
    assert run("train", *flags).code == 0
    sampler = Sampler.load("checkpoints/d")
    assert sampler.class_names == [str(k) for k in range(10)]
    digits = load_digits()
    judge = SVC(gamma=0.001).fit(digits.data, digits.target)
    made = sampler.sample(range(200), seed=1)
    shown = judge.predict(((made[:, 0] + 1) * 8).flatten(1).numpy())
    assert float((shown == np.arange(200) % 10).mean()) > 0.7
    fours = sampler.sample(range(50), seed=2, class_id="4")
    assert float((judge.predict(((fours[:, 0] + 1) * 8).flatten(1).numpy()) == 4).mean()) > 0.7
    sampled("--num_test", 3, "--class_id", 7, name="d")
    assert names_in(Path("results/d/test_latest/images/fake_B")) == ["00000_7.png", "00001_7.png", "00002_7.png"]
    refused("test", ["--name", "d", "--class_id", "ten"], "--class_id ten", "known: 0, 1")
    text = [*flags, "--continue_train", "--n_epochs", "11", "--class_names", "1,0"]
    refused("train", text, "--class_names")


def test_descriptor_learns_with_its_chains(place: Path) -> None:
    flags = [
        *tiny("descriptor"),
        "--dataroot",
        "data",
        "--name",
        "e",
        "--init_gain",
        0.3,
        "--max_iters",
        4,
        "--print_freq",
        1,
    ]
    assert run("train", *flags).code == 0
    chains = torch.load("checkpoints/e/latest_net_D.pth", weights_only=True)["chains"]
    assert chains.shape == (6, 3, 32, 32)
    assert float(chains.abs().max()) <= 1
    assert max(record["losses"]["displacement"] for record in losses_of(Path("checkpoints/e"))) > 0
    sampled("--num_test", 3, name="e")
    sampled("--task", "restore", "--dataroot", "data/testB", "--search_steps", 2, name="e")


def test_what_is_refused_in_training(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "new", *tiny("gan"), "--max_iters", 2]
    domain = flags.index("--domain")
    both = flags[:domain] + flags[domain + 2 :]
    refused("train", both, "data holds two domains", "--domain A or --domain B")
    refused("train", [*flags, "--domain", "C"], "--domain: 'C' is not one of A, B")
    (place / "empty").mkdir()
    refused("train", [*both, "--dataroot", "empty"], "empty: no images")
    refused("train", [*both, "--dataroot", "nowhere"], "nowhere: no such folder")
    refused("train", [*flags, "--crop_size", 64], "0.png: 40x40 pixels, smaller than --crop_size 64")
    refused("train", [*flags, "--crop_size", 36], "--crop_size 36: --netG dcgan makes images of")
    refused("train", [*flags, "--conditional", "--coop_every", 1], "data/trainB/0.png: is in no sub-folder")
    refused("train", [*flags, "--dataset_mode", "unaligned"], "--dataset_mode unaligned: --model gan is for generation")
    plain = ["--dataroot", "data", "--name", "new", *RUN, "--dataset_mode", "images"]
    refused("train", plain, "--dataset_mode images: --model cut is for translation: use")
    few = ["--model", "gan", "--dataroot", "data", "--domain", "B", "--name", "new", *RUN]
    refused("train", [*few, "--netG", "mlp"], "--netG mlp is for points")
    points = ["--model", "gan", "--dataroot", "ring:8", "--name", "new", *RUN]
    refused("train", [*points, "--netD", "dcgan"], "--netD dcgan is for images")
    refused("train", [*points, "--eval_freq", 1], "--eval_freq 1: points have no such figures")
    refused("train", [*flags, "--preprocess", "none"], "--preprocess none gives images of any size")
    refused("train", [*flags, "--conditional", "--pool_size", 3], "--pool_size", "--conditional")
    refused("train", [*flags, "--activation_checkpointing"], "is for generators that translate")
    refused("train", [*flags, "--batch_size", 64], "--batch_size 64 is larger than the data set (3 images)")
    refused("train", [*flags, "--normD", "batch", "--accumulation_steps", 2], "batch norm of netD")
    refused("train", [*flags, "--normD", "spectral", "--accumulation_steps", 2], "spectral norm of netD")


def test_what_is_refused_of_samplers_and_translators(a_gan: Path, a_run: Path) -> None:
    refused("test", ["--name", "g", "--dataroot", "data"], "--dataroot", "translates no images")
    refused("test", ["--name", "g", "--task", "complete"], "--task complete needs --dataroot")
    refused("test", ["--name", "g", "--truncation", 0.5], "--truncation needs")
    refused("test", ["--name", "g", "--class_id", "cat"], "--class_id cat: this run knows no classes")
    refused("test", ["--name", "g", "--epoch", 7], "7_net_G.pth does not exist")
    refused("test", ["--name", "tiny"], "--dataroot is missing")
    refused("test", ["--name", "tiny", "--dataroot", "data", "--truncation", 0.5], "make images from noise")
    with pytest.raises(CheckpointError, match="makes images from noise and translates none"):
        Translator.load("checkpoints/g")
    with pytest.raises(CheckpointError, match="translates images and makes none from noise"):
        Sampler.load(a_run)
    make_images(Path("small"), 2, 16)
    refused("train", [*GAN[:3], "other", *GAN[4:-2], "--domain", "", "--dataroot", "small"], "16x16 pixels, smaller")


def test_two_processes_sample_as_one(a_gan: Path) -> None:
    sampled("--num_test", 20, "--seed", 3)
    first = tree(FAKES.parents[1])
    flags = ["--name", "g", "--gpu_ids", "-1", "--num_test", "20", "--seed", "3", "--results_dir", str(a_gan / "two")]
    flags += ["--checkpoints_dir", str(a_gan / "checkpoints")]
    code, output = finish(torchrun("test.py", flags))
    assert code == 0, output
    second = tree(a_gan / "two/g/test_latest")
    assert {name for name in first if first[name] != second.get(name)} == set()


def test_a_conditional_start_resumes_bit_for_bit(place: Path) -> None:
    for name in ("cat", "dog"):
        make_images(place / "pets" / name, 3, 16)
    network = "--crop_size 16 --ngf 4 --ndf 4 --nz 6 --normD spectral --init_gain 0.3 --batch_size 2".split()
    start = "--coop_epochs 0 --coop_iters 2 --coop_fade 1 --langevin_steps 2 --coop_negatives 0.5 --ema 0.9".split()
    flags = ["--model", "coopgan", "--conditional", "--dataroot", "pets", *network, *start, *RUN, "--n_epochs", 4]
    assert run("train", *flags, "--name", "whole", "--max_iters", 6).code == 0
    assert run("train", *flags, "--name", "parts", "--max_iters", 1).code == 0
    for steps in (4, 6):
        again = ["--name", "parts", "--continue_train", "--gpu_ids", -1, "--max_iters", steps]
        assert run("train", *again).code == 0
    whole, parts = (torch.load(f"checkpoints/{n}/latest_state.pth", weights_only=True) for n in ("whole", "parts"))
    same(whole["model"], parts["model"])
    assert Sampler.load("checkpoints/parts").class_names == ["cat", "dog"]
    make_images(place / "pets" / "cow", 1, 16)
    refused("train", [*again[:-1], 8], "the class 'cow' is not in --class_names")


def test_averages_keep_the_singular_vectors_of_spectral_norms() -> None:
    """They have length 1; averaged they would be shorter, and the averaged network's weights too large."""
    opt = train_options("--model gan --dataroot x --netG biggan --netD dcgan --crop_size 8 --ngf 4 --ndf 4 --nz 4 "
                        "--ema 0.9 --gpu_ids -1 --lr 0.01".split())  # fmt: skip
    runtime = Runtime.from_options(opt, Peers())
    trainer = Trainer(opt, create_method(opt, runtime), runtime)
    for step in range(5):
        real = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        trainer.step(Batch.whole({"B": real}, {"B": [""] * 4}), Position(step=step))
    vectors = {name: v for name, v in trainer.trained("G").named_buffers() if name.endswith(("_u", "_v"))}
    assert len(vectors) >= 10
    for vector in vectors.values():
        assert float(vector.norm()) == pytest.approx(1, abs=1e-4)
