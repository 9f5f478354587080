"""Options of `train.py`. Names and defaults are CUT's; the frequencies count images, as in CUT."""

import math

from coopcut.monitors import MONITORS
from coopcut.options.option import Group, Option, count, whole

SCHEDULE = Group(
    "training",
    [
        Option("n_epochs", 200, "epochs at the initial learning rate", low=0, high=10**9),
        Option("n_epochs_decay", 200, "epochs in which the learning rate falls to zero", low=0, high=10**9),
        Option(
            "max_iters",
            math.inf,
            "save and stop after this many steps in all",
            parse=count,
            low=1,
            metavar="N",
        ),
        Option("epoch_count", 1, "number of the first epoch", low=1),
        Option("lr", 0.0002, "initial learning rate of Adam", above=0),
        Option("beta1", 0.5, "Adam: decay of the mean gradient", low=0, below=1),
        Option("beta2", 0.999, "Adam: decay of the squared gradient", low=0, below=1),
        Option(
            "lr_policy",
            "linear",
            "how the learning rate changes over the epochs",
            ("linear", "step", "plateau", "cosine"),
            fixed=True,
        ),
        Option(
            "lr_decay_iters",
            50,
            "--lr_policy step: divide the learning rate by 10 every this many epochs",
            low=1,
            fixed=True,
        ),
        Option("cache_images", 0.0, "keep decoded images in memory, up to this many GiB per process", low=0, high=1e6),
        Option(
            "accumulation_steps",
            1,
            "split each batch into this many micro-batches to save memory: same result, about 10 % slower",
            low=1,
        ),
        Option(
            "activation_checkpointing", False, "save more memory: recompute all of G's activations in the backward pass"
        ),
        Option(
            "selective_checkpointing",
            False,
            "save memory at little cost: recompute what lies between G's convolutions",
        ),
        Option("ema", 0.0, "decay of an averaged copy of the generator, used for translating; 0: none", low=0, below=1),
    ],
)

SAVING = Group(
    "checkpoints",
    [
        Option("continue_train", False, "resume the run --name exactly where it stopped, with its saved options"),
        Option(
            "auto_resume",
            False,
            "resume if --name has a checkpoint, else start a new run; restarts by torchrun always resume",
        ),
        Option("pretrained_name", "", "start from the weights (of --epoch) of another run"),
        Option("save_latest_freq", 5000, "save 'latest' every this many images", low=1),
        Option("save_epoch_freq", 5, "keep the weights every this many epochs", low=1),
        Option("save_by_iter", False, "also keep the weights saved every --save_latest_freq images, as iter_<images>"),
    ],
)

DISPLAY = Group(
    "display",
    [
        Option(
            "monitor",
            "console,files,html,visdom",
            "where losses and pictures go: names joined by commas; none: nowhere",
            ("none",),
            several=True,
            registry=MONITORS,
        ),
        Option("print_freq", 100, "print and log the losses every this many images", low=1),
        Option("display_freq", 400, "show images in Visdom every this many images", low=1),
        Option("update_html_freq", 1000, "write images to the web page every this many images", low=1),
        Option("no_html", False, "no web page under <run>/web"),
        Option(
            "display_id",
            None,
            "number of the first Visdom window (none: the run's own numbers); 0 or less: no Visdom",
            parse=whole,
            metavar="N",
        ),
        Option("display_ncols", 4, "Visdom: images per row of the one image panel; 0: a window per image", low=0),
        Option(
            "display_server",
            "http://localhost",
            "Visdom: server address; on this machine, a server is started if none is running",
        ),
        Option("display_env", "main", "Visdom: name of the environment"),
        Option("display_port", 8097, "Visdom: port of the server", low=1, high=65535),
    ],
)

EVALUATION = Group(
    "evaluation",
    [
        Option(
            "eval_freq",
            0,
            "measure translations of testA against testB (valA, valB) every this many epochs; 0: never",
            low=0,
        ),
        Option(
            "eval_metric",
            "KID",
            "metric that picks the weights kept as 'best'",
            ("FID", "KID", "precision", "recall", "density", "coverage"),
        ),
        Option("eval_num", 200, "measure at most this many held-out images of each domain", low=2),
        Option("eval_features", "builtin", "feature network: builtin, inception, or a TorchScript file (.pt)"),
    ],
)

TRAIN = (SCHEDULE, SAVING, EVALUATION, DISPLAY)
