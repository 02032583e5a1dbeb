"""Ending a run politely: the first signal asks it to save and stop, the second one ends it at once."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))
_HANGUP = getattr(signal, "SIGHUP", None)


class Stop:
    """Whether a signal has asked for an end, and which one."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._leave: Callable[[], None] | None = None
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What the shell expects of a process ended by that signal, e.g. 130 (SIGINT) or 143 (SIGTERM)."""
        return 128 + (self.signal or 0)

    def at_once(self, leave: Callable[[], None] | None) -> None:
        """From now on a signal ends the process after ``leave()``; None: it asks again.

        While a program is compiled nothing can be asked, and before the first update nothing is lost.
        """
        with self._lock:
            self._leave = leave

    def received(self, number: int) -> None:
        """A signal came; called by the watching thread."""
        with self._lock:
            if self._leave is not None:
                with contextlib.suppress(Exception):
                    self._leave()
                os._exit(128 + number)
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number


@contextlib.contextmanager
def listening(numbers: Sequence[int] = SIGNALS) -> Iterator[Stop]:
    """Turn SIGINT, SIGTERM and SIGHUP into a flag while the block runs (only in the main thread).

    Args:
      numbers: the signals that are heard; the others do what they did.

    Python runs its handlers between two instructions of the main thread, which a compilation or a
    long chunk can hold up for seconds. A second thread therefore reads the signals from the wake-up
    file descriptor, which the operating system's handler writes to at once. A SIGHUP that is
    ignored, as under nohup, stays ignored.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch() -> None:
        while byte := reader.recv(1):
            if byte[0] in numbers:
                stop.received(byte[0])

    heard = [n for n in numbers if n != _HANGUP or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_: None) for number in heard}
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
