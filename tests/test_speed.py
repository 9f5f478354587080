"""The measures of speed and memory: what they count, and that they run."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from benchmarks import memory, profile, speed
from coopcut.util.errors import OptionError
from tests.project import ROOT

TINY = ["--size", "32", "--width", "4", "--device", "cpu", "--threads", "1"]


def test_table_of_speed_has_medians_and_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def side(wall: float, cpu: float, peak: float) -> dict[str, float]:
        return {"median_s": wall, "median_cpu_s": cpu, "peak_bytes": peak * 2**20}

    rows = speed.table({"cut": {"ours": side(0.5, 0.8, 100), "reference": side(1.0, 1.2, 125)}})
    assert rows.splitlines()[-1] == "| training step, CUT | 500.0 | 1000.0 | 2.00 | 1.50 | 100 | 125 |"
    written = tmp_path / "speed.json"
    flags = [*TINY, "--cases", "cut,loading", "--repeats", "3", "--warm_up", "0", "--images", "2"]
    speed.main([*flags, "--flags", "--netG resnet_4blocks", "--json", str(written)])
    assert capsys.readouterr().out.count("\n| ") == 1 + 1  # the first line of the table has no line break before it
    found = json.loads(written.read_text())
    assert found["machine"]["torch"] == torch.__version__
    for case in ("cut", "loading"):
        ours = found["results"][case]["ours"]
        assert ours["median_s"] == sorted(wall for wall, _ in ours["all_s"])[1] > 0
        assert ours["peak_bytes"] > 2**20


CHECKOUT = {
    "options/__init__.py": "",
    "options/train_options.py": "class TrainOptions:\n    def parse(self):\n        return self\n",
    "models/cut_model.py": "class Model:\n    def __getattr__(self, name):\n        return lambda *_: None\n",
    "models/__init__.py": "def create_model(opt):\n    from .cut_model import Model\n    return Model()\n",
}


def test_reference_is_made_of_the_packages_of_its_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, code in CHECKOUT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    flags = [*TINY, "--cases", "cut", "--repeats", "1", "--warm_up", "0", "--images", "1"]
    speed.main([*flags, "--flags", "--netG resnet_4blocks", "--reference", str(tmp_path)])
    row = capsys.readouterr().out.splitlines()[-1].split(" | ")
    assert 0 <= float(row[3]) < 0.1  # its steps do nothing


def test_profile_groups_every_operator_once() -> None:
    seconds = {
        "aten::convolution_backward": 3.0,
        "aten::mkldnn_convolution": 2.0,
        "aten::native_group_norm": 1.0,
        "aten::reflection_pad2d": 0.5,
        "aten::addmm": 0.25,
        "aten::_fused_adam_": 0.125,
        "aten::copy_": 0.0625,
        "aten::relu": 0.0625,
    }
    found = profile.grouped(seconds)
    assert list(found.values()) == list(seconds.values())
    assert profile.table({"a": 1.0, "b": 3.0})[2:] == ["| b | 3.00 | 75 % |", "| a | 1.00 | 25 % |"]


def test_profile_of_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    profile.main([*TINY, "--repeats", "1", "--flags", "--netG resnet_4blocks"])
    output = capsys.readouterr().out
    assert "cut, 32 pixels, batch 1, --amp none, cpu" in output
    assert "convolutions, gradients" in output


def test_peak_memory_of_batches_and_passes() -> None:
    """Resident memory depends on the processor, so that it is compared only where all must agree."""
    options = Namespace(width=8, device="cpu", threads=1, batches=[32], passes=True)
    case, passes = memory.rows(options)["CUT, `--accumulation_steps` the batch"]
    assert (case, passes) == ("cut", "--accumulation_steps BATCH")
    many, divided = (memory.peak(options, "cut", flags, "none", 64, 32) for flags in ("", "--accumulation_steps 32"))
    assert many > 300 * 2**20
    assert divided < 0.5 * many


@pytest.mark.parametrize("script", ["speed", "memory", "profile"])
@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--width", "0"], "--width: '0' must be a whole number from 1 to"),
        (["--threads", "two"], "--threads: 'two' must be"),
        (["--devise", "cpu"], "--devise"),
    ],
)
def test_wrong_arguments_are_one_line(script: str, flags: list[str], word: str) -> None:
    with pytest.raises(OptionError, match=word):
        {"speed": speed, "memory": memory, "profile": profile}[script].main(flags)


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="--device cuda: torch finds no GPU here"):
        profile.main(["--device", "cuda"])


def test_what_a_case_cannot_do_is_one_line() -> None:
    command = ["-m", "benchmarks.speed", *TINY, "--repeats", "1", "--cases", "cut", "--flags", "--netG unet_256"]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert "unet_256" in line
    assert "Traceback" not in done.stderr
