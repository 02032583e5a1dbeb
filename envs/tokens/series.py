"""Classifying short series and saying why."""

import jax
import jax.numpy as jnp

from rlkit.envs.tokens.core import Prompt, TermSpec, TokenSpec, TokenTask, padded, truth
from rlkit.errors import check_count
from rlkit.types import Key, Terms

_CLASSES = ("rising", "falling", "periodic", "spike")
_FEATURES = ("end-high", "end-low", "alternates", "outlier", "monotone", "symmetric")
# What may be said of each class, in this order; the first two features tell it apart.
_REASONS = ((0, 4), (1, 4), (2, 5), (3, 5))


def series(length: int = 8, levels: int = 8) -> TokenTask:
    """A series of levels; the completion names its class and two features of it, and ends.

    The terms are TimeMaster's (arXiv 2506.13705): accuracy, format and an extension in [0, 1], the share of
    the two features that hold, which its reward counts only if the class is right.

    Args:
      length: tokens of the series, even.
      levels: each is 0 to ``levels - 1``.

    Raises:
      UsageError: a number is out of range.
    """
    check_count("length", length, 6)
    check_count("levels", levels, 4)
    first_class = levels + 1
    first_feature = first_class + len(_CLASSES)
    spec = TokenSpec(
        id="tokens/series",
        task="name the class of the series, then two different features of it, then end",
        vocabulary=("<eos>", *map(str, range(levels)), *_CLASSES, *_FEATURES),
        prompt_length=length,
        completion_length=4,
        terms=(
            TermSpec("accuracy", "the class is right", weight=0.9),
            TermSpec("format", "a class, two features, the end", weight=0.1),
            TermSpec("extension", "share of the two features that hold and differ"),
        ),
        success="accuracy",
        optimum=1.0,
    )
    reasons = jnp.array(_REASONS)

    def prompt(key: Key, part: jax.Array) -> Prompt:
        draw = jax.random.split(key, 4)
        kind = jax.random.randint(draw[0], (), 0, len(_CLASSES))
        time, top = jnp.arange(length), levels - 1
        slope = jnp.round(time * top / (length - 1)).astype(jnp.int32)
        low = jax.random.randint(draw[1], (), 0, levels // 2)
        wave = jnp.where(time % 2 == 0, low, low + levels // 2)
        where = jax.random.randint(draw[2], (), 1, length - 1)
        spike = jnp.where(time == where, top, jnp.minimum(low, levels // 4))
        noise = jax.random.bernoulli(draw[3], 0.25, (length,))
        rows = jnp.stack([slope, top - slope, wave, spike])
        row = jnp.clip(rows[kind] + jnp.where((kind < 2) & noise, 1, 0), 0, top)
        return Prompt(row + 1, jnp.ones(length, jnp.float32), {"class": kind})

    def verify(prompt: Prompt, tokens: jax.Array) -> Terms:
        kind, said = tokens[0] - first_class, tokens[1:3] - first_feature
        good = reasons[prompt.columns["class"]]
        held = (said[:, None] == good).any(1) & (jnp.array([True, False]) | (said[0] != said[1]))
        return {
            "accuracy": truth(kind == prompt.columns["class"]),
            "format": truth((kind >= 0) & (kind < len(_CLASSES)), (said >= 0).all(), tokens[3] == 0),
            "extension": jnp.mean(held, dtype=jnp.float32),
        }

    def solve(prompt: Prompt) -> jax.Array:
        kind = prompt.columns["class"]
        return padded([first_class + kind, *(first_feature + reasons[kind])], 4)

    return TokenTask(spec, prompt, verify, solve)
