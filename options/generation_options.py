"""Options of all methods that generate images from noise: which images they learn from."""

from argparse import ArgumentTypeError

from coopcut.options.option import Option, Options


def _domain(text: str) -> str:
    if text not in ("", "A", "B"):
        raise ArgumentTypeError(f"'{text}' is not one of A, B")
    return text


LEARNED = (
    Option("domain", "", "which images of a translation set to learn from: A or B; empty: there is only one domain",
           parse=_domain, fixed=True),
    Option("conditional", False, "learn to make images of a given class; classes are the sub-folders of --dataroot, or "
           "the labels of the data", fixed=True),
    Option("class_names", "", "the classes of the data in the order of their numbers, joined by commas; empty: sorted",
           fixed=True),
)  # fmt: skip


def names_of_classes(opt: Options) -> list[str]:
    """The names of the classes that the networks know; none without --conditional."""
    return opt.class_names.split(",") if opt.conditional and opt.class_names else []
