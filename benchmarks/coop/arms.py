"""What is compared: arms, that is methods at equal cost."""

from dataclasses import dataclass

from coopcut.models import Method

# Networks and images at which five seeds of every arm take an hour on a CPU.
SMALL = [
    *("--ngf", "16", "--ndf", "16", "--netG", "resnet_4blocks", "--netD", "n_layers", "--n_layers_D", "2"),
    *("--netF_nc", "64", "--num_patches", "64", "--nce_layers", "0,4,8,10"),
    *("--preprocess", "none", "--batch_size", "4", "--ema", "0.995"),
]

WARMUP = 200  # steps


@dataclass(frozen=True)
class Arm:
    """flags: of train.py. equal_time: it gets fewer steps, by what cooperative ones cost more. supervised: the ceiling.

    variant: a class in place of that of --model. short: the run ends with the warm-up. base: the arm it is paired with.
    """

    flags: tuple[str, ...]
    equal_time: bool = False
    supervised: bool = False
    variant: type[Method] | None = None
    short: bool = False
    base: str = "cut"


def coopcut(*flags: str) -> tuple[str, ...]:
    """Flags of a coopcut with a warm-up of a fifth of the steps, unless `flags` say otherwise."""
    return ("--model", "coopcut", "--coop_iters", "WARMUP", "--instance_noise", "0", *flags)


# D without norm sees the colors of an image; instance norm takes out their means. With CUT's small initial weights its
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
