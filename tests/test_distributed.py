"""Several processes (torchrun, gloo, CPU) train and translate as one."""

from pathlib import Path

import pytest
import torch

from coopcut.engine.evaluation import read_metrics
from coopcut.engine.processes.shard import Shard
from coopcut.metrics.distribution import FIGURES
from tests.processes import (
    COOP,
    DOUBLE,
    check_close,
    check_same_training,
    finish,
    flags,
    in_double,
    state,
    torchrun,
)
from tests.tools import ROOT, names_in, pixels, run

# what is special to a method; each method by itself is in test_every_method.py
CASES = {
    "fading": f"{COOP} --coop_iters 1 --coop_fade 2 --coop_keep 0.3 --instance_noise 0.1 --lambda_color 3",
    "passes": f"{COOP} --coop_fade 1 --accumulation_steps 2 --langevin_noise 0.1 --lr_policy plateau",
    "negatives": "--CUT_mode FastCUT --nce_includes_all_negatives_from_minibatch --gan_mode wgangp --pool_size 3",
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one(folder: Path, case: str) -> None:
    """7 samples in batches of 4: the last one of an epoch has 3, which two processes share as 2 and 1."""
    more = f"{CASES[case]} --batch_size 4 --max_iters 4"
    assert in_double(flags(folder, "one", more)) == 0
    code, output = finish(torchrun(DOUBLE, flags(folder, "two", more)))
    assert code == 0, output
    assert output.count("run ") == 1, output
    check_same_training(folder, "one", "two")


WATCHES = """
import os, sys, weakref
sys.path.insert(0, {root!r})
import train
from torch import distributed
create = distributed.init_process_group
groups = []
def init_process_group(*args, **kwargs):
    create(*args, **kwargs)
    groups.append(weakref.ref(distributed.group.WORLD))
distributed.init_process_group = init_process_group
assert train.main(sys.argv[1:]) == 0
(group,) = groups
os.write(1, b"group gone\\n" if group() is None else b"group left\\n")
"""


def test_nothing_is_left_of_the_group(folder: Path) -> None:
    """A thread of the group that still frees a tensor while Python ends aborts a process whose work is done."""
    (folder / "watches.py").write_text(WATCHES.format(root=str(ROOT)))
    argv = flags(folder, "r", "--model cut --batch_size 2 --max_iters 1")
    code, output = finish(torchrun(str(folder / "watches.py"), argv))
    assert code == 0, output
    assert output.count("group gone") == 2, output


def test_two_processes_evaluate_as_one(folder: Path) -> None:
    """5 held-out images of each domain, shared as 3 and 2; the first process alone writes, and keeps the best."""
    more = "--model cut --batch_size 4 --eval_freq 1 --ema 0.9 --n_epochs 1 --n_epochs_decay 1"
    assert run("train", *flags(folder, "one", more)).code == 0
    code, output = finish(torchrun("train.py", flags(folder, "two", more)))
    assert code == 0, output
    assert output.count("on held-out images") == 2
    one, two = folder / "checkpoints/one", folder / "checkpoints/two"
    assert names_in(one) == names_in(two)
    lines = [read_metrics(path / "metrics.jsonl") for path in (one, two)]
    assert [line["epoch"] for line in lines[0]] == [1, 2]
    for expected, found in zip(*lines, strict=True):
        figures = {name: expected[name] for name in FIGURES}
        assert {name: found[name] for name in FIGURES} == pytest.approx(figures, rel=1e-2, abs=1e-4)
        assert (found["real_images"], found["fake_images"]) == (5, 5)
    best = state(folder, "two")["best"]["A2B"]
    assert best == {"metric": "KID", "value": lines[1][best["epoch"] - 1]["KID"], "epoch": best["epoch"]}
    weights = [torch.load(path / "best_net_G_ema.pth", weights_only=True) for path in (one, two)]
    check_close(weights[1], weights[0])


def test_a_checkpoint_moves_between_numbers_of_processes(folder: Path) -> None:
    """Batches of 2 end with one of a single sample, which the second process only accompanies."""
    more = f"{COOP} --batch_size 2 --lr_policy plateau"
    assert in_double(flags(folder, "one", f"{more} --max_iters 6")) == 0
    code, output = finish(torchrun(DOUBLE, flags(folder, "moved", f"{more} --max_iters 3")))
    assert code == 0, output
    assert in_double(flags(folder, "moved", f"{more} --max_iters 5 --continue_train")) == 0
    code, output = finish(torchrun(DOUBLE, flags(folder, "moved", f"{more} --max_iters 6 --continue_train")))
    assert code == 0, output
    check_same_training(folder, "one", "moved")
    assert not [key for key in state(folder, "moved")["options"] if "world" in key or "rank" in key]


@pytest.mark.parametrize("total", [1, 2, 5, 8])
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_shares_cover_each_sample_once(total: int, parts: int) -> None:
    shares = [Shard.of(total, part, parts) for part in range(parts)]
    counted = [i for share in shares for i in range(share.start, share.start + share.counted)]
    assert counted == list(range(total))
    assert all(share.stop > share.start for share in shares)
    assert sum(share.weight for share in shares) == pytest.approx(1)
    whole = Shard.whole(total).randn((total, 2), torch.Generator().manual_seed(0), torch.device("cpu"))
    for share in shares:
        part = share.randn((1, 2), torch.Generator().manual_seed(0), torch.device("cpu"))
        assert torch.equal(part, whole[share.start : share.stop])


def test_translating_is_divided_and_the_first_process_makes_the_page(folder: Path) -> None:
    assert run("train", *flags(folder, "r", "--max_iters 1")).code == 0
    (folder / "data/testA/2.png").write_bytes(b"no image")
    base = ["--dataroot", str(folder / "data"), "--checkpoints_dir", str(folder / "checkpoints"), "--name", "r"]
    base += ["--gpu_ids", "-1", "--num_threads", "0", "--batch_size", "2"]
    assert run("test", *base, "--results_dir", folder / "one").code == 1
    code, output = finish(torchrun("test.py", [*base, "--results_dir", str(folder / "two")]))
    assert code == 1, output
    assert output.count("skipped: ") == 1
    one, two = folder / "one/r/test_latest", folder / "two/r/test_latest"
    assert names_in(one) == names_in(two)
    assert (one / "index.html").read_text() == (two / "index.html").read_text()
    for name in names_in(one / "images"):
        assert (pixels(one / "images" / name) == pixels(two / "images" / name)).all()
