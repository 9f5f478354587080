"""One property of every declared option: what is beyond its bounds, or of another type, is one line that names it."""

import math
from collections.abc import Iterator

import pytest

from coopcut.models import MODELS
from coopcut.options.base_options import BASE
from coopcut.options.components import component_groups, groups_of_all
from coopcut.options.option import Option, count, whole
from coopcut.options.parser import OptionParser
from coopcut.options.test_options import SAMPLING, TEST
from coopcut.options.train_options import TRAIN
from coopcut.util.errors import OptionError


def declared() -> Iterator[tuple[Option, bool, list[str]]]:
    """Every option, whether train.py has it, and the flags that choose its component."""
    yield from ((option, True, []) for group in (*BASE, *TRAIN) for option in group.options)
    yield from ((option, False, []) for group in TEST for option in group.options)
    yield from ((option, False, ["--model", "gan"]) for option in SAMPLING.options)
    for group in groups_of_all(MODELS):
        chosen = group.title.split(",")[0].split() if group.title.startswith("--") else []
        if chosen and chosen[0] != "--model":
            chosen = ["--model", model_with(*chosen), *chosen]
        yield from ((option, True, chosen) for option in group.options)


def model_with(flag: str, name: str) -> str:
    """A method that offers the choice, `cut` if it does."""
    for model in sorted(MODELS, key=lambda model: model != "cut"):
        options = [option for group in component_groups(model, MODELS[model], {}) for option in group.options]
        if any(f"--{option.name}" == flag and name in option.known for option in options):
            return model
    raise AssertionError(f"no method offers {flag} {name}")


OPTIONS = {" ".join([option.name, *chosen]): (option, train, chosen) for option, train, chosen in declared()}


def wrong(option: Option) -> list[tuple[str, str]]:
    """Values that the option must refuse, each with what is said of it."""
    step = 1 if option.parser in (whole, count) else 1e-3
    values = [
        ("no_such_name", "is not one of") if option.known else ("", ""),
        ("perhaps", "is not a boolean: write True or False") if isinstance(option.default, bool) else ("", ""),
        (f"{(option.low or 0) - step:g}", "the minimum is") if option.low is not None else ("", ""),
        (f"{int((option.high or 0) + 1)}", "the maximum is") if option.high is not None else ("", ""),
        (f"{option.above:g}", "it must be above") if option.above is not None else ("", ""),
        (f"{option.below:g}", "it must be below") if option.below is not None else ("", ""),
    ]
    if option.parser in (whole, count):
        values += [(text, f"'{text}' is not a whole number") for text in ("2.5", "two", "1e3")]
    elif not option.known and isinstance(option.default, float):
        values += [(text, f"'{text}' is not a finite number") for text in ("nan", "inf", "fast", "1,5")]
    return [pair for pair in values if pair[1]]


@pytest.mark.parametrize("name", [name for name, (option, *_) in OPTIONS.items() if wrong(option)])
def test_what_is_beyond_is_refused(name: str) -> None:
    option, train, chosen = OPTIONS[name]
    for value, says in wrong(option):
        with pytest.raises(OptionError) as caught:
            OptionParser(train).parse(["--dataroot", "none", *chosen, f"--{option.name}={value}"])
        message = str(caught.value)
        assert message.startswith(f"--{option.name}")
        assert says in message
        assert "\n" not in message


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_within_is_taken(name: str) -> None:
    option, *_ = OPTIONS[name]
    numbers = [bound for bound in (option.low, option.high) if bound is not None]
    typed = [type(option.default)(bound) if isinstance(option.default, int | float) else bound for bound in numbers]
    for value in (option.default, *([] if option.default in (None, math.inf) else typed), *option.known):
        assert option.complaint(value) is None, value
