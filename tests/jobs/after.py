"""What follows the trainings of tests."""

from pathlib import Path


def note(folder: Path, options: dict) -> None:
    """Write a line, so that a second call shows."""
    with open(folder / "notes.txt", "a") as file:
        file.write(options["word"] + "\n")


def measure(folder: Path, options: dict) -> Path:
    """Write a line, and name the file."""
    note(folder, options)
    return folder / "notes.txt"


def fail(folder: Path, options: dict) -> None:
    """Fail."""
    raise RuntimeError("nothing works today")
