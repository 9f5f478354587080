"""Whether this process is one of several: decided here alone, from what a launcher sets in the environment.

The scripts ask before torch is loaded, so this module does without it.
"""

import math
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coopcut.util.errors import OptionError

NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
RESTARTS = "TORCHELASTIC_RESTART_COUNT"  # how often torchrun has started the processes again
TIMEOUT = "PEER_TIMEOUT"  # seconds after which a process that waits for another gives up
LONGEST = 10_000_000.0  # seconds: torch counts in nanoseconds and overflows at some 10^10


@dataclass(frozen=True)
class Place:
    """Process `rank` of `size`, and on its machine number `local` of `on_machine`; numbers count from 0.

    host, port: where the first process is found. restarts: how often torchrun has started this one again. timeout: how
    long it waits for another process [seconds].
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    on_machine: int = 1
    host: str = ""
    port: int = 0
    restarts: int = 0
    timeout: float = 600.0

    @property
    def alone(self) -> bool:
        """Whether there is only this process."""
        return self.size == 1


def find_place(environ: Mapping[str, str] | None = None) -> Place:
    """The place of this process among those of its run, from the variables that torchrun sets; an empty one is not set.

    Alone is a process without RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE, or with WORLD_SIZE 1. One of several
    has RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; without LOCAL_RANK and LOCAL_WORLD_SIZE it has a machine to
    itself. Raises `OptionError` for everything else: no other process can be relied on to report it.
    """
    environ = os.environ if environ is None else environ
    found = {name: environ.get(name, "") for name in (*NUMBERS, *ADDRESS) if environ.get(name, "").strip()}
    fault = _fault(found)
    if fault:
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in found.items())
        raise OptionError(
            f"{fault} ({shown}): it is unclear whether this process is one of several; {cure_of_several(environ)} to "
            "run it alone, or start several with torchrun"
        )
    restarts = _whole(environ.get(RESTARTS, "").strip() or "0")
    if restarts is None:
        raise OptionError(f"{RESTARTS}={_shown(environ[RESTARTS])} is not a whole number of 0 or more: unset it")
    size = int(found.get("WORLD_SIZE", 1))
    if size == 1:
        return Place(restarts=restarts if "WORLD_SIZE" in found else 0)
    return Place(
        int(found["RANK"]),
        size,
        int(found.get("LOCAL_RANK", 0)),
        int(found.get("LOCAL_WORLD_SIZE", 1)),
        found["MASTER_ADDR"],
        int(found["MASTER_PORT"]),
        restarts,
        _timeout(environ.get(TIMEOUT, "")),
    )


def cure_of_several(environ: Mapping[str, str] | None = None) -> str:
    """How to run a process alone, whatever the environment says."""
    environ = os.environ if environ is None else environ
    return f"put 'env {' '.join(f'-u {name}' for name in NUMBERS if name in environ)}' before the command"


def refuse_several() -> None:
    """Raise `OptionError` in each of several processes: for what would do the same in all of them."""
    here = find_place()
    if not here.alone:
        raise OptionError(
            f"this is process {here.rank} of {here.size} (RANK, WORLD_SIZE), but this script runs as a single "
            f"process: start it without torchrun, or {cure_of_several()}"
        )


def _fault(found: Mapping[str, str]) -> str:
    """What is wrong with the variables that are set; empty if nothing is."""
    numbers = {name: _whole(found[name].strip()) for name in NUMBERS if name in found}
    for name, number in numbers.items():
        least = 1 if name.endswith("SIZE") else 0
        if number is None or number < least:
            return f"{name} is not a whole number of {least} or more"
    if not numbers:
        return ""
    if "WORLD_SIZE" not in numbers:
        return f"{next(iter(numbers))} is set and WORLD_SIZE is not"
    size = numbers["WORLD_SIZE"] or 1
    if size > 1 and "RANK" not in numbers:
        return "WORLD_SIZE is set and RANK is not"
    one_local = ("LOCAL_RANK" in numbers) != ("LOCAL_WORLD_SIZE" in numbers)
    if size > 1 and one_local:
        given, missing = ("RANK", "WORLD_SIZE") if "LOCAL_RANK" in numbers else ("WORLD_SIZE", "RANK")
        return f"LOCAL_{given} is set and LOCAL_{missing} is not"
    on_machine = numbers.get("LOCAL_WORLD_SIZE") or size
    if (numbers.get("RANK") or 0) >= size:
        return "RANK is not below WORLD_SIZE"
    if on_machine > size:
        return "LOCAL_WORLD_SIZE is above WORLD_SIZE"
    if (numbers.get("LOCAL_RANK") or 0) >= on_machine:
        return f"LOCAL_RANK is not below {'LOCAL_' if 'LOCAL_WORLD_SIZE' in numbers else ''}WORLD_SIZE"
    if (numbers.get("LOCAL_RANK") or 0) > (numbers.get("RANK") or 0):
        return "LOCAL_RANK is above RANK"
    return _fault_of_address(found) if size > 1 else ""


def _fault_of_address(found: Mapping[str, str]) -> str:
    for name in ADDRESS:
        if name not in found:
            return f"WORLD_SIZE is above 1 and {name} is not set"
    if len(found["MASTER_ADDR"].split()) > 1 or found["MASTER_ADDR"] != found["MASTER_ADDR"].strip():
        return "MASTER_ADDR contains a space"
    port = _whole(found["MASTER_PORT"].strip())
    if port is None or not 1 <= port <= 65535:
        return "MASTER_PORT is not a whole number from 1 to 65535"
    return ""


def _timeout(text: str) -> float:
    if not text.strip():
        return Place.timeout
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.001 <= seconds <= LONGEST:
        raise OptionError(
            f"{TIMEOUT}={_shown(text)} is not a number of seconds from 0.001 to {LONGEST:.0f}: correct or unset it"
        )
    return seconds


def without_local_rank(argv: Sequence[str], here: Place) -> list[str]:
    """`argv` without the --local-rank (older: --local_rank) that `python -m torch.distributed.launch` adds.

    It says again what LOCAL_RANK says; raises `OptionError` if it says something else.
    """
    rest, words = list[str](), list(argv)
    while words:
        flag, given, value = words[0].partition("=")
        if flag not in ("--local-rank", "--local_rank"):
            rest.append(words.pop(0))
            continue
        words.pop(0)
        if not given and words:
            value = words.pop(0)
        if _whole(value) != here.local:
            says = "this process is alone" if here.alone else f"the environment says LOCAL_RANK={here.local}"
            raise OptionError(f"{flag} {_shown(value)}: {says}; leave {flag} out, and start several with torchrun")
    return rest


def _whole(text: str) -> int | None:
    """The number that up to 9 digits write."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def _shown(value: str) -> str:
    return shlex.quote(value if len(value) <= 60 else f"{value[:60]}...")
