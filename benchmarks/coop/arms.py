"""What is compared: arms (methods at equal cost) and sweeps (one option of the warm-up at a time)."""

from dataclasses import dataclass

from benchmarks.coop.variants import NewAll, NewD, Unshifted
from models import BaseModel
from models.coopcut import COOP_OPTIONS

# Networks and images at which five seeds of every arm take an hour on a CPU.
SMALL = [
    *("--ngf", "16", "--ndf", "16", "--netG", "resnet_4blocks", "--netD", "n_layers", "--n_layers_D", "2"),
    *("--netF_nc", "64", "--num_patches", "64", "--nce_layers", "0,4,8,10"),
    *("--preprocess", "none", "--batch_size", "4", "--ema", "0.995"),
]


@dataclass(frozen=True)
class Arm:
    """flags: of train.py. equal_time: it gets fewer steps, by what cooperative ones cost more. supervised: the ceiling.

    variant: a class in place of that of --model. short: the run ends with the warm-up. base: the arm it is paired with.
    """

    flags: tuple[str, ...]
    equal_time: bool = False
    supervised: bool = False
    variant: type[BaseModel] | None = None
    short: bool = False
    base: str = "cut"


def coopcut(*flags: str) -> tuple[str, ...]:
    """Flags of a coopcut with a warm-up of a fifth of the steps, unless `flags` say otherwise."""
    return ("--model", "coopcut", "--coop_iters", "WARMUP", "--instance_noise", "0", *flags)


# D without norm sees the colours of an image; instance norm takes out their means. With CUT's small initial weights its
# scores start at 0.001 and an energy hardly learns in the steps of a warm-up; with those of He et al. it does at once.
NO_NORM = ("--normD", "none")
HE = (*NO_NORM, "--init_type", "kaiming")
ARMS = {
    "cut": Arm(("--model", "cut")),
    "FastCUT": Arm(("--model", "cut", "--CUT_mode", "FastCUT")),
    "coopcut": Arm(coopcut()),
    "coopcut, equal time": Arm(coopcut(), equal_time=True),
    "cut, no norm in D": Arm(("--model", "cut", *NO_NORM)),
    "coopcut, no norm in D, equal time": Arm(coopcut(*NO_NORM), equal_time=True, base="cut, no norm in D"),
    "cut, no norm, kaiming": Arm(("--model", "cut", *HE)),
    "coopcut, no norm, kaiming": Arm(coopcut(*HE), base="cut, no norm, kaiming"),
    "coopcut, no norm, kaiming, equal time": Arm(coopcut(*HE), equal_time=True, base="cut, no norm, kaiming"),
    "supervised": Arm(("--model", "cut"), supervised=True),
}

# option -> values; each is tried with the others at their defaults, in runs that end with the warm-up
WARMUP_SWEEPS = {
    "langevin_displacement": ("0.02", "0.05", "0.1", "0.2", "0.5"),
    "langevin_step_size": ("0.1", "1", "10", "100"),
    "langevin_steps": ("1", "2", "4", "15", "45"),
    "langevin_clip": ("0.01", "0.05", "0"),
    "langevin_noise": ("0", "0.01", "0.03"),
    "lambda_coop": ("1", "10", "100", "1000"),
    "lambda_energy": ("0", "0.01", "0.1", "1", "10"),
    "coop_data_noise": ("0", "0.03", "0.1"),
}
# the same in runs of the full length
SWEEPS = {
    "coop_iters": ("50", "200", "500"),
    "coop_fade": ("0", "1", "4"),
    "coop_keep": ("0", "0.25", "0.5"),
    "instance_noise": ("0", "0.05", "0.15"),
}
VARIANTS: dict[str, type[BaseModel]] = {
    "no bias shift": Unshifted,
    "new optimizer of D": NewD,
    "new optimizers": NewAll,
}


WARMUP = 200  # steps


def sweep_arms() -> dict[str, Arm]:
    """An arm for each value of each sweep, and for each variant; all defaults in a run of the warm-up is "warm-up"."""
    arms = {"warm-up": Arm(coopcut(), short=True)} | {
        arm_of(option, value): Arm(coopcut(f"--{option}", value), short=option in WARMUP_SWEEPS)
        for option, values in (WARMUP_SWEEPS | SWEEPS).items()
        for value in values
        if "=" in arm_of(option, value)
    }
    return arms | {f"switch={name}": Arm(coopcut(), variant=variant) for name, variant in VARIANTS.items()}


def arm_of(option: str, value: str) -> str:
    """The arm that has this value: option=value, or the one with all defaults."""
    defaults = {option.name: option.default for option in COOP_OPTIONS} | {"coop_iters": WARMUP, "instance_noise": 0}
    default = defaults[option]
    if float(value) != float(default):
        return f"{option}={value}"
    return "warm-up" if option in WARMUP_SWEEPS else "coopcut"
