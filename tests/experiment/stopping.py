"""Signals that arrive during a run."""

import os
import signal
import time

from rlkit.experiment.training import run


def stop_at(monkeypatch, update, number=signal.SIGTERM):
    """Let a signal arrive after that update, once."""
    advanced = run.Keeper.advanced

    def and_signal(self, chunk, count):
        advanced(self, chunk, count)
        if chunk.update == update:
            monkeypatch.setattr(run.Keeper, "advanced", advanced)
            os.kill(os.getpid(), number)
            time.sleep(0.2)  # the watching thread reads it

    monkeypatch.setattr(run.Keeper, "advanced", and_signal)
