"""Helpers of the tests."""

from collections.abc import Sequence

from models import MODELS
from models.networks import DISCRIMINATORS, GENERATORS, PROJECTIONS
from options.option import Options
from options.parser import OptionParser

CHOICES = {"netG": GENERATORS, "netD": DISCRIMINATORS, "netF": PROJECTIONS}


def train_options(argv: Sequence[str]) -> Options:
    """Options of a training, from the model `cut` unless `argv` says otherwise."""
    return OptionParser(True, MODELS, CHOICES).parse(["--dataroot", "./datasets/none", *argv])
