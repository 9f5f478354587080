"""How the processes of one start find each other, and none of an earlier start.

torchrun keeps its key-value store when it starts the processes again after a failure, and torch then reads the
addresses of processes that are gone, if the current ones have not overwritten them yet. Counts of restarts do not help:
every machine counts its own. So the first process names the start by a random word, and all agree on it.
"""

import secrets
import socket
import time
from datetime import timedelta

from torch.distributed import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from coopcut.util.launch import Place

PAUSE = 0.02  # seconds between two looks at the store


def meet(here: Place, timeout: timedelta) -> Store:
    """A store of this start alone, for `init_process_group`.

    Raises `RuntimeError` or `ValueError` if the processes do not find each other within `timeout`.
    """
    if here.rank > 0:
        _wait_for_first(here, time.monotonic() + timeout.total_seconds())
    store, _, _ = next(iter(rendezvous(f"env://?rank={here.rank}&world_size={here.size}", timeout=timeout)))
    store.set_timeout(timeout)
    return PrefixStore(name_of_start(store, here.rank, here.size, timeout), store)


def _wait_for_first(here: Place, deadline: float) -> None:
    """Wait until the address of the store answers; torch's own client prints a page if it never does."""
    while True:
        try:
            socket.create_connection((here.host, here.port), timeout=max(deadline - time.monotonic(), PAUSE)).close()
            return
        except OSError as error:
            _pause(deadline, f"no answer: {error.strerror or error}")


def name_of_start(store: Store, rank: int, size: int, timeout: timedelta) -> str:
    """A word that all `size` processes of this start have in common, though `store` may hold those of earlier starts.

    The first process writes a word. Each of the others answers to it with a word of its own, which the first repeats.
    Nobody repeats answers to a word of an earlier start, so a process that answered one looks again.
    """
    mine, deadline = secrets.token_hex(8), time.monotonic() + timeout.total_seconds()
    if rank == 0:
        store.set("start", mine)
        waiting = set(range(1, size))
        while waiting:
            for other in [r for r in waiting if store.check([f"{mine}/answer/{r}"])]:
                store.set(f"{mine}/heard/{other}", store.get(f"{mine}/answer/{other}").decode())
                waiting.remove(other)
            _pause(deadline, f"{len(waiting)} of {size} processes are missing")
        return mine
    while True:
        if store.check(["start"]):
            word = store.get("start").decode()
            store.set(f"{word}/answer/{rank}", mine)
            heard = f"{word}/heard/{rank}"
            if store.check([heard]) and store.get(heard).decode() == mine:
                return word
        _pause(deadline, "the first process is missing")


def _pause(deadline: float, complaint: str) -> None:
    if time.monotonic() > deadline:
        raise RuntimeError(complaint)
    time.sleep(PAUSE)
