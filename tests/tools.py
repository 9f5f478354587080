"""Helpers of the tests."""

from collections.abc import Sequence

from data import DATASET_CHOICES
from models import MODELS, NETWORK_CHOICES
from options.option import Options
from options.parser import OptionParser


def train_options(argv: Sequence[str]) -> Options:
    """Options of a training, from the model `cut` unless `argv` says otherwise."""
    return OptionParser(True, MODELS, NETWORK_CHOICES | DATASET_CHOICES).parse(["--dataroot", "./datasets/none", *argv])
