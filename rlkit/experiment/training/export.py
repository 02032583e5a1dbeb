"""A trained policy as files that act without rlkit: parameters as safetensors, acting as StableHLO."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rlkit import outside
from rlkit.errors import UsageError
from rlkit.experiment.runs import store
from rlkit.paths import named_leaves
from rlkit.types import Agent, PyTree

PARAMETERS, CARRY, ACT, ABOUT = "parameters.safetensors", "carry.safetensors", "act.stablehlo", "policy.json"
PLATFORMS = ("cpu", "cuda", "tpu")

Arrays = dict[str, jax.Array]


def _named(tree: PyTree) -> Arrays:
    """Arrays by dotted names; safetensors has no empty names."""
    return {name or "value": jnp.asarray(leaf) for name, leaf in named_leaves(tree).items()}


def export_policy(
    agent: Agent, policy: PyTree, folder: str | Path, *, platforms: tuple[str, ...] = PLATFORMS
) -> Path:
    """Write a policy to a new folder.

    The folder holds ``parameters.safetensors`` and ``carry.safetensors`` (the memory at the start of an
    episode; no arrays for policies without one), ``act.stablehlo`` and ``policy.json`` (what the spaces are).
    To act one needs jax and safetensors only::

        import pathlib, jax, safetensors.flax as st
        folder = pathlib.Path("policy")
        params, carry = (st.load_file(folder / f"{part}.safetensors") for part in ("parameters", "carry"))
        act = jax.export.deserialize(bytearray((folder / "act.stablehlo").read_bytes())).call
        action, carry = act(params, carry, obs, greedy, seed)  # greedy: bool [], seed: uint32 []

    Args:
      agent: the agent.
      policy: ``agent.policy(state)`` of one seed.
      folder: where to write; it must not exist.
      platforms: what the exported program shall run on.

    Returns:
      The folder.

    Raises:
      UsageError: the folder exists.
      RlkitError: it cannot be written.
    """
    from safetensors.flax import save

    folder = Path(folder)
    if folder.exists():
        raise UsageError(f"{folder} exists; name a folder that does not, nothing is overwritten")
    program = _export(agent, policy, platforms)
    space = agent.env.spec
    about = {
        "env": space.id,
        "observation_space": str(space.observation_space),
        "action_space": str(space.action_space),
        "arguments": "parameters, carry, obs, greedy (bool), seed (uint32)",
        "returns": "action, carry",
        "platforms": list(platforms),
        "jax": jax.__version__,
    }
    with outside.at(folder, "write"), store.whole_folder(folder) as part:
        (part / PARAMETERS).write_bytes(save(_named(policy)))  # readable for whom the others are
        (part / CARRY).write_bytes(save(_named(agent.carry())))
        (part / ACT).write_bytes(program)
        (part / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
    return folder


def _export(agent: Agent, policy: PyTree, platforms: tuple[str, ...]) -> bytes:
    """The serialised program ``act(parameters, carry, obs, greedy, seed) -> (action, carry)``."""
    params_tree, carry_tree = jax.tree.structure(policy), jax.tree.structure(agent.carry())
    params, carry = _named(policy), _named(agent.carry())

    def act(params: Arrays, carry: Arrays, obs: jax.Array, greedy: jax.Array, seed: jax.Array):
        # The dictionaries come in any order; the names of the example give that of the leaves.
        policy = params_tree.unflatten([params[name] for name in names])
        memory = carry_tree.unflatten([carry[name] for name in carry_names])
        key = jax.random.key(seed)
        chosen = agent.act(policy, memory, obs, None)[:2]
        sampled = agent.act(policy, memory, obs, key)[:2]
        action, memory = jax.tree.map(lambda a, b: jnp.where(greedy, a, b), chosen, sampled)
        return action, _named(memory)

    names, carry_names = tuple(params), tuple(carry)
    obs = agent.env.spec.observation_space
    example = jax.ShapeDtypeStruct(obs.shape, np.dtype(obs.dtype))
    scalar = lambda dtype: jax.ShapeDtypeStruct((), dtype)
    exported = jax.export.export(jax.jit(act), platforms=platforms)(
        params, carry, example, scalar(jnp.bool_), scalar(jnp.uint32)
    )
    return bytes(exported.serialize())
