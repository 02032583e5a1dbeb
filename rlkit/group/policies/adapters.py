"""Policies that begin with given parameters, and policies of which a part learns: chosen parameters, or small
matrices beside frozen ones (LoRA)."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, check_count, unknown_name
from rlkit.group.policies.protocol import Cache, TokenPolicy
from rlkit.paths import dotted, named_leaves
from rlkit.products import matmul
from rlkit.types import Key, PyTree


def with_params(policy: TokenPolicy, params: PyTree) -> TokenPolicy:
    """A policy that begins with given parameters, such as those that an earlier training gave.

    Args:
      policy: the policy.
      params: its parameters; wherever they are, the new policy's are free to go to any device.

    Raises:
      UsageError: they are not those of the policy, by structure or shapes.
    """
    own = jax.eval_shape(policy.init, jax.random.key(0))
    shapes = lambda tree: {name: jnp.shape(leaf) for name, leaf in named_leaves(tree).items()}
    if shapes(own) != shapes(params):
        wanted, given = shapes(own), shapes(params)
        name = next(n for n in [*wanted, *given] if wanted.get(n) != given.get(n))
        raise UsageError(
            f"params are not those of {policy.title}: {name} has shape {given.get(name)}, expected "
            f"{wanted.get(name)}"
        )
    begun = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), params)
    return policy._replace(init=lambda key: begun)


def train_only(policy: TokenPolicy, *names: str) -> TokenPolicy:
    """A policy of which only some parameters learn.

    Args:
      policy: the policy.
      *names: parts of paths: a leaf learns if one of the names is a part of its path, e.g. ``"norm"``.

    Raises:
      UnknownNameError: a name is part of no path; the message suggests the nearest one.
    """
    shapes = jax.eval_shape(policy.init, jax.random.key(0))
    known = {part for path in named_leaves(shapes) for part in path.split(".")}
    for name in names:
        if name not in known:
            raise unknown_name("parameter", name, known, where=f"of {policy.title}")

    def trainable(params: PyTree) -> PyTree:
        chosen = lambda path, _: bool(set(names) & set(dotted(path).split(".")))
        return jax.tree_util.tree_map_with_path(chosen, params)

    return policy._replace(trainable=trainable)


def lora(
    policy: TokenPolicy, rank: int = 8, alpha: float = 16.0, targets: tuple[str, ...] = ("kernel",)
) -> TokenPolicy:
    """A policy whose matrices are frozen, each with a product of two small ones that learn (2106.09685).

    A matrix ``W [..., in, out]`` becomes ``W + alpha / rank * down [..., in, rank] @ up [..., rank, out]``,
    with ``up = 0`` at the start, so that the policy begins as it is. The sum is formed whenever the policy is
    asked, so that any policy can be adapted; the gradient of a whole matrix is formed on the way.

    Args:
      policy: the policy; its parameters become ``{"base": ..., "adapter": ...}``.
      rank: of the products.
      alpha: scale of the products.
      targets: parts of the paths of the matrices that are adapted.

    Raises:
      UnknownNameError: a target is part of no path.
      UsageError: no target is a matrix, or the rank is none.
    """
    check_count("rank", rank)
    leaves = named_leaves(jax.eval_shape(policy.init, jax.random.key(0)))
    known = {part for path in leaves for part in path.split(".")}
    for name in targets:
        if name not in known:
            raise unknown_name("parameter", name, known, where=f"of {policy.title}")
    chosen = {
        path: leaf.shape
        for path, leaf in leaves.items()
        if leaf.ndim >= 2 and set(targets) & set(path.split("."))
    }
    if not chosen:
        raise UsageError(f"targets={targets!r}: {policy.title} has no matrices of these names")

    def init(key: Key) -> PyTree:
        base, rest = jax.random.split(key)
        adapter = {}
        for i, (name, shape) in enumerate(chosen.items()):
            one = jax.random.fold_in(rest, i)
            down = jax.random.normal(one, (*shape[:-1], rank)) / math.sqrt(shape[-2])
            adapter[name] = {"down": down, "up": jnp.zeros((*shape[:-2], rank, shape[-1]))}
        return {"base": policy.init(base), "adapter": adapter}

    def merged(params: PyTree) -> PyTree:
        def add(path: tuple, leaf: jax.Array) -> jax.Array:
            small = params["adapter"].get(dotted(path))
            return leaf if small is None else leaf + alpha / rank * matmul(small["down"], small["up"])

        return jax.tree_util.tree_map_with_path(add, params["base"])

    def logits(params: PyTree, tokens: jax.Array, cache: Cache | None = None):
        return policy.logits(merged(params), tokens, cache)

    def trainable(params: PyTree) -> PyTree:
        fixed = jax.tree.map(lambda _: False, params["base"])
        return {"base": fixed, "adapter": jax.tree.map(lambda _: True, params["adapter"])}

    def packed(params: PyTree, *rows: jax.Array) -> jax.Array:
        assert policy.packed is not None
        return policy.packed(merged(params), *rows)

    return policy._replace(
        init=init,
        logits=logits,
        packed=packed if policy.packed else None,
        trainable=trainable,
        merged=lambda params: (policy, merged(params)),
        title=f"{policy.title}, LoRA {rank}",
    )
