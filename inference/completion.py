"""What generators of noise do with images: fill in what is hidden of them, and move them up D's scores."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from coopcut.data.folders import find_domain
from coopcut.data.images import check_sizes
from coopcut.data.transforms import Preprocess
from coopcut.engine.method import channels
from coopcut.images.io import read_image, save_image, to_tensor
from coopcut.inference.loading import weights_of
from coopcut.inference.results import SHEET, Results
from coopcut.inference.sampler import Sampler, noise
from coopcut.inference.samples import sheet_of
from coopcut.networks import create_critic
from coopcut.options.generation_options import names_of_classes
from coopcut.options.option import Options
from coopcut.sampling.langevin import Langevin
from coopcut.sampling.posterior import Posterior
from coopcut.util.errors import CheckpointError, DataError, OptionError
from coopcut.util.files import write_text

log = logging.getLogger("test")

FIGURES = "completion.json"
PART = 16  # images that are worked on at once


def complete(opt: Options, sampler: Sampler) -> int:
    """Fill in the images of --dataroot where --mask hides them, and say how far from the hidden pixels that is."""
    _check(opt, sampler)
    if not sampler.generator.invertible:
        raise OptionError(f"--task complete: --model {opt.model} has no noise to look for: use another model")
    known = mask(opt.mask, sampler.generator.size)
    x, paths, folder = images_of(opt, sampler.generator.size)
    found = [fill_in(sampler, part, known, opt, PART * i) for i, part in enumerate(x.split(PART))]
    filled = known * x + (1 - known) * torch.cat(found)
    gray = (known * x).flatten(1).sum(1) / (known.sum() * x.shape[1])  # the mean of what is known of each image
    flat = known * x + (1 - known) * gray.view(-1, 1, 1, 1)
    figures = {"images": len(x), "RMSE": rmse(filled, x, known), "RMSE of the mean known value": rmse(flat, x, known)}
    hidden = known * x - (1 - known)
    write(opt, folder, paths, {"real_A": hidden, "fake_B": filled, "real_B": x})
    write_text(folder / FIGURES, json.dumps(figures, indent=1) + "\n")
    log.info("hidden pixels: RMSE %.1f of 255 levels (their image's mean known value: %.1f) over %d images",
             figures["RMSE"], figures["RMSE of the mean known value"], len(x))  # fmt: skip
    return 0


def restore(opt: Options, sampler: Sampler) -> int:
    """Move the images of --dataroot up D's scores by Langevin dynamics."""
    _check(opt, sampler)
    if Path(opt.checkpoint).is_file():
        raise OptionError("--task restore needs D too: name the run's folder with --checkpoint, or the run with --name")
    D = create_critic(opt, channels(opt, "B"), len(names_of_classes(opt)))
    weights_of(D, opt, "D")
    D.to(sampler.device).eval().requires_grad_(False)
    x, paths, folder = images_of(opt, opt.crop_size)
    dynamics = Langevin(opt.search_steps, displacement=opt.restore_displacement, backtrack=True)
    moved, before, after = [], [], []
    for part in (each.to(sampler.device) for each in x.split(PART)):
        y = _classes(sampler, len(part), opt)
        revision = dynamics.revise(lambda images, y=y: D(images, y), part)  # type: ignore[misc]
        moved.append(revision.x.cpu())
        before.append(D(part, y).flatten(1).mean(1))
        after.append(D(revision.x, y).flatten(1).mean(1))
    write(opt, folder, paths, {"real_A": x, "fake_B": torch.cat(moved)})
    scores = float(torch.cat(before).mean()), float(torch.cat(after).mean())
    log.info("D's mean score of %d images: %.3f before, %.3f after", len(x), *scores)
    return 0


def _check(opt: Options, sampler: Sampler) -> None:
    """Raise `OptionError` for what completion and restoration cannot do."""
    if sampler.makes_points:
        raise OptionError(f"--task {opt.task} is for images, and this run makes points")
    if opt.amp != "none":
        raise OptionError(f"--task {opt.task} needs exact gradients: leave --amp out")
    if sampler.class_names and not opt.class_id:
        raise OptionError(f"--task {opt.task} with classes: say which one with --class_id")
    sampler.class_of(0, opt.class_id)


def _classes(sampler: Sampler, number: int, opt: Options) -> Tensor | None:
    if not sampler.class_names:
        return None
    return torch.full((number,), sampler.class_of(0, opt.class_id), device=sampler.device)


