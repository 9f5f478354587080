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

TEST = (TRANSLATION,)
