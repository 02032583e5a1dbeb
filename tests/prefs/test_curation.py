"""Masks, weights and labels against NumPy and by their properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from processes import tolerance

from rlkit.errors import UsageError
from rlkit.prefs import curation

RNG = np.random.default_rng(0)


def test_the_share_that_is_kept_is_exact_and_static():
    loss = RNG.normal(size=37).astype(np.float32)
    valid = np.arange(37) < 30
    kept = jax.jit(jax.vmap(lambda r: curation.small_loss_mask(loss, r, valid)))(
        jnp.array([0.0, 0.1, 0.6, 1.0])
    )
    assert kept.sum(1).tolist() == [0, 3, 18, 30]
    worst_kept = np.where(kept[2], loss, -np.inf).max()
    assert np.all(loss[valid & ~np.asarray(kept[2])] > worst_kept)
    equal = curation.small_loss_mask(jnp.zeros(10), 0.35)
    assert equal.tolist() == [True] * 4 + [False] * 6
    rates = curation.keep_rate(jnp.array([0, 50, 100, 900]), 0.4, 100)
    np.testing.assert_allclose(rates, [1.0, 0.8, 0.6, 0.6], rtol=1e-6)


def test_peers_learn_from_what_the_other_finds_easy():
    a, b = jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.array([4.0, 3.0, 2.0, 1.0])
    for_a, for_b = curation.peer_masks(a, b, 0.5)
    assert for_a.tolist() == [False, False, True, True]
    assert for_b.tolist() == [True, True, False, False]


def test_agreement_keeps_flips_or_leaves_undecided():
    margins = jnp.array([[3.0, -3.0, 3.0, -0.1], [2.0, -2.0, -3.0, -4.0]])
    label = jnp.array([1.0, 1.0, 1.0, 1.0])
    found = curation.agreement_filter(margins, label, 0.6)
    assert np.sum(np.stack(found), 0).tolist() == [1, 1, 1, 1]
    assert found.keep.tolist() == [True, False, False, False]
    assert found.flip.tolist() == [False, True, False, False]
    turned, weight = curation.recycle_flips(label, found)
    assert turned.tolist() == [1, 0, 1, 1]
    assert weight.tolist() == [1, 1, 0, 0]
    assert curation.recycle_flips(label, found, flip=False)[1].tolist() == [1, 0, 0, 0]
    mirrored = curation.agreement_filter(-margins, 1 - label, 0.6)
    assert np.array_equal(np.stack(mirrored), np.stack(found))


def test_budgets_and_neighbours():
    assert curation.retrieval_budget(jnp.array([0.1, 0.5, 0.51, 0.9, 1.0])).tolist() == [8, 8, 4, 1, 0]
    query, pool = RNG.normal(size=(3, 4)), RNG.normal(size=(9, 4))
    index, valid = curation.knn_retrieve(jnp.asarray(query), jnp.asarray(pool), jnp.array([2, 0, 3]), 3)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    wanted = np.argsort(-unit(query) @ unit(pool).T, 1)[:, :3]
    assert np.array_equal(index, wanted)
    assert valid.sum(1).tolist() == [2, 0, 3]


def test_crossed_pairs_compare_passes_with_fails_and_passes():
    passed = RNG.uniform(size=20) < 0.4
    pairs = curation.cross_pairs(0, jnp.asarray(passed), 2000, 0.25)
    tie = np.asarray(pairs.label) == 0.5
    assert passed[pairs.first].all()
    assert np.array_equal(passed[pairs.second], tie)
    assert np.all(pairs.first[tie] != pairs.second[tie])
    assert abs(tie.mean() - 0.25) < 0.04
    assert len(np.unique(pairs.second[~tie])) == (~passed).sum()


def test_ties_with_an_inner_contradiction_become_two():
    first = jnp.array([[1.0, 0.0], [1.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    second = jnp.array([[0.0, 1.0], [0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    copies = curation.split_ties(first, second)
    assert copies.label[0].tolist() == [1.0, 1.0, 1.0, 0.5]
    assert copies.label[1, 0] == 0.0
    assert copies.weight.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert copies.aspects[:, 0].tolist() == [[True, False], [False, True]]
    assert copies.aspects[0, 2].all()
    assert not copies.aspects[1, 1:].any()


def test_noise_rates_from_clean_labels_and_from_anchors():
    truth = RNG.uniform(size=20000) < 0.4
    noisy = np.where(truth, RNG.uniform(size=20000) > 0.2, RNG.uniform(size=20000) < 0.1)
    rates = curation.clean_set_noise_rates(jnp.asarray(noisy, float), jnp.asarray(truth, float))
    np.testing.assert_allclose(rates, (0.2, 0.1), atol=0.01)
    clean = np.linspace(0, 1, 1001)  # what a model of the true labels would say, anchors included
    probability = 0.8 * clean + 0.1 * (1 - clean)
    np.testing.assert_allclose(
        curation.anchor_noise_rates(jnp.asarray(probability), 0.0), (0.2, 0.1), atol=1e-6
    )
    np.testing.assert_allclose(
        curation.anchor_noise_rates(jnp.asarray(probability)), (0.207, 0.107), atol=1e-3
    )


def test_values_of_rollouts():
    verdict = np.array([[1, -1, 1, 0], [1, 1, -1, -1], [0, 0, 0, 0]])
    mask = np.arange(4) < np.array([[4], [2], [0]])
    outcome = np.array([1.0, -1.0, 1.0])
    wanted = []
    for v, m, f in zip(verdict, mask, outcome, strict=True):
        n = m.sum()
        wanted.append(sum(v[i] * (n - i) / n for i in range(n)) / n + f / n if n else f)
    np.testing.assert_allclose(curation.rollout_value(verdict, mask, outcome), wanted, rtol=1e-6)
    found = curation.discounted_backup(jnp.float32(2.0), jnp.arange(3))
    np.testing.assert_allclose(found, [2, 1.8, 1.62], rtol=tolerance(1e-7, 1e-6))


def test_evidence_adds_in_log_odds():
    one = lambda v, b, a: curation.fuse_labels(jnp.float32(v), 0.2, jnp.float32(b), jnp.float32(a))
    np.testing.assert_allclose(one(1, 0.5, 0.5), np.log(4), rtol=1e-5)
    np.testing.assert_allclose(one(0, 0.5, 0.8), np.log(4), rtol=1e-5)
    np.testing.assert_allclose(one(-1, 0.2, 0.5), 0.0, atol=1e-5)
    assert np.isfinite(one(1, 0.0, 1.0))
    score = jnp.array([[1.0, -1.0, -2.0, 3.0, -1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]])
    kept = curation.truncate_after_first_error(score, jnp.ones((2, 6), bool))
    assert kept.tolist() == [[True, True, True, False, False, False], [True] * 6]
    label, fused = curation.step_label_fuse(jnp.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]), beta=0.0)
    np.testing.assert_allclose(fused, [1 / 3, 2 / 3], rtol=1e-6)
    assert label.tolist() == [0, 1]
    label, _ = curation.trajectory_label_fuse(jnp.array([1.0, 1.0, 0.0]), jnp.array([0.5, 0.0, 1.0]))
    assert label.tolist() == [1, 0, 0]


def test_key_steps_are_relevant_and_say_something():
    relevance = jnp.array([0.9, 0.9, 0.1, 0.8, 0.0, 0.9])
    entropy = jnp.array([2.0, 0.0, 2.0, 1.5, 3.0, 2.0])
    mask = jnp.array([True, True, True, True, True, False])
    score = curation.calibrated_scores(relevance, entropy, mask)
    np.testing.assert_allclose(score, np.array([1.8, 0, 0.2, 1.2, 0, 0]) / 8.5, rtol=1e-6)
    assert curation.select_key_steps(relevance, entropy, mask, 2).tolist() == [
        True,
        False,
        False,
        True,
        False,
        False,
    ]
    flat = curation.select_key_steps(jnp.ones(6), jnp.zeros(6), mask, 3)
    assert np.isfinite(np.asarray(flat, float)).all()
    assert flat.sum() == 3


def test_lengths_consensus_and_curriculum():
    chosen, rejected = jnp.array([13.0, 14.0, 10.0]), jnp.array([10.0, 10.0, 20.0])
    assert curation.length_filter(chosen, rejected).tolist() == [True, False, True]
    scores = jnp.array([[1.0, 2.0], [1.0, 3.0], [1.5, 2.0]])
    assert curation.judge_consensus(scores, 0.5).tolist() == [True, False]
    margin = jnp.array([0.1, 3.0, 2.0, 1.0])
    assert curation.curriculum_logits(margin, 0.0, 0.5).tolist() == [-np.inf, 0, 0, -np.inf]
    assert np.all(curation.curriculum_logits(margin, 1.0) == 0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: curation.cross_pairs(0, jnp.ones(4, bool), 2), "4 of 4 passed"),
        (lambda: curation.cross_pairs(0, jnp.arange(4) == 1, 2), "tie_share=0"),
        (lambda: curation.keep_rate(0, 1.0, 10), "noise=1.0"),
        (lambda: curation.small_loss_mask(jnp.zeros(3), 1.5), "rate=1.5"),
        (lambda: curation.knn_retrieve(jnp.zeros((1, 2)), jnp.zeros((3, 2)), jnp.ones(1, int), 4), "k_max=4"),
        (lambda: curation.clean_set_noise_rates(jnp.ones(3), jnp.ones(3)), "every truth is the same"),
        (lambda: curation.fuse_labels(jnp.ones(1), 0.6, jnp.ones(1), jnp.ones(1)), "verifier_error=0.6"),
        (lambda: curation.agreement_filter(jnp.ones((2, 3)), jnp.ones(2)), "label has shape"),
        (lambda: curation.select_key_steps(jnp.ones(3), jnp.ones(3), jnp.ones(3, bool), 4), "count=4"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_a_verifier_that_speaks_is_read_by_its_two_words():
    right, wrong = np.log([0.6, 0.1, 0.26, 1e-30]), np.log([0.2, 0.3, 0.25, 0.9])
    p, verdict = curation.verifier_labels(jnp.asarray(right), jnp.asarray(wrong), sure=0.1)
    np.testing.assert_allclose(p, np.exp(right) / (np.exp(right) + np.exp(wrong)), rtol=1e-5)
    assert verdict.tolist() == [1, -1, 0, -1]


def test_a_chain_whose_rationale_says_the_opposite_is_dropped():
    score = jnp.array([[0.5, -0.5, 9.0], [0.5, 0.5, 9.0], [0.0, -0.5, 9.0], [0.5, -0.1, -9.0]])
    verdict = jnp.array([[1, -1, -1], [1, -1, -1], [-1, 0, -1], [1, -1, 1]])
    mask = jnp.array([[1, 1, 0]] * 3 + [[1, 1, 1]])
    assert curation.agreeing_paths(score, verdict, mask).tolist() == [True, False, True, False]


def test_what_was_easy_or_never_right_is_left_out():
    assert curation.difficulty_filter(jnp.array([0, 1, 2, 5])).tolist() == [False, False, True, True]
    with pytest.raises(UsageError, match="tries is float32; expected integers"):
        curation.difficulty_filter(jnp.ones(2))
