"""One reward that pays by any genome of a schema: the genome is its parameters, so one program trains all."""

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.design.genome import Arrays, Schema, encode
from rlkit.design.terms import FAR, GATES, KINDS, NAMES, Sight
from rlkit.types import Key, PyTree, Reward, Transition


def genome_reward(schema: Schema) -> Reward:
    """The reward that interprets genomes.

    Args:
      schema: what genomes may contain. Only measures, kinds and gates of it are compiled.

    Returns:
      The reward. Its parameters are :class:`rlkit.design.genome.Arrays`, by default those of the empty
      genome; its terms ``slot0``, ``slot1`` ... sum to it. Memory, where the schema needs it, belongs to
      an episode.
    """
    slots, size = schema.slots, len(schema.action_bound)
    bound = np.asarray(schema.action_bound, np.float32)
    fresh = {
        "latch": jnp.zeros(slots, bool),
        "best": jnp.full(slots, FAR, jnp.float32),
        "open": jnp.zeros(slots, bool),
        "action": jnp.zeros(size, jnp.float32),
    }

    def init(key: Key) -> PyTree:
        return fresh if schema.remembers else ()

    def apply(memory: PyTree, t: Transition, genome: Arrays) -> tuple[PyTree, jax.Array, dict]:
        if schema.remembers:
            memory = jax.tree.map(lambda new, old: jnp.where(t.first, new, old), fresh, memory)
        before = jnp.stack([m.read(t.features) for m in schema.measures])
        after = jnp.stack([m.read(t.next_features) for m in schema.measures])
        action = t.action.astype(jnp.float32).reshape(-1) / bound if size else jnp.zeros(0)
        was = memory if schema.remembers else fresh
        distance = lambda x: jnp.abs(x[genome.field] - genome.target) / genome.scale
        square = lambda a: jnp.mean(jnp.square(a)) if size else jnp.zeros(())
        holds = lambda x: jnp.abs(x[genome.gate_field] - genome.gate_target) <= genome.gate_scale
        stays = was["open"] | holds(after)
        now = _open(genome.gate, holds(after), stays)
        sight = Sight(
            d=distance(before),
            e=distance(after),
            y=after[genome.field] / genome.scale,
            discount=schema.discount,
            done=t.terminated.astype(jnp.float32),
            latch=was["latch"],
            best=was["best"],
            effort=square(action),
            jerk=square(action - was["action"]),
            was=_open(genome.gate, holds(before), was["open"]),
            now=now,
        )
        value = jnp.where(now | _inside(genome.kind), _values(sight, genome.kind, schema), 0.0)
        value = (genome.weight * value).astype(t.reward.dtype)
        terms = {f"slot{i}": value[i] for i in range(slots)}
        new = {
            "latch": sight.latch | (sight.e <= 1.0),
            "best": jnp.minimum(jnp.minimum(sight.best, sight.d), sight.e),
            "open": stays,
            "action": action,
        }
        return (new if schema.remembers else ()), jnp.sum(value), terms

    return Reward(init, apply, jax.tree.map(jnp.asarray, encode((), schema)))


def _values(sight: Sight, kind: jax.Array, schema: Schema) -> jax.Array:
    """The term of each slot, ``[slots]``: all kinds are computed, which is cheap, and one is taken."""
    out = jnp.zeros(kind.shape, jnp.float32)
    for name in schema.kinds:
        out = jnp.where(kind == NAMES.index(name), KINDS[name].value(sight), out)
    return out


def _open(gate: jax.Array, holds: jax.Array, held: jax.Array) -> jax.Array:
    """Whether the gate of each slot is open, bool ``[slots]``; ``held``: whether it ever held so far."""
    of = lambda name: gate == GATES.index(name)
    return of("always") | (of("while") & holds) | (of("unless") & ~holds) | (of("after") & held)


def _inside(kind: jax.Array) -> jax.Array:
    """Whether the gate of each slot belongs to its potential, bool ``[slots]``."""
    return jnp.isin(kind, jnp.array([i for i, name in enumerate(NAMES) if KINDS[name].inside]))
