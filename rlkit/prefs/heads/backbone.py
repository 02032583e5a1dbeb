"""What heads see of an item: a vector for each step, from the torsos that agents use."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.networks import ACTIVATIONS, TORSOS
from rlkit.prefs.sequences import blanked, reordered, to_front
from rlkit.prefs.types import Segment
from rlkit.products import PRECISIONS


class Backbone(nn.Module):
    """``Segment -> h [B, T, sizes[-1]]``, zeros where there is no step.

    Attributes:
      torso: ``"mlp"`` (each step by itself) or ``"gru"`` (each step knows those before it).
      sizes: layer sizes.
      activation: name in :data:`rlkit.networks.ACTIVATIONS`.
      layer_norm: normalise the layers.
      vocabulary: number of tokens; None: items are features.
      embedding: size of the embedding of a token.
      precision: of all products, one of :data:`rlkit.products.PRECISIONS`; what heads make of ``h`` is
        float32.
    """

    torso: str = "mlp"
    sizes: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    layer_norm: bool = False
    vocabulary: int | None = None
    embedding: int = 32
    precision: str = "float32"

    def __post_init__(self) -> None:
        for what, name, table in (
            ("torso", self.torso, ("mlp", "gru")),
            ("activation", self.activation, ACTIVATIONS),
            ("precision", self.precision, PRECISIONS),
        ):
            if name not in table:
                raise unknown_name(what, name, table)
        super().__post_init__()

    @nn.compact
    def __call__(self, item: Segment, flag: float | None = None) -> jax.Array:
        """``flag``: a number that every step gets as one more feature; None: no such feature."""
        x = self._features(blanked(item))
        if flag is not None:
            x = jnp.concatenate([x, jnp.full_like(x[..., :1], flag)], -1)
        torso = TORSOS[self.torso](self.sizes, self.activation, self.layer_norm, self.precision)
        if self.torso == "gru":
            # the memory must pass over steps that are not there: they go behind the others
            index, inverse = to_front(item.mask)
            h = reordered(self._unroll(torso, reordered(x, index)), inverse)
        else:
            h = torso(torso.memory(), x)[1]
        return jnp.where(item.mask[..., None], h, 0.0)

    def _features(self, item: Segment) -> jax.Array:
        if self.vocabulary is None:
            return item.feats.astype(jnp.float32)
        return nn.Embed(self.vocabulary, self.embedding, name="tokens")(item.feats)

    def _unroll(self, torso: nn.Module, x: jax.Array) -> jax.Array:
        carry = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(x), *leaf.shape)), torso.memory())
        first = jnp.zeros(x.shape[1::-1], bool)
        return jnp.swapaxes(torso.unroll(carry, jnp.swapaxes(x, 0, 1), first)[1], 0, 1)
