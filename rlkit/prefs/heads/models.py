"""Reward models as pure functions, from heads; ensembles of them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rlkit.draws import draw_bits
from rlkit.errors import UsageError, check_count
from rlkit.initialisers import orthogonal
from rlkit.keys import typed_key
from rlkit.networks import GATE_GAINS
from rlkit.prefs.checks import known
from rlkit.prefs.types import RewardModel, RewardOut, Segment
from rlkit.types import Key, PyTree

SCORE_GAINS = {"score": 1.0, "log_std": 0.1}
"""Gains of the last layers: rewards begin at the scale of 1, standard deviations near it."""


def reward_model(head: nn.Module, example: Segment) -> RewardModel:
    """The pure functions of a head.

    Kernels begin orthogonal (:func:`rlkit.initialisers.orthogonal`), everything else as its module says.

    Args:
      head: a module from :mod:`rlkit.prefs.heads`, or yours: ``Segment -> RewardOut``.
      example: items of the kind that will be scored, arrays or ``jax.ShapeDtypeStruct``; only shapes count,
        and neither batch nor length are remembered.

    Raises:
      UsageError: tokens for a head without a vocabulary, or features for one with.
    """
    _check_kind(head, example)
    initialiser = orthogonal(head, example, gains=SCORE_GAINS | GATE_GAINS)

    @jax.jit
    def drawn(key: Key) -> PyTree:
        return initialiser.build(draw_bits(key, (initialiser.words,))[0])

    def init(key: Key) -> PyTree:
        return drawn(typed_key(key))

    def apply(params: PyTree, item: Segment) -> RewardOut:
        return head.apply({"params": params}, item)  # pyrefly: ignore[bad-return]

    return RewardModel(init, apply)


def _check_kind(head: nn.Module, example: Segment) -> None:
    backbone = getattr(head, "backbone", None)
    if not hasattr(backbone, "vocabulary"):
        return
    tokens = jnp.issubdtype(example.feats.dtype, jnp.integer)
    if tokens and backbone.vocabulary is None:
        raise UsageError("reward_model: items are tokens; expected Backbone(vocabulary=...), their number")
    values = None if isinstance(example.feats, jax.ShapeDtypeStruct) else known(example.feats)
    if tokens and values is not None:
        largest = values[np.asarray(example.mask)].max(initial=0)
        if largest >= backbone.vocabulary:
            raise UsageError(
                f"reward_model: items hold the token {largest}, the backbone has vocabulary="
                f"{backbone.vocabulary}; expected one of all tokens: the tokenizer does not fit the model"
            )
    if not tokens and backbone.vocabulary is not None:
        raise UsageError(
            f"reward_model: items are features and the backbone has vocabulary={backbone.vocabulary}; "
            "expected integer tokens [B, T], or vocabulary=None"
        )


def ensemble(model: RewardModel, size: int, heads: int = 1) -> RewardModel:
    """Several members side by side, each from its own key: leaves of params and scores are ``[size, ...]``.

    Args:
      model: what each member is; with ``heads``, what ``heads`` members are that share all but a last layer
        (e.g. :class:`rlkit.prefs.heads.OutcomeHead` with ``heads``).
      size: number of members.
      heads: how many of them one model is. Leaves of params are then ``[size / heads, ...]``.

    Raises:
      UsageError: ``size`` is no multiple of ``heads``.
    """
    size, heads = check_count("size", size), check_count("heads", heads)
    if size % heads:
        raise UsageError(f"heads={heads}: expected a divisor of the number of members, {size}")

    def init(key: Key) -> PyTree:
        return jax.vmap(model.init)(jax.random.split(typed_key(key), size // heads))

    def apply(params: PyTree, item: Segment) -> RewardOut:
        out = jax.vmap(model.apply, (0, None))(params, item)
        return out if heads == 1 else jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), out)

    return RewardModel(init, apply)
