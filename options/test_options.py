"""Options of `test.py`. What describes the network comes from the checkpoint and need not be given."""

import math

from coopcut.options.option import Group, Option, count

TRANSLATION = Group(
    "translation",
    [
        Option("checkpoint", "", "run folder or weights file to translate with, instead of --name"),
        Option(
            "export", "", "network to run, for a method that trains several (cycle_gan: A2B, B2A); empty: the first"
        ),
        Option("results_dir", "./results", "folder for the results: <results_dir>/<name>/<phase>_<epoch>"),
        Option("eval", False, "run the network in eval mode (matters for batch norm and dropout)"),
        Option("num_test", math.inf, "translate at most this many images (CUT: 50)", parse=count, low=1, metavar="N"),
    ],
)

SAMPLING = Group(
    "sampling",
    [
        Option("class_id", "", "make images of this class: its name, or its number from 0; empty: of all in turn"),
        Option("truncation", 1.0, "draw the latent code towards its mean by this factor: below 1 fewer odd images and "
               "less variety", low=0, high=1),
        Option("task", "sample", "sample: make images; complete: fill in what --mask hides of images of --dataroot; "
               "restore: move them up D's scores", ("sample", "complete", "restore")),
        Option("mask", "center", "what is hidden: center (half of width and height), left, random (half of the pixels) "
               "or an image file, hidden where it is black"),
        Option("search_steps", 200, "complete, restore: Langevin steps", low=1),
        Option("search_starts", 4, "complete: begin from this many noises and keep the likeliest", low=1),
        Option("restore_displacement", 0.1, "restore: mean change of a value over all steps; images are in [-1, 1]",
               above=0, high=2),
        Option("interpolate", 8, "images in the strip from one noise to another; 0: no strip", low=0, high=1000),
    ],
)  # fmt: skip
SAMPLES = 64  # made unless --num_test says otherwise

TEST = (TRANSLATION,)
