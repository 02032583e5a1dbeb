"""What a policy of tokens is: three pure functions, whoever wrote the network.

A policy reads rows of tokens that are padded at their end, if at all, and gives the logits of the token
that follows each of them. It must be causal: what it says at a place depends on no later token, so that
padding needs no mask. With a cache it reads a row in pieces.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, check_count
from rlkit.types import Key, PyTree


class Cache(NamedTuple):
    """What a policy remembers of the tokens that it has read."""

    position: (
        jax.Array
    )  # int32 [B]: tokens that count; the next one takes this place, overwriting what is there
    memory: PyTree = ()  # the policy's own, e.g. keys and values


class TokenPolicy(NamedTuple):
    """A distribution over the next token, as pure functions."""

    init: Callable[[Key], PyTree]
    """``init(key) -> params``"""

    logits: Callable[..., tuple[jax.Array, Cache | None]]
    """``logits(params, tokens int32 [B, L], cache=None) -> ([B, L, V], cache)``. Without a cache the rows
    are whole. With one they go on at ``cache.position``, and the cache returned has read them."""

    vocabulary: int  # V
    context: int  # tokens that a row may have
    cache: Callable[[int, int], Cache] | None = None
    """``cache(batch, length) -> cache`` that has read nothing, for rows of at most ``length`` tokens. None:
    the policy reads its whole row for each new token."""

    cache_axis: int = 0  # of the batch in the leaves of a cache's memory
    trainable: Callable[[PyTree], PyTree] = lambda params: jax.tree.map(lambda _: True, params)
    """``trainable(params) -> bools``: which leaves learning may change; the others stay as they are, cost no
    optimiser state and get no gradient."""

    merged: Callable[[PyTree], tuple["TokenPolicy", PyTree]] | None = None
    """``merged(params) -> (policy, params)``: the same distribution without adapters, for whoever asks it
    many times with the same parameters"""

    packed: Callable[..., jax.Array] | None = None
    """``packed(params, tokens int32 [B, S], place int32 [B, S], segment int32 [B, S]) -> logits [B, S, V]``:
    rows that hold several texts. A token sees those of its own segment at no later ``place``, and those of
    segment 0, which all segments continue. None: the policy reads one text per row."""

    title: str = "policy"


def from_flax(
    module: Any, vocabulary: int, context: int, *, title: str = "flax", params: PyTree = None
) -> TokenPolicy:
    """Use a causal language model written in flax (linen, or NNX by its functional API).

    Args:
      module: a linen module ``(tokens [B, L]) -> logits [B, L, V]``, or a pair of functions
        ``(init(key) -> params, apply(params, tokens) -> logits)``, e.g. from ``nnx.split`` and ``nnx.merge``.
      vocabulary: ``V``.
      context: the longest row.
      title: what it is called.
      params: weights to begin with, ``{"params": ...}`` of a linen module; None draws new ones.

    Returns:
      The policy. It has no cache: build a :class:`TokenPolicy` to give it one.

    Raises:
      UsageError: it returns something else, or looks ahead.
    """
    if isinstance(module, tuple):
        first, apply = module
    else:
        first = lambda key: module.init(key, jnp.zeros((1, 2), jnp.int32))
        apply = module.apply
    init = first if params is None else lambda key: params
    logits = lambda params, tokens, cache=None: (apply(params, tokens), None)
    policy = TokenPolicy(init, logits, vocabulary, context, title=title)
    check_policy(policy)
    check_causal(policy)
    return policy


def check_policy(policy: TokenPolicy) -> TokenPolicy:
    """Check that a policy keeps its contract, by shapes alone.

    Raises:
      UsageError: it does not; the message says how.
    """
    if not isinstance(policy, TokenPolicy):
        raise UsageError(f"policy={policy!r:.60}: expected an rlkit.group TokenPolicy; see from_flax")
    vocabulary = check_count("vocabulary", policy.vocabulary, 2)
    length = min(3, check_count("context", policy.context))
    params = jax.eval_shape(policy.init, jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((2, length), jnp.int32)

    def look(cache: Any, what: str) -> Any:
        try:
            found, cache = jax.eval_shape(policy.logits, params, tokens, cache)
        except (TypeError, ValueError) as error:
            reason = str(error).split("\n")[0]
            raise UsageError(f"{policy.title}: logits(params, tokens{what}) fails: {reason}") from error
        shape = getattr(found, "shape", None)
        if shape != (2, length, vocabulary) or not jnp.issubdtype(found.dtype, jnp.floating):
            raise UsageError(
                f"{policy.title}: logits(params, tokens{what}) gives {getattr(found, 'dtype', type(found))}"
                f"{list(shape or ())} for tokens [2, {length}]; expected floats [2, {length}, {vocabulary}]"
            )
        return cache

    look(None, "")
    if policy.cache is not None:
        before = jax.eval_shape(lambda: policy.cache(2, length))
        after = look(before, ", cache")
        if jax.tree.structure(after) != jax.tree.structure(before):
            raise UsageError(f"{policy.title}: logits returns another cache than the one it was given")
    if policy.packed is not None:
        found = jax.eval_shape(policy.packed, params, tokens, tokens, tokens)
        if getattr(found, "shape", None) != (2, length, vocabulary):
            raise UsageError(
                f"{policy.title}: packed gives {getattr(found, 'shape', type(found))} for tokens "
                f"[2, {length}]; expected [2, {length}, {vocabulary}]"
            )
    return policy


def check_causal(policy: TokenPolicy) -> None:
    """Check with fresh parameters that logits depend on no later token.

    Raises:
      UsageError: they do.
    """
    length = min(4, policy.context)
    rows = np.zeros((2, length), np.int32)
    rows[1, -1] = 1
    found, _ = jax.jit(lambda rows: policy.logits(policy.init(jax.random.key(0)), rows, None))(rows)
    if not np.allclose(found[0, :-1], found[1, :-1], atol=1e-5):
        raise UsageError(
            f"{policy.title}: logits change with tokens that come later; a causal mask is missing"
        )
