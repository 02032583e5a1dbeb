"""The progress bar: share done, environment steps per second, time left, return; compile time apart."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO, cast

from rlkit.experiment.runs.logbook import Line
from rlkit.experiment.training.loop import Program, Schedule
from rlkit.streams import Unbreakable
from rlkit.types import Learner

SHOWN = ("eval/success", "eval/return", "episode/return")


class Progress:
    """Shows nothing but warnings; the base of what shows something."""

    def say(self, text: str) -> None:
        """One line for the user."""

    def warn(self, text: str) -> None:
        """One sentence that matters."""
        print(f"warning: {text}", file=Unbreakable(sys.stderr), flush=True)

    def end(self) -> None:
        """Leave the terminal as it was: the process ends."""

    def compiled(self, program: Program) -> None:
        """What compiling took."""

    def log(self, entry: Line) -> None:
        """A line of the log."""

    def advanced(self, update: int, count: int, seconds: float) -> None:
        """``count`` updates were made in ``seconds``; there are ``update`` now."""


@contextlib.contextmanager
def no_progress(learner: Learner, plan: Schedule, num_seeds: int, begin: int = 0) -> Iterator[Progress]:
    """A progress that shows nothing."""
    yield Progress()


class _Bar(Progress):
    def __init__(self, bar: Any, task: Any, steps_per_update: int, num_seeds: int):
        self.bar, self.task, self.factor = bar, task, steps_per_update * num_seeds
        self.speed: float | None = None
        self.plain = not bar.console.is_terminal
        self.spoke = time.monotonic()

    def say(self, text: str) -> None:
        self.bar.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def end(self) -> None:
        self.bar.stop()

    def compiled(self, program: Program) -> None:
        self.say(f"compiled in {program.trace_seconds + program.compile_seconds:.1f} s")

    def log(self, entry: Line) -> None:
        for name in SHOWN:
            if entry["mean"].get(name) is not None:
                spread = entry["std"][name]
                around = f" ± {spread:.2f}" if spread is not None else ""
                self.bar.update(self.task, metric=f"{name} {entry['mean'][name]:.2f}{around}")
                return

    def advanced(self, update: int, count: int, seconds: float) -> None:
        speed = count * self.factor / max(seconds, 1e-9)
        self.speed = speed if self.speed is None else 0.8 * self.speed + 0.2 * speed
        self.bar.update(self.task, completed=update, speed=f"{_short(self.speed)} steps/s")
        if self.plain and time.monotonic() - self.spoke > 30:  # a log file gets a line now and then
            self.spoke = time.monotonic()
            fields = self.bar.tasks[0].fields
            self.say(f"update {update} of {self.bar.tasks[0].total}, {fields['speed']} {fields['metric']}")


def _short(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:.0f}"


@contextlib.contextmanager
def progress_bar(learner: Learner, plan: Schedule, num_seeds: int, begin: int = 0) -> Iterator[Progress]:
    """A bar on standard error; plain lines if that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metric]}"),
    )
    console = Console(file=cast(TextIO, Unbreakable(sys.stderr)))
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        title = f"{learner.title} × {num_seeds} seeds"
        task = bar.add_task(title, total=plan.num_updates, completed=begin, speed="", metric="")
        yield _Bar(bar, task, learner.steps_per_update, num_seeds)
