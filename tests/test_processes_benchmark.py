"""benchmarks.processes: what it changes, and that it finds the tensors whose gradient is 0."""

import argparse
import shutil
from pathlib import Path

import pytest
import torch

from benchmarks import processes
from tests.project import ROOT


@pytest.mark.slow
def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With the runs of one process in place of those of two: differences between arms, none between processes."""
    small = f"{processes.MODELS['FastCUT']} --num_patches 8 --netF_nc 8"
    monkeypatch.setattr(processes, "MODELS", {"FastCUT": small})
    monkeypatch.setattr(processes, "ARMS", {name: (1, *how) for name, (_, *how) in processes.ARMS.items()})
    options = argparse.Namespace(work=tmp_path, size=32, width=4, seed=0, tensors=True)
    processes.draw_images(options)
    processes.train_all(options)
    shutil.copytree(tmp_path / "runs1", tmp_path / "runs2")
    processes.print_table(options)
    head, _, *lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert head == ["model", "tensor", *processes.COLUMNS]
    zero = {line[1].removesuffix(processes.ZERO) for line in lines if line[1].endswith(processes.ZERO)}
    blocks = {f"model.{block}.conv_block.{layer}.bias" for block in range(12, 16) for layer in (1, 5)}
    before_norm = {"model.1.bias", "model.17.bias", "model.21.bias", *blocks}  # of G
    assert before_norm <= zero
    assert zero - before_norm == {"model.3.bias", "model.7.bias", "model.11.bias"}  # of D
    columns = list(zip(*[map(float, line[2:]) for line in lines], strict=True))
    assert [max(column) for column in columns[:4]] == [0, 0, 0, 0]
    assert all(1e-7 < max(column) < 2 for column in columns[4:])
    states = {arm: processes.load(tmp_path, 1, f"FastCUT {arm}") for arm in processes.ARMS}
    assert states["double"]["networks"]["G"]["model.1.weight"].dtype == torch.float64
    assert "betas" not in states["sgd"]["optimizers"]["D"]["param_groups"][0]
    assert torch.get_default_dtype() == torch.float32
    assert torch.optim.Adam.__name__ == "Adam"


def test_the_table_of_the_documentation_has_its_headings() -> None:
    text = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    (table,) = [part for part in text.split("\n\n") if part.startswith("| model | network |")]
    head, _, *lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert head == ["model", "network", *processes.COLUMNS]
    assert [line[:2] for line in lines] == [[model, net] for model in processes.MODELS for net in ("G", "F", "D")]


def test_flags_of_the_benchmark() -> None:
    with pytest.raises(processes.UserError, match="--size"):
        processes.main(["--size", "0"])
