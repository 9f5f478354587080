"""The sweeps of the study: one setting of coopcut at a time, the others at their defaults."""

from benchmarks.coop.arms import WARMUP, Arm, coopcut
from benchmarks.coop.variants import (
    EnergySums,
    ImageEnergy,
    NewAll,
    NewD,
    TeachingSums,
    Unshifted,
)
from coopcut.models import Method
from coopcut.objectives.adversarial import Adversarial
from coopcut.objectives.cooperative import Cooperative
from coopcut.options.train_options import TRAIN

# option -> values, in runs that end with the warm-up
WARMUP_OPTIONS = {
    "langevin_displacement": ("0.02", "0.05", "0.1", "0.2", "0.5"),
    "langevin_step_size": ("0.1", "1", "10", "100"),
    "langevin_steps": ("1", "2", "4", "15", "45"),
    "langevin_clip": ("0.01", "0.05", "0"),
    "langevin_noise": ("0", "0.01", "0.03"),
    "lambda_coop": ("1", "10", "100", "1000"),
    "lambda_energy": ("0", "0.01", "0.1", "1", "10"),
    "coop_data_noise": ("0", "0.03", "0.1"),
    "lr": ("0.00005", "0.0002", "0.001", "0.002", "0.005", "0.02"),
}
# the same in runs of the full length
SWITCH_OPTIONS = {
    "coop_iters": ("50", "200", "500"),
    "coop_fade": ("0", "1", "4"),
    "coop_keep": ("0", "0.25", "0.5"),
    "langevin_stop": ("False", "True"),
    "instance_noise": ("0", "0.05", "0.15"),
}
REDUCTIONS: dict[str, type[Method]] = {
    "summed teaching": TeachingSums,
    "summed energies": EnergySums,
    "energy of the image": ImageEnergy,
}
AT_SWITCH: dict[str, type[Method]] = {
    "no bias shift": Unshifted,
    "new optimizer of D": NewD,
    "new optimizers": NewAll,
}


def arm_of(option: str, value: str) -> str:
    """The arm that has this value of an option: option=value, or the one with all defaults."""
    declared = [*Cooperative.options, *Adversarial.options, *(one for group in TRAIN for one in group.options)]
    default = ({one.name: one.default for one in declared} | {"coop_iters": WARMUP, "instance_noise": 0})[option]
    if value != str(default) and (isinstance(default, bool) or float(value) != float(default)):
        return f"{option}={value}"
    return "warm-up" if option in WARMUP_OPTIONS else "coopcut"


# What is swept -> its values -> the arm of each. The default comes with the arm "warm-up", or "coopcut".
WARMUP_SWEEPS = {o: {v: arm_of(o, v) for v in values} for o, values in WARMUP_OPTIONS.items()}
WARMUP_SWEEPS["loss reduction"] = {"means": "warm-up"} | {name: f"reduction={name}" for name in REDUCTIONS}
SWITCH_SWEEPS = {o: {v: arm_of(o, v) for v in values} for o, values in SWITCH_OPTIONS.items()}
SWITCH_SWEEPS["loss reduction"] = {"means": "coopcut"} | {name: f"reduction, long={name}" for name in REDUCTIONS}
SWITCH_SWEEPS["at the switch"] = {"all kept": "coopcut"} | {name: f"switch={name}" for name in AT_SWITCH}


def label_of(swept: str, value: str) -> str:
    """A value in a table: as a flag, if an option is swept."""
    return f"--{swept} {value}" if swept in WARMUP_OPTIONS | SWITCH_OPTIONS else f"{swept}: {value}"


def sweep_arms() -> dict[str, Arm]:
    """The arms of all sweeps but "coopcut", which is an arm of the study too."""
    arms = {"warm-up": Arm(coopcut(), short=True)}
    for option, values in (WARMUP_OPTIONS | SWITCH_OPTIONS).items():
        for value in values:
            if (arm := arm_of(option, value)) not in ("warm-up", "coopcut"):
                arms[arm] = Arm(coopcut(f"--{option}", value), short=option in WARMUP_OPTIONS)
    for name, variant in REDUCTIONS.items():
        arms[f"reduction={name}"] = Arm(coopcut(), variant=variant, short=True)
        arms[f"reduction, long={name}"] = Arm(coopcut(), variant=variant)
    return arms | {f"switch={name}": Arm(coopcut(), variant=variant) for name, variant in AT_SWITCH.items()}
