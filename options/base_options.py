"""Options that training and translating share. Names and defaults are CUT's; the differences are marked."""

import math

from coopcut.data import DATASETS, PREPROCESS_MODES
from coopcut.models import MODELS
from coopcut.options.option import Group, Option, count, ranges

EXPERIMENT = Group(
    "experiment",
    [
        Option(
            "dataroot",
            "",
            "folder with the images: trainA, trainB, testA, ... (--dataset_mode single: any folder or file)",
        ),
        Option(
            "name", "", "name of the run, under --checkpoints_dir; empty: <data set>_<model> (CUT: experiment_name)"
        ),
        Option("easy_label", "", "title of the run on its web pages; empty: its name"),
        Option("suffix", "", "appended to --name; {option} is replaced: {model}_{netG}_size{load_size}"),
        Option("checkpoints_dir", "./checkpoints", "folder that holds the runs"),
        Option("model", "cut", "the method", registry=MODELS, fixed=True),
        Option(
            "gpu_ids",
            "auto",
            "device: a GPU number, -1 (CPU), mps, or auto: a GPU if there is one, else the CPU (CUT: 0)",
        ),
        Option("seed", 0, "seed of weights, order, crops, flips, patches and noise", low=0, high=2**31 - 1, fixed=True),
        Option(
            "deterministic",
            False,
            "use deterministic GPU kernels where torch has them (not for reflection padding): slower",
        ),
        Option(
            "amp",
            "none",
            "precision of the networks: bf16, fp16 (GPU only), or none for float32",
            ("none", "bf16", "fp16"),
        ),
        Option("tf32", False, "GPU: compute float32 products in TF32 (10-bit mantissa): faster, less exact"),
        Option("compile", False, "compile the networks with torch.compile: slow start, faster steps"),
        Option("epoch", "latest", "which epoch's weights to load: latest or a number"),
        Option("verbose", False, "print the architecture of the networks"),
    ],
)

CHANNELS = Group(
    "channels",
    [
        Option("input_nc", 3, "channels of a source image: 3 (RGB) or 1 (gray)", low=1, high=3, fixed=True),
        Option("output_nc", 3, "channels of a target image: 3 (RGB) or 1 (gray)", low=1, high=3, fixed=True),
    ],
)

DATA = Group(
    "data",
    [
        Option("dataset_mode", "unaligned", "how --dataroot is read", registry=DATASETS),
        Option("direction", "AtoB", "translate the images of A to B, or of B to A", ("AtoB", "BtoA"), fixed=True),
        Option("phase", "train", "which folders are read: train (trainA, trainB), val, test"),
        Option("serial_batches", False, "read images in the order of their names instead of shuffled"),
        Option("num_threads", 4, "worker processes that load images", low=0, high=256),
        Option("batch_size", 1, "images of each domain per step", low=1),
        Option("load_size", 286, "scale images to this size [pixels]", low=4, high=16384),
        Option("crop_size", 256, "then crop to this size [pixels]", low=4, high=16384),
        Option(
            "max_dataset_size", math.inf, "use at most this many images of each domain", parse=count, low=1, metavar="N"
        ),
        Option("preprocess", "resize_and_crop", "scaling and cropping", PREPROCESS_MODES),
        Option("no_flip", False, "no random horizontal flips"),
        Option(
            "value_range",
            "dtype",
            "file values to show as black and white: LOW,HIGH, or a pair per domain: LOW,HIGH/LOW,HIGH; "
            "dtype: the full range of 8 or 16 bits, 0 to 1 for floats",
            parse=ranges,
            metavar="LOW,HIGH",
        ),
        Option(
            "random_scale_max", 3.0, "--preprocess zoom_and_crop: largest reduction of a side [factor]", low=1, high=64
        ),
        Option("display_winsize", 256, "width of an image on the web pages [pixels]", low=16),
    ],
)

BASE = (EXPERIMENT, CHANNELS, DATA)
