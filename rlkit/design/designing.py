"""A whole design in one call, of any environment that JAX can trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rlkit.design.types import Candidate, Designer, DesignTask, History, Record, Verdict
from rlkit.types import Environment

if TYPE_CHECKING:
    from rlkit.design.config import DesignConfig
    from rlkit.design.genome import Schema
    from rlkit.design.loop import Loop
    from rlkit.design.results import Result


def design_reward(
    task: DesignTask | Environment,
    config: DesignConfig | None = None,
    check: Callable[[Candidate, History], tuple[Verdict, ...]] | None = None,
    *,
    tell: Callable[[Record], None] = lambda record: None,
) -> Result:
    """Search for a dense reward, in memory; :func:`rlkit.design.folder.run` keeps everything in a folder.

    Args:
      task: what for; of an environment alone, with the configuration's base, words and forbidden features.
      config: how; its ``env`` is not looked at. None takes the defaults.
      check: of candidates before they are trained, see :func:`rlkit.design.screen`; None makes one, unless
        ``config.checks`` is off.
      tell: called with what is known of a candidate after each step.

    Returns:
      All candidates, the finalists and the winner with its scores on fresh seeds.

    Raises:
      UsageError: the environment runs on the host, or something in ``config`` does not exist.
    """
    from rlkit.design.config import DesignConfig

    config = DesignConfig() if config is None else config
    task = task if isinstance(task, DesignTask) else config.task(task)
    return build(task, config, check, tell).run()


def build(
    task: DesignTask,
    config: DesignConfig,
    check: Callable[[Candidate, History], tuple[Verdict, ...]] | None = None,
    tell: Callable[[Record], None] = lambda record: None,
) -> Loop:
    """The loop of a design; arguments as of :func:`design_reward`."""
    from rlkit.design.loop import Loop
    from rlkit.design.screen import Later, screen
    from rlkit.design.training import Trainer

    schema = config.schema(task)
    trainer = Trainer(task, config, schema)
    if check is None and config.checks:
        check = Later(lambda: screen(task, config.seed, schema=schema))
    return Loop(task, config, begun(config, schema, task, check), trainer, check, tell=tell)


def begun(config: DesignConfig, schema: Schema, task: DesignTask, check: Any) -> Designer:
    """The designer of a configuration; where it searches genomes and the checks have gathered successes, it
    begins with what these say (:mod:`rlkit.design.guidance`). The control, random search, does not.

    Args:
      config: of the design.
      schema: of genomes.
      task: the task.
      check: of candidates; only a screen knows successes.
    """
    from rlkit.design.config import DESIGNERS, MODELS
    from rlkit.design.guidance import Guided, leads
    from rlkit.design.screen import Later, Screen

    made = config.make_designer(schema, task)
    searches = config.designer not in (*MODELS, "random") and config.designer in DESIGNERS
    if not config.guided or not searches or not isinstance(check, Screen | Later):
        return made
    return Guided(made, schema, lambda: leads(check.evidence, schema), config.guided)
