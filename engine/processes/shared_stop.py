"""A signal to one of several processes reaches all of them, also while they wait for data or for each other.

Before a step the processes tell each other of signals. One that waits for data that never come would not get there,
and the others, inside torch, do not even run what answers a signal. So a thread in each looks after both.
"""

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed import Store

from coopcut.engine.signals import SIGNALS, StopSignals

KEY = "stop"  # in the store of this start: the first signal that any process got
PAUSE = 1.0  # seconds between two looks at the store


@contextmanager
def shared_signals(store: Store | None, stop: StopSignals) -> Iterator[None]:
    """Within the block this process sends itself the signal that another one got, within about `PAUSE` seconds.

    stop: what answers signals already; one that has come before the block is shared too.
    Without a store, or in another than the main thread, nothing is shared.
    """
    if store is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    wakes, woken = socket.socketpair()
    wakes.setblocking(False)
    before = signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)  # written to at once, even inside torch
    thread = threading.Thread(target=_share, args=(woken, store), daemon=True)
    thread.start()
    if stop.asked is not None:
        wakes.send(bytes([stop.asked]))
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        wakes.close()
        thread.join(2 * PAUSE)


def _share(woken: socket.socket, store: Store) -> None:
    """Write the first signal into the store, or find one there; until the other end of `woken` is closed."""
    shared = False
    with woken:
        while True:
            here = select.select([woken], [], [], PAUSE)[0]
            got = woken.recv(64) if here else b""
            if here and not got:
                return
            numbers = [number for number in got if number in SIGNALS]
            try:
                if numbers and not shared:
                    shared = True
                    store.set(KEY, str(numbers[0]))
                elif not shared and store.check([KEY]):
                    shared = True
                    _send(int(store.get(KEY)))
            except RuntimeError:  # the process that keeps the store is gone, of which the next exchange tells
                return


def _send(number: int) -> None:
    """Send this process a signal: one to this thread alone would not end what the main thread waits for."""
    if os.name == "nt":  # where os.kill ends a process
        signal.raise_signal(number)
    else:
        os.kill(os.getpid(), number)
