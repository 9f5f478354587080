"""Names of runs and their suffixes."""

import shlex
from pathlib import Path

import pytest

from coopcut.engine.training import resume_command
from coopcut.util.errors import OptionError
from tests.tools import TINY, run, train_options


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        ("v2", "r_v2"),
        ("{model}_{netG}_size{load_size}", "r_cut_resnet_9blocks_size286"),
        ("{lambda_NCE}_{nce_idt}", "r_10.0_False"),  # as FastCUT presets them
        ("{lr:.0e}", "r_2e-04"),
    ],
)
def test_suffix(suffix: str, name: str) -> None:
    assert train_options(["--name", "r", "--suffix", suffix, "--CUT_mode", "FastCUT"]).name == name


@pytest.mark.parametrize("suffix", ["{nothing}", "{", "{0}", "{model.foo}", "{ngf[0]}", "{ngf:zzz}"])
def test_suffix_that_is_no_pattern(suffix: str) -> None:
    with pytest.raises(OptionError, match=r"^--suffix '.*' \(.*\): write options in braces") as caught:
        train_options(["--suffix", suffix])
    assert suffix in str(caught.value)


def test_a_run_with_suffix_is_found_again(place: Path) -> None:
    flags = ["--name", "r", "--suffix", "{netG}_{num_patches}", *TINY]
    assert run("train", "--dataroot", "data", *flags, "--max_iters", 1).code == 0
    assert [path.name for path in (place / "checkpoints").iterdir()] == ["r_resnet_4blocks_16"]
    more = run("train", "--dataroot", "data", *flags, "--max_iters", 2, "--continue_train")
    assert "step 1" in more.out
    assert "done: 2 steps" in more.out
    assert run("test", "--dataroot", "data", "--name", "r_resnet_4blocks_16", "--num_threads", 0).code == 0
    assert [path.name for path in (place / "results").iterdir()] == ["r_resnet_4blocks_16"]


@pytest.mark.parametrize("name", ["a b", "größe", "inf", "True", "-dash", "{model}", "%s", "*", ".hidden"])
def test_unusual_names_train_and_translate(place: Path, name: str) -> None:
    assert run("train", "--dataroot", "data", f"--name={name}", *TINY, "--max_iters", 1).code == 0
    assert (place / "checkpoints" / name / "latest_net_G.pth").is_file()
    assert run("train", f"--name={name}", "--gpu_ids", -1, "--max_iters", 2, "--continue_train").code == 0
    words = shlex.split(resume_command(train_options([f"--name={name}"])))
    assert train_options(words[2:]).name == name
    outcome = run("test", "--dataroot", "data", "--checkpoint", f"checkpoints/{name}", "--num_threads", 0)
    assert outcome.code == 0
    assert (place / "results" / name / "test_latest" / "index.html").is_file()
