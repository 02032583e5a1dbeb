"""One item type for answers, reasoning chains, trajectory segments and paths; batches of judgements on them.

An item is a padded sequence of feature vectors or of tokens. All leaves have the batch as their first axis.
Functions of a batch build the NamedTuples directly; the constructors here (lower case) are for data that
comes from outside, and check it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, check_count
from rlkit.prefs.checks import axes, in_range, known, same_shape
from rlkit.types import Key, PyTree


class Segment(NamedTuple):
    """Items: sequences side by side, of unequal length."""

    feats: jax.Array
    """Float ``[B, T, D]``: features of each step (an embedded token, an observation beside an action); or
    integer ``[B, T]``: tokens."""

    mask: jax.Array
    """Bool ``[B, T]``: which steps there are. What stands elsewhere is never read."""

    @property
    def length(self) -> jax.Array:
        """Number of steps of each item, int32 ``[B]``."""
        return jnp.sum(self.mask, -1, dtype=jnp.int32)


class PairBatch(NamedTuple):
    """Comparisons of two items."""

    first: Segment
    second: Segment
    label: jax.Array  # float32 [B]: probability that the first is preferred; 1, 0, 1/2 for a tie, or soft
    weight: jax.Array  # float32 [B]: of each comparison in the loss
    aspect: jax.Array  # int32 [B]: in which respect they were compared
    user: jax.Array  # int32 [B]: who compared


class PointBatch(NamedTuple):
    """Judgements of single items, of which some were given."""

    item: Segment
    label: jax.Array  # float32 [B]: the feedback; any number where there was none
    observed: jax.Array  # float32 [B]: 1 where feedback was given, else 0
    propensity: jax.Array  # float32 [B]: probability that it was


class StepBatch(NamedTuple):
    """Judgements of the steps of items."""

    item: Segment
    label: jax.Array  # float32 [B, T]: probability that the step is right
    label_mask: jax.Array  # bool [B, T]: where there is a label
    outcome: jax.Array  # float32 [B]: whether the whole item is right


class RewardOut(NamedTuple):
    """What a reward model says of items; what a head does not give is None."""

    total: jax.Array  # float32 [B]: the reward of the item (a logit, where it is compared)
    step: jax.Array | None = None  # float32 [B, T]: of each step, 0 where there is none
    log_std: jax.Array | None = None  # float32 [B]: log standard deviation of `total`
    aspects: jax.Array | None = None  # float32 [B, K]: of each aspect
    aspects_log_std: jax.Array | None = None  # float32 [B, K]
    extras: dict[str, jax.Array] = {}  # noqa: RUF012 (never changed) what else the head reports, by name


Scorer = Callable[[PyTree, Segment], RewardOut]
"""``scorer(params, item) -> RewardOut``."""


class RewardModel(NamedTuple):
    """A reward model as pure functions; ``jax.vmap(model.init)(keys)`` is an ensemble or a population."""

    init: Callable[[Key], PyTree]
    """``init(key) -> params``"""

    apply: Scorer
    """``apply(params, item) -> RewardOut``"""


def segment(feats: Any, mask: Any = None) -> Segment:
    """Items from arrays.

    Args:
      feats: float ``[B, T, D]`` or integer ``[B, T]``.
      mask: bool ``[B, T]``; None: every step is there.

    Raises:
      UsageError: another number of axes, a mask of another shape or dtype, an item without any step, features
        of steps that are not finite, or tokens below 0 or beyond int32.
    """
    feats = _array("segment: feats", feats)
    tokens = jnp.issubdtype(feats.dtype, jnp.integer)
    ndim, wanted = (2, "integer [B, T]") if tokens else (3, "float [B, T, D], or integers [B, T]")
    shape = axes("segment", "feats", feats, ndim, wanted)
    mask = jnp.ones(shape[:2], bool) if mask is None else jnp.asarray(mask)
    if mask.dtype != jnp.bool_:
        raise UsageError(f"segment: mask is {mask.dtype}; expected bool: compare, or use .astype(bool)")
    if mask.shape != shape[:2]:
        raise UsageError(f"segment: mask has shape {mask.shape}; expected {shape[:2]}, as feats has")
    there, values = known(mask), known(feats)
    if tokens and there is not None and values is not None:  # before they are cut to 32 bits
        in_range("segment", "feats", np.where(there, values, 0), 0, np.iinfo(np.int32).max)
    feats = jnp.asarray(feats).astype(jnp.int32 if tokens else jnp.float32)
    there, values = known(mask), known(feats)
    if there is not None and not there.any(-1).all():
        raise UsageError(f"segment: item {int(np.argmin(there.any(-1)))} has no step; leave it out")
    if there is not None and values is not None and not np.isfinite(values[there]).all():
        raise UsageError("segment: feats has entries that are not finite where mask is true")
    return Segment(feats, mask)


def _array(where: str, given: Any) -> Any:
    """What was given as an array; ``where`` begins the message.

    Raises:
      UsageError: it is none, e.g. a list of items of unequal length.
    """
    if isinstance(given, jax.Array | np.ndarray):
        return given
    try:
        array = np.asarray(given)
    except ValueError:  # rows of unequal length
        array = None
    if array is None or array.dtype.kind not in "biuf":
        raise UsageError(
            f"{where}={given!r:.60} is no array of numbers; give items of unequal length as pad([...])"
        )
    return array


def pad(items: Sequence[Any], length: int | None = None) -> Segment:
    """Items of unequal length side by side, on the host.

    Args:
      items: arrays ``[T_i, D]``, or ``[T_i]`` of tokens.
      length: of the padded sequences; None: that of the longest.

    Raises:
      UsageError: no items, an item longer than ``length``, or arrays of different kinds.
    """
    if not isinstance(items, Sequence | np.ndarray | jax.Array) or isinstance(items, str):
        raise UsageError(f"pad: items={items!r:.60}; expected a list of arrays [T, D], or [T] of tokens")
    arrays = [np.asarray(_array(f"pad: items[{i}]", item)) for i, item in enumerate(items)]
    flat = next((i for i, a in enumerate(arrays) if a.ndim not in (1, 2)), None)
    if flat is not None:
        raise UsageError(f"pad: items[{flat}] has shape {arrays[flat].shape}; expected [T, D] or [T]")
    if not arrays:
        raise UsageError("pad: items is empty; expected at least one array [T, D], or [T] of tokens")
    if len({(a.shape[1:], np.issubdtype(a.dtype, np.integer)) for a in arrays}) > 1:
        raise UsageError(f"pad: items of shapes {sorted({a.shape for a in arrays})}: features differ")
    longest = max(len(a) for a in arrays)
    length = longest if length is None else check_count("length", length)
    if longest > length:
        raise UsageError(f"pad: length={length}: an item has {longest} steps; cut it, or give more")
    feats = np.zeros((len(arrays), length, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, a in zip(feats, arrays, strict=True):
        row[: len(a)] = a
    return segment(feats, np.arange(length) < np.array([[len(a)] for a in arrays]))


def pairs(
    first: Any, second: Any, label: Any, weight: Any = None, aspect: Any = None, user: Any = None
) -> PairBatch:
    """A set of comparisons from data.

    Args:
      first: :class:`Segment`, or features ``[B, T, D]`` or tokens ``[B, T]`` all of whose steps are there.
      second: the same. Segments of unequal padding are padded to one.
      label: ``[B]``: probability that the first is preferred, 1/2 for a tie.
      weight: ``[B]``, not negative; None: 1 each.
      aspect: integer ``[B]``; None: 0, one aspect.
      user: integer ``[B]``; None: 0, one user.

    Raises:
      UsageError: arrays of unequal length without masks, labels outside [0, 1], ties alone (they say nothing
        of which reward is right, except that none differs), negative weights, or shapes that do not agree.
    """
    first, second = (x if isinstance(x, Segment) else _array("pairs: items", x) for x in (first, second))
    lengths = [x.shape[1] for x in (first, second) if not isinstance(x, Segment) and x.ndim > 1]
    if len(set(lengths)) > 1:
        raise UsageError(
            f"pairs: first has {lengths[0]} steps and second {lengths[1]}, without masks: "
            "give each as pad([...]) or segment(feats, mask)"
        )
    first, second = (segment(*x) if isinstance(x, Segment) else segment(x) for x in (first, second))
    if first.feats.shape[2:] != second.feats.shape[2:] or first.feats.ndim != second.feats.ndim:
        raise UsageError(
            f"pairs: feats of shapes {first.feats.shape} and {second.feats.shape}: expected items of one kind"
        )
    length = max(first.mask.shape[1], second.mask.shape[1])
    first, second = lengthened(first, length), lengthened(second, length)
    label = jnp.asarray(_array("pairs: label", label), jnp.float32)
    count = axes("pairs", "label", label, 1, "[B]")
    if first.mask.shape[:1] != count or second.mask.shape[:1] != count:
        raise UsageError(
            f"pairs: {len(first.mask)} first and {len(second.mask)} second items for {count[0]} labels; "
            "expected as many of each"
        )
    if not count[0]:
        raise UsageError("pairs: there are no comparisons; expected at least one")
    in_range("pairs", "label", label, 0.0, 1.0, hint="it is the probability that the first is preferred")
    values = known(label)
    if values is not None and values.size and np.all(values == 0.5):
        raise UsageError(
            "pairs: every label is 1/2: ties alone do not say which items are better; "
            "expected at least one comparison that was decided"
        )
    weight = jnp.ones(count) if weight is None else jnp.asarray(weight, jnp.float32)
    in_range("pairs", "weight", weight, 0.0, float(np.finfo(np.float32).max))
    values = known(weight)
    if values is not None and not values.any():
        raise UsageError("pairs: every weight is 0: no comparison counts; expected a positive one")
    aspect, user = (_numbers(name, x, count) for name, x in (("aspect", aspect), ("user", user)))
    same_shape("pairs", label=label, weight=weight, aspect=aspect, user=user)
    return PairBatch(first, second, label, weight, aspect, user)


def _numbers(name: str, given: Any, count: tuple[int, ...]) -> jax.Array:
    """Integers that name something; 0 where nothing is given."""
    numbers = jnp.zeros(count, jnp.int32) if given is None else jnp.asarray(given)
    if not jnp.issubdtype(numbers.dtype, jnp.integer):
        raise UsageError(f"pairs: {name} is {numbers.dtype}; expected integers [B]")
    in_range("pairs", name, numbers, 0, np.iinfo(np.int32).max)
    return numbers.astype(jnp.int32)


def points(item: Any, label: Any, observed: Any = None, propensity: Any = None) -> PointBatch:
    """A set of judgements of single items from data.

    Args:
      item: :class:`Segment`, or features ``[B, T, D]`` or tokens ``[B, T]``.
      label: ``[B]``, finite where observed.
      observed: ``[B]`` of 0 and 1, or bool; None: all are.
      propensity: ``[B]`` in (0, 1]; None: 1 each.

    Raises:
      UsageError: a propensity of 0 (no weight makes up for what is never observed), or of another range;
        shapes that do not agree; a label that is not finite where it was observed.
    """
    item = segment(*item) if isinstance(item, Segment) else segment(item)
    label = jnp.asarray(label, jnp.float32)
    observed = jnp.ones_like(label) if observed is None else jnp.asarray(observed, jnp.float32)
    propensity = jnp.ones_like(label) if propensity is None else jnp.asarray(propensity, jnp.float32)
    same_shape("points", label=label, observed=observed, propensity=propensity, item=item.mask[:, 0])
    check_propensity("points", propensity)
    seen, values = known(observed), known(label)
    if seen is not None and not np.isin(seen, (0, 1)).all():
        raise UsageError("points: observed has entries other than 0 and 1")
    if seen is not None and values is not None and not np.isfinite(values[seen == 1]).all():
        raise UsageError("points: label has entries that are not finite where observed")
    return PointBatch(item, jnp.where(observed > 0, label, 0.0), observed, propensity)


def check_propensity(where: str, propensity: Any) -> None:
    """Raise unless known propensities are in (0, 1].

    Raises:
      UsageError: one is not.
    """
    values = known(propensity)
    if values is not None and values.size and not ((values > 0) & (values <= 1)).all():
        bad = values[~((values > 0) & (values <= 1))][0]
        raise UsageError(
            f"{where}: propensity has the entry {bad}: expected probabilities above 0 and up to 1: "
            "what is never observed cannot be weighted; clip them, e.g. jnp.clip(propensity, 0.05, 1.0)"
        )


def steps(item: Any, label: Any, label_mask: Any = None, outcome: Any = None) -> StepBatch:
    """A set of judgements of steps from data.

    Args:
      item: :class:`Segment`, or features ``[B, T, D]`` or tokens ``[B, T]``.
      label: ``[B, T]``: probability that the step is right.
      label_mask: bool ``[B, T]``; None: every step of the item has a label. Steps that are not there never
        do.
      outcome: ``[B]`` in [0, 1]; None: 1 where all labels are above 1/2.

    Raises:
      UsageError: labels outside [0, 1] where there are any, no label at all, or shapes that do not agree.
    """
    item = segment(*item) if isinstance(item, Segment) else segment(item)
    label_mask = item.mask if label_mask is None else jnp.asarray(label_mask, bool) & item.mask
    label = jnp.asarray(label, jnp.float32)
    same_shape("steps", label=label, label_mask=label_mask, item=item.mask)
    there = known(label_mask)
    if there is not None and not there.any():
        raise UsageError("steps: label_mask leaves no label; expected at least one")
    label = jnp.where(label_mask, label, 0.0)
    in_range("steps", "label", label, 0.0, 1.0, hint="it is the probability that the step is right")
    right = jnp.all((label > 0.5) | ~label_mask, -1)
    outcome = right.astype(jnp.float32) if outcome is None else jnp.asarray(outcome, jnp.float32)
    same_shape("steps", outcome=outcome, item=item.mask[:, 0])
    in_range("steps", "outcome", outcome, 0.0, 1.0)
    return StepBatch(item, label, label_mask, outcome)


def lengthened(item: Segment, length: int) -> Segment:
    """The item padded to ``length`` steps; one that has as many is returned as it is."""
    more = length - item.mask.shape[1]
    if not more:
        return item
    grown = lambda x: jnp.pad(x, [(0, 0), (0, more), *[(0, 0)] * (x.ndim - 2)])
    return Segment(grown(item.feats), grown(item.mask))


def take(batch: Any, index: jax.Array | slice) -> Any:
    """Some rows of a batch of any of these types: every leaf indexed by ``index`` along its first axis."""
    return jax.tree.map(lambda x: x[index], batch)


def swapped(batch: PairBatch) -> PairBatch:
    """The same comparisons with first and second exchanged."""
    return batch._replace(first=batch.second, second=batch.first, label=1.0 - batch.label)