def fill_in(sampler: Sampler, x: Tensor, known: Tensor, opt: Options, first: int = 0) -> Tensor:
    """G(z) [B, C, H, W] of the z that explain the known pixels best, of several starts.

    first: the number of the first image, which decides where its search starts. Raises `CheckpointError` if the
    generator makes what is not finite.
    """
    posterior = Posterior(steps=opt.search_steps, noise=0.0)
    generator, device = sampler.generator, sampler.device
    x, known = x.to(device), known.to(device)
    y = _classes(sampler, len(x), opt)

    def G(z: Tensor) -> Tensor:
        images: Tensor = generator(z, y)
        return images

    best, value = x, x.new_full((len(x),), -torch.inf)
    for start in range(opt.search_starts):
        numbers = [(first + i) * opt.search_starts + start for i in range(len(x))]
        z = noise(numbers, opt.seed, generator.nz).to(device)
        z = posterior.infer(G, x, z, known)
        made = G(z).detach()
        found = posterior.log_density(z, made, x, known).detach()
        if not bool(found.isfinite().all()):
            raise CheckpointError("the generator makes images that are not finite: use another --epoch or run")
        best = torch.where((found > value).view(-1, 1, 1, 1), made, best)
        value = torch.maximum(found, value)
    return best.cpu()


def mask(text: str, size: int) -> Tensor:
    """[1, 1, size, size]: 1 where pixels are known. Raises `OptionError`, or `DataError` for a file."""
    known = torch.ones(1, 1, size, size)
    quarter = size // 4
    if text == "center":
        known[:, :, quarter : size - quarter, quarter : size - quarter] = 0
    elif text == "left":
        known[..., : size // 2] = 0
    elif text == "random":
        known = torch.from_numpy(np.random.default_rng(0).random((1, 1, size, size)) < 0.5).float()
    elif Path(text).is_file():
        picture = read_image(text, 1).resize((size, size), Image.Resampling.NEAREST)
        known = (to_tensor(picture) > 0).float()[None]
    else:
        raise OptionError(f"--mask {text}: no such file, and none of center, left, random")
    if bool((known == known.flatten()[0]).all()):
        raise DataError(f"--mask {text}: it hides {'nothing' if known.flatten()[0] else 'all'} of an image")
    return known


def images_of(opt: Options, size: int) -> tuple[Tensor, list[str], Path]:
    """The images of --dataroot as the networks take them [N, C, size, size], their files, and the results' folder."""
    if not opt.dataroot:
        raise OptionError(f"--task {opt.task} needs --dataroot: name the folder with the images")
    domain = find_domain(opt.dataroot, opt.num_test, "expected images there")
    take = Preprocess("square", size, size, 1.0, flip=False, fine_from=None)
    rng = np.random.default_rng(0)
    check_sizes(domain.paths, size)
    read = [to_tensor(take(read_image(path, channels(opt, "B")), rng, 1)) for path in domain.paths]
    return torch.stack(read), domain.paths, Path(opt.results_dir) / opt.name / f"{opt.task}_{opt.epoch}"


def write(opt: Options, folder: Path, paths: list[str], pictures: dict[str, Tensor]) -> None:
    """The pictures of each image, a page, and a contact sheet with a row for each kind."""
    results = Results(Options(**{**vars(opt), "phase": opt.task}), opt.dataroot)
    for name in pictures:  # those of other images would be taken for these
        for old in (folder / "images" / name).glob("*.png"):
            old.unlink()
    try:
        for i, path in enumerate(paths):
            results.add(path, {name: images[i] for name, images in pictures.items()})
        if lines := results.finish():
            raise DataError(lines[0])
    finally:
        results.close()
    page, _ = results.write_pages()
    columns = min(8, len(paths))
    rows = torch.cat([images[:columns] for images in pictures.values()])
    save_image(sheet_of(rows, columns), folder / SHEET)
    log.info("%scontact sheet: %s", f"page: {page}\n" if page.is_file() else "", folder / SHEET)


def rmse(made: Tensor, x: Tensor, known: Tensor) -> float:
    """Root mean squared difference at hidden pixels, in levels of 255."""
    squares: Any = (made - x).mul(127.5).square() * (1 - known)
    return float((squares.sum() / ((1 - known).sum() * x.shape[0] * x.shape[1])).sqrt())
