"""Whether training gives the weights of an earlier commit, bit for bit: python -m benchmarks.same_weights

Trains each case from the same seed on images of noise, here and in a worktree of --commit, and begun there and
continued here. Then test.py of both translates with the weights from there.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.worktree import ROOT, worktree

TINY = (
    "--ngf 4 --ndf 4 --netF_nc 8 --num_patches 8 --netG resnet_4blocks --load_size 36 --crop_size 32 --num_threads 0 "
    "--gpu_ids -1 --no_html --display_id 0 --batch_size 2 --name run --save_latest_freq 1000000"
)
CASES = {
    "cut": "--model cut",
    "fastcut": "--model cut --CUT_mode FastCUT",
    "warm-up and fade": "--model coopcut --coop_iters 10",
    "warm-up": "--model coopcut --coop_epochs 1000",
    "keep": "--model coopcut --coop_epochs 0 --coop_keep 0.5",
    "stop": "--model coopcut --coop_iters 20 --langevin_stop",
    "lambda_color": "--model cut --lambda_color 1",
    "pool": "--model cut --pool_size 4",
    "wgangp": "--model cut --gan_mode wgangp",
    "accumulation": "--model coopcut --coop_iters 10 --accumulation_steps 2 --pool_size 4",
    "bf16": "--model coopcut --coop_iters 10 --amp bf16",
    "ema": "--model cut --ema 0.9",
    "noise before D": "--model cut --instance_noise 0.1",
    "two processes": "--model coopcut --coop_iters 10 --pool_size 4",
}
PROCESSES = {"two processes": 2}


# of options that were added since and changed a default; a run that is continued has its own
NOW = ("--langevin_adaptive=False", "--langevin_backtrack=False")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commit", default="69d3f98", help="the earlier commit")
    parser.add_argument("--steps", type=int, default=30, help="steps of training")
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES), help="cases to run")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, worktree(told.commit) as before:
        folder = Path(name)
        make_noise(folder / "noise")
        equal = [compare(case, {"now": ROOT, "before": before}, folder, told.steps) for case in told.only]
    return 0 if all(equal) else 1


def make_noise(folder: Path) -> None:
    """Six images of noise for each domain."""
    rng = np.random.default_rng(0)
    for domain in ("trainA", "trainB", "testA"):
        (folder / domain).mkdir(parents=True)
        for index in range(6):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / domain / f"{index}.png")


def compare(case: str, checkouts: dict[str, Path], folder: Path, steps: int) -> bool:
    """Train `case` in both checkouts, and begin there and go on here; translate with the weights from there in both.

    Prints a line and returns whether all weights and pixels are equal.
    """
    images, runs = folder / "noise", {name: folder / case.replace(" ", "_") / name for name in (*checkouts, "moved")}
    for name, checkout in checkouts.items():
        train(case, checkout, images, runs[name], steps, *(NOW if checkout == ROOT else ()))
    train(case, checkouts["before"], images, runs["moved"], steps // 2)
    train(case, checkouts["now"], images, runs["moved"], steps, "--continue_train")
    files = sorted(path.name for path in (runs["before"] / "run").glob("latest_net_*.pth"))
    different = [
        f"{file} ({name})"
        for file in files
        for name in ("now", "moved")
        if not same(runs["before"] / "run" / file, runs[name] / "run" / file)
    ]
    pictures = [translate(checkout, images, runs["before"]) for checkout in checkouts.values()]
    different += [] if pictures[0] and pictures[0] == pictures[1] else ["translations"]
    verdict = f"DIFFERENT: {', '.join(different)}" if different else "equal, also continued and translated"
    print(f"{case:20} {', '.join(files)}: {verdict}", flush=True)
    return bool(files) and not different


def translate(checkout: Path, images: Path, runs: Path) -> list[bytes]:
    """The pixels of the translations that a checkout makes with a run."""
    results = runs / checkout.name
    flags = [f"--dataroot={images}", f"--checkpoints_dir={runs}", f"--results_dir={results}", "--name=run"]
    run([sys.executable, "test.py", *flags, "--gpu_ids=-1", "--num_threads=0"], checkout)
    return [np.asarray(Image.open(path)).tobytes() for path in sorted(results.rglob("fake_B/*.png"))]


def train(case: str, checkout: Path, images: Path, runs: Path, steps: int, *more: str) -> None:
    """Train in one checkout."""
    launch = [sys.executable]
    if case in PROCESSES:
        launch += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={PROCESSES[case]}"]
    flags = [*TINY.split(), *CASES[case].split(), f"--dataroot={images}", f"--checkpoints_dir={runs}"]
    run([*launch, "train.py", *flags, *more, f"--max_iters={steps}"], checkout)


def run(command: list[str], checkout: Path) -> None:
    """Run a script of a checkout; raises `CalledProcessError`, after its output, if it fails."""
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr)
        done.check_returncode()


def same(one: Path, other: Path) -> bool:
    """Whether two files hold equal tensors under equal names."""
    if not one.is_file() or not other.is_file():
        return False
    first, second = (torch.load(path, weights_only=True) for path in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


if __name__ == "__main__":
    sys.exit(main())
