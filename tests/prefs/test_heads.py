"""Heads: what there is of an item decides, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.prefs import ensemble, heads, pad, reward_model
from rlkit.prefs.heads import Backbone
from rlkit.prefs.types import RewardOut, Segment

RNG = np.random.default_rng(0)
LENGTHS = (6, 3, 1, 5)
ITEM = pad([RNG.normal(size=(n, 3)).astype(np.float32) for n in LENGTHS], 8)
SMALL, MEMORY = Backbone(sizes=(8,)), Backbone("gru", (8,))
TOOL = lambda item: (jnp.sum(jnp.where(item.mask[..., None], item.feats, 0.0), 1)[:, :2], item.length > 1)
HEADS = {
    "sum": heads.OutcomeHead(SMALL),
    "last": heads.OutcomeHead(MEMORY, "last"),
    "attn": heads.OutcomeHead(SMALL, "attn"),
    "process": heads.ProcessHead(MEMORY),
    "both": heads.BidirectionalProcess(MEMORY),
    "layers": heads.LayerQueryHead((SMALL, SMALL), 2),
    "aspects": heads.AspectHead(3, SMALL, gaussian=True),
    "tools": heads.ToolHead((TOOL,), SMALL, (8,), call=True),
}


def shuffled(item, fill):
    """The steps in the same order, at other places, with other things between them."""
    feats, mask = np.full_like(item.feats, fill), np.zeros_like(item.mask)
    for row, there in enumerate(np.asarray(item.mask)):
        places = np.sort(np.random.default_rng(row).choice(len(there), there.sum(), replace=False))
        feats[row, places], mask[row, places] = np.asarray(item.feats)[row, there], True
    return Segment(jnp.asarray(feats), jnp.asarray(mask))


@pytest.fixture(scope="module")
def scored():
    """Every head on the items, on the same items padded otherwise, with gradients, in one program."""
    models = {name: reward_model(head, ITEM) for name, head in HEADS.items()}
    params = jax.jit(lambda: {name: model.init(k) for k, (name, model) in enumerate(models.items())})()
    other = shuffled(ITEM, np.nan)

    def everything(feats):
        return {name: model.apply(params[name], ITEM._replace(feats=feats)) for name, model in models.items()}

    def totals(feats):
        return jnp.stack([jnp.sum(out.total) for out in everything(feats).values()])

    def run(feats, moved):
        again = {name: model.apply(params[name], moved) for name, model in models.items()}
        ahead = jax.jacrev(lambda f: {k: everything(f)[k].step[0, 3] for k in ("process", "both")})(feats)
        return everything(feats), again, jax.jacrev(totals)(feats), ahead

    poisoned = jnp.where(ITEM.mask[..., None], ITEM.feats, jnp.nan)
    return (*jax.jit(run)(poisoned, other), other)


def test_padding_changes_nothing(scored):
    one, two, other = scored[0], scored[1], scored[-1]
    for name in HEADS:
        a, b = one[name], two[name]
        np.testing.assert_allclose(a.total, b.total, rtol=1e-5, atol=1e-6, err_msg=name)
        if a.step is not None:
            np.testing.assert_allclose(a.step[ITEM.mask], b.step[other.mask], rtol=1e-5, atol=1e-6)
            assert np.all(a.step[~ITEM.mask] == 0)


def test_padded_steps_have_no_gradient_and_others_do(scored):
    slope = np.asarray(scored[2])  # [head, B, T, D]
    assert np.isfinite(slope).all()
    assert np.all(slope[:, ~ITEM.mask] == 0)
    assert np.all(np.abs(slope[:, 0]).sum((1, 2)) > 0)


def test_shapes_of_what_heads_say(scored):
    for name, out in scored[0].items():
        assert isinstance(out, RewardOut)
        assert out.total.shape == (4,), name
        assert np.isfinite(out.total).all()
    assert scored[0]["aspects"].aspects_log_std.shape == (4, 3)
    assert np.all((scored[0]["tools"].extras["call"] > 0) & (scored[0]["tools"].extras["call"] < 1))


def test_a_sum_of_steps_is_one(scored):
    out = scored[0]["sum"]
    np.testing.assert_allclose(out.total, out.step.sum(1), rtol=1e-5)


def test_bidirectional_scores_are_those_of_two_readings(scored):
    out = scored[0]["both"]
    gate, mask = out.extras["gate"], ITEM.mask
    mixed = gate * out.extras["forward"] + (1 - gate) * out.extras["backward"]
    np.testing.assert_allclose(out.step, np.where(mask, mixed, 0), rtol=1e-5, atol=1e-7)


def test_a_causal_process_head_does_not_look_ahead_and_a_bidirectional_one_does(scored):
    for name, causal in (("process", True), ("both", False)):
        change = np.abs(scored[3][name][0]).sum(-1)  # of the step 3 of the first item, by what each step is
        assert np.all(change[4:] == 0) == causal
        assert np.all(change[:4] > 0)


def test_tokens_and_members_of_an_ensemble():
    tokens = pad([[1, 4, 2], [3, 3]])
    head = heads.OutcomeHead(Backbone("gru", (8,), vocabulary=5, embedding=4), "mean")
    group = ensemble(reward_model(head, tokens), 3)
    params = group.init(0)
    total = np.asarray(group.apply(params, tokens).total)
    assert total.shape == (3, 2)
    assert len(np.unique(total[:, 0])) == 3
    one = reward_model(head, tokens)
    alone = one.apply(jax.tree.map(lambda x: x[1], params), tokens).total
    np.testing.assert_allclose(alone, total[1], rtol=1e-5, atol=1e-6)


def test_gradients_do_not_enter_tools():
    weight = jnp.ones(())

    def total(w):
        head = heads.ToolHead((lambda item: (w * item.feats[:, 0, :2], item.mask[:, 0]),), SMALL, (8,))
        model = reward_model(head, ITEM)
        return jnp.sum(model.apply(model.init(0), ITEM).total)

    assert jax.grad(total)(weight) == 0.0


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (heads.OutcomeHead(SMALL, "men"), "did you mean 'mean'"),
        (heads.BidirectionalProcess(MEMORY, "mpl"), "did you mean 'mlp'"),
        (heads.ProcessHead(SMALL, "minn"), "did you mean 'min'"),
        (heads.ToolHead((), SMALL), "tools is empty"),
        (heads.ToolHead((lambda item: (item.feats, item.mask),), SMALL), "expected \\[B, E\\]"),
        (heads.LayerQueryHead((SMALL, MEMORY), 3), "divisor of the width 8"),
        (heads.LayerQueryHead((SMALL, Backbone(sizes=(4,))), 2), "one width"),
        (heads.OutcomeHead(Backbone(vocabulary=4)), "vocabulary=4"),
    ],
)
def test_bad_heads_are_told(head, words):
    with pytest.raises(UsageError, match=words):
        reward_model(head, ITEM)


def test_tokens_need_a_vocabulary():
    with pytest.raises(UsageError, match="vocabulary"):
        reward_model(heads.OutcomeHead(), pad([[1, 2]]))
    with pytest.raises(UsageError, match="token 9, the backbone has vocabulary=4"):
        reward_model(heads.OutcomeHead(Backbone(vocabulary=4)), pad([[1, 9]]))
