"""Environments in words: the table of all, the specification of one."""

import io
from typing import Any

from rlkit.errors import RlkitError, unknown_name


def _text(renderable: Any) -> str:
    """A rich renderable as text, as wide as the terminal (or wide enough for a pipe)."""
    import shutil

    from rich.console import Console

    width = max(100, shutil.get_terminal_size((140, 24)).columns)
    page = io.StringIO()
    console = Console(file=page, width=width)
    console.print(renderable, soft_wrap=False)
    return "\n".join(line.rstrip() for line in page.getvalue().rstrip().split("\n"))


def space(space: Any) -> str:
    """A space in a few characters."""
    if hasattr(space, "n"):
        return f"{space.n} choices"
    return f"{type(space).__name__.lower()}{list(space.shape)}"


def _row(id: str) -> tuple[str, str]:
    from rlkit.envs import make

    try:
        spec = make(id).spec
    except RlkitError as error:  # its package is not installed
        return "-", str(error).split(";")[0]
    return space(spec.observation_space), space(spec.action_space)


def table(family: str = "") -> str:
    """All environments, or those of one family, with what they give and take.

    Raises:
      UnknownNameError: no such family.
    """
    from rich.table import Table

    from rlkit.envs import registry

    families = sorted({id.split("/", 1)[0] for id in registry.TABLE})
    if family and family not in families:
        raise unknown_name("family", family, families)
    rows = Table(box=None, pad_edge=False)
    for column in ("id", "observation", "action", "what it is"):
        rows.add_column(column, no_wrap=column != "what it is")
    for id in registry.names():
        if not family or id.startswith(f"{family}/"):
            rows.add_row(id, *_row(id), registry.TABLE[id].summary)
    return _text(rows)


def describe(id: str) -> str:
    """The specification of one environment: task, signals, spaces, and the features rewards may read.

    Raises:
      UnknownNameError: no such environment.
    """
    from rich.console import Group
    from rich.table import Table

    from rlkit.envs import make

    spec = make(id).spec
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(no_wrap=True)
    for name, value in (
        ("id", spec.id),
        ("task", spec.task),
        ("success", spec.success),
        ("fitness", spec.fitness),
        ("native reward", spec.native_reward),
        ("observation", f"{space(spec.observation_space)}{' (partial)' if spec.partial_obs else ''}"),
        ("action", space(spec.action_space)),
        ("time limit", f"{spec.max_steps} steps"),
    ):
        facts.add_row(name, value)
    features = Table(box=None, pad_edge=False, title="features", title_justify="left")
    for column in ("name", "shape", "range", "unit", "seen", "meaning"):
        features.add_column(column, no_wrap=column != "meaning")
    for f in spec.features:
        seen = "yes" if f.observable else "no"
        features.add_row(f.name, str(list(f.shape)), f"{f.low:g} .. {f.high:g}", f.unit, seen, f.meaning)
    return _text(Group(facts, "", features))


def checked(id: str) -> tuple[str, bool]:
    """What a check of an environment says, and whether nothing looks wrong.

    Raises:
      UnknownNameError: no such environment.
      InvalidEnvironmentError: it contradicts itself.
    """
    from rlkit.envs import check_environment, make
    from rlkit.envs.trial import trial

    env = make(id)
    check_environment(env)
    seen = trial(env)
    ran = (
        f"{seen.steps} random steps, {seen.episodes} episodes ended ({seen.terminated} by themselves), "
        f"success in {seen.successes} steps"
    )
    if not seen.findings:
        return f"{env.spec.id}: fine; {ran}", True
    return "\n".join([f"{env.spec.id}: {ran}", *(f"  {finding}" for finding in seen.findings)]), False


def agents() -> str:
    """All agents with their summaries."""
    from rich.table import Table

    from rlkit.agents import registry

    rows = Table(box=None, pad_edge=False)
    rows.add_column("name", no_wrap=True)
    rows.add_column("what it is")
    for name, entry in registry.TABLE.items():
        rows.add_row(name, entry.summary)
    return _text(rows)


def describe_agent(name: str) -> str:
    """The hyper-parameters of an agent: defaults, ranges, meaning, and which of them a sweep may vary.

    Raises:
      UnknownNameError: no such agent.
    """
    import dataclasses

    from rich.table import Table

    from rlkit.agents import registry

    rows = Table(box=None, pad_edge=False, title=registry.TABLE[name].summary, title_justify="left")
    for column in ("name", "default", "sweeps", "meaning"):
        rows.add_column(column, no_wrap=column != "meaning")
    for entry in dataclasses.fields(registry.config_class(name)):
        sweeps = "no" if entry.metadata.get("static") else "yes"
        rows.add_row(entry.name, str(entry.default), sweeps, entry.metadata.get("help", ""))
    return _text(rows)


def rewards() -> str:
    """What reward texts are written with."""
    from rich.table import Table

    from rlkit.rewards import SOURCES, TRANSFORMS

    rows = Table(box=None, pad_edge=False)
    for column in ("name", "kind", "what it pays or does"):
        rows.add_column(column, no_wrap=column != "what it pays or does")
    for kind, table in (("source", SOURCES), ("transform", TRANSFORMS)):
        for name, constructor in sorted(table.items()):
            rows.add_row(name, kind, (constructor.__doc__ or "").split("\n")[0])
    return _text(rows)


def describe_reward(name: str) -> str:
    """The arguments and the meaning of one constructor.

    Raises:
      UnknownNameError: no such constructor.
    """
    import inspect

    from rlkit.rewards import SOURCES, TRANSFORMS

    table = {**SOURCES, **TRANSFORMS}
    if name not in table:
        raise unknown_name("reward", name, table)
    return f"{name}{inspect.signature(table[name])}\n\n{inspect.getdoc(table[name])}"
