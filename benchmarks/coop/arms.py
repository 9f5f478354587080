"""What is compared: arms (methods at equal cost) and sweeps (one option of the warm-up at a time)."""

from dataclasses import dataclass

# Networks and images at which five seeds of every arm take an hour on a CPU.
SMALL = [
    *("--ngf", "16", "--ndf", "16", "--netG", "resnet_4blocks", "--netD", "n_layers", "--n_layers_D", "2"),
    *("--netF_nc", "64", "--num_patches", "64", "--nce_layers", "0,4,8,10"),
    *("--preprocess", "none", "--batch_size", "4", "--ema", "0.995"),
]


@dataclass(frozen=True)
class Arm:
    """flags: of train.py. equal_time: it gets fewer steps, by what its warm-up costs more. supervised: the ceiling."""

    flags: tuple[str, ...]
    equal_time: bool = False
    supervised: bool = False


def coopcut(*flags: str) -> tuple[str, ...]:
    """Flags of a coopcut with a warm-up of a fifth of the steps, unless `flags` say otherwise."""
    return ("--model", "coopcut", "--coop_iters", "WARMUP", *flags)


ARMS = {
    "cut": Arm(("--model", "cut")),
    "FastCUT": Arm(("--model", "cut", "--CUT_mode", "FastCUT")),
    "coopcut": Arm(coopcut()),
    "coopcut, equal time": Arm(coopcut(), equal_time=True),
    "supervised": Arm(("--model", "cut"), supervised=True),
}

# option -> values; each is tried with the others at their defaults
SWEEPS = {
    "coop_iters": ("0", "100", "400", "1000", "2000"),
    "coop_fade": ("0", "1", "4"),
    "langevin_displacement": ("0.02", "0.05", "0.1", "0.2", "0.5"),
    "langevin_step_size": ("0.1", "1", "10", "100"),
    "langevin_steps": ("5", "15", "45"),
    "langevin_clip": ("0.01", "0.05", "0"),
    "langevin_noise": ("0", "0.01", "0.03"),
    "lambda_coop": ("1", "10", "100"),
    "lambda_energy": ("0", "0.1", "1", "10"),
    "coop_data_noise": ("0", "0.03", "0.1"),
}


def sweep_arms() -> dict[str, Arm]:
    """An arm for each value of each sweep, called option=value."""
    return {
        f"{option}={value}": Arm(coopcut(f"--{option}", value)) for option, values in SWEEPS.items() for value in values
    }
