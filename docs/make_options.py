"""Write docs/options.md, the table of all options, from their declarations: python -m docs.make_options"""

import math
import re
from collections.abc import Iterable
from pathlib import Path

from coopcut.models import MODELS
from coopcut.options.base_options import BASE
from coopcut.options.components import groups_of_all
from coopcut.options.option import Group, Option
from coopcut.options.test_options import SAMPLING, TEST
from coopcut.options.train_options import TRAIN

PAGE = Path(__file__).with_name("options.md")

INTRODUCTION = """\
# Options

`python -m docs.make_options` writes this page from the declarations: those of the scripts in `options/`, all others
beside the method, objective or network that they belong to. `python train.py --help` and `python test.py --help` show
the options of the chosen components, and `--help all` shows every one.

A value comes from the first of these that has one:

1. the command line;
2. the checkpoint, with `--continue_train` or in `test.py`;
3. the preset of the method, FastCUT's for example;
4. the default.

`--flag`, `--flag True` and `--flag False` all work for an option that is True or False.
An option with a star belongs to the checkpoint: a value that contradicts it is refused, by `--continue_train` and by
`test.py`. `test.py` also refuses a contradicting value of any option of a component.

`test.py` has the defaults `--phase test --no_flip True --serial_batches True`. It takes over the sizes that the run was
trained with, except that nothing is cut off at random: after `resize_and_crop` or `square` it scales to `--crop_size`,
after a `scale_width` mode to the same width, and after all others it leaves the size alone (`--preprocess none`).
"""

# An option that is not named here has no unit, or has it in brackets at the end of its help text.
UNITS = {
    "epochs": "n_epochs n_epochs_decay lr_decay_iters save_epoch_freq eval_freq coop_epochs",
    "steps": "max_iters coop_iters langevin_steps",
    "images": "max_dataset_size batch_size pool_size num_test save_latest_freq print_freq display_freq display_ncols "
    "update_html_freq eval_num",
    "channels": "input_nc output_nc ngf ndf netF_nc",
    "layers": "n_layers_D",
    "patches": "num_patches",
    "processes": "num_threads",
    "value in [-1, 1]": "langevin_noise langevin_clip coop_data_noise",
}


def page() -> str:
    """The text of docs/options.md."""
    sections = [
        *_sections("Both scripts", BASE),
        *_sections("train.py", TRAIN),
        *_sections("test.py", (*TEST, SAMPLING)),
        *_sections("Methods and their components", groups_of_all(MODELS)),
    ]
    return INTRODUCTION + "\n" + "\n".join(sections)


def _sections(title: str, groups: Iterable[Group]) -> list[str]:
    lines = [f"## {title}", ""]
    for group in groups:
        lines += [f"### {group.title}", "", "| option | default | values | unit | meaning |", "|---|---|---|---|---|"]
        lines += [_row(option) for option in group.options]
        lines.append("")
    return lines


def _row(option: Option) -> str:
    """One line of a table."""
    unit = next((unit for unit, names in UNITS.items() if option.name in names.split()), "")
    meaning = option.help
    if found := re.search(r" \[(\w+)\]$", meaning):
        unit, meaning = found.group(1), meaning[: found.start()]
    cells = [
        f"`--{option.name}`{' *' if option.fixed else ''}",
        f"`{_shown(option.default)}`",
        _values(option),
        unit,
        _escaped(meaning),
    ]
    return f"| {' | '.join(cells)} |"


def _shown(default: object) -> str:
    if default is None:
        return "none"
    return repr(default) if default == "" else str(default)


def _values(option: Option) -> str:
    if option.known:
        return ", ".join(f"`{name}`" for name in option.known)
    if isinstance(option.default, bool):
        return "True, False"
    if isinstance(option.default, str):
        return "text"
    whole = option.parse is not None or isinstance(option.default, int)
    bounds = [
        "" if option.low is None else f"from {option.low:g}",
        "" if option.above is None else f"above {option.above:g}",
        "" if option.high is None else f"to {option.high:.10g}",
        "" if option.below is None else f"below {option.below:g}",
    ]
    kind = "whole number" if whole else "number"
    limits = " ".join(bound for bound in bounds if bound)
    return f"{kind} {limits}".strip() + (", or inf" if option.default == math.inf else "")


def _escaped(text: str) -> str:
    """`text` so that Markdown shows it as it is."""
    return re.sub(r"([|*])", r"\\\1", text.replace("<", "&lt;").replace(">", "&gt;"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
