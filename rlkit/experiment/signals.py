"""Ending a run politely: the first signal asks it to save and stop, the second one ends it at once."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a signal has asked for an end, and which one."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What the shell expects of a process ended by that signal: 130 or 143."""
        return 128 + (self.signal or 0)


@contextlib.contextmanager
def listening() -> Iterator[Stop]:
    """Turn SIGINT and SIGTERM into a flag while the block runs (only in the main thread).

    Python runs its handlers between two instructions of the main thread, which a compilation or a
    long chunk can hold up for seconds. A second thread therefore reads the signals from the wake-up
    file descriptor, which the operating system's handler writes to at once.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch() -> None:
        while byte := reader.recv(1):
            if byte[0] in SIGNALS:
                if stop.signal is not None:
                    os._exit(128 + byte[0])
                stop.signal = byte[0]

    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(writer.fileno())
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        writer.close()
        thread.join()
        reader.close()
