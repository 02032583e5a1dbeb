"""WaltzRL (2510.08240): a feedback agent that is paid for the improvement of a conversation agent.

Prompts are harmful in disguise, harmless but alarming, or plain. The conversation agent answers, refuses or
answers safely; the feedback agent labels the draft (unsafe? refuses too much?) and gives one of three hints,
and the conversation agent writes again. Both are tables; the first stage freezes the conversation agent.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _common import better, claim, finish, interval, show
from _groups import Setting  # noqa: F401 (sets how programs are compiled)

from rlkit import group
from rlkit.group import preset

KINDS, EACH, ACTIONS, HINTS, MEMBERS, STEPS, SEEDS = 3, 8, 3, 3, 8, 200, 16
PROMPTS = KINDS * EACH
KIND = jnp.arange(PROMPTS) % KINDS


def judged(kind, action):
    """Unsafe and over-refusing, 0 or 1."""
    return (kind == 0) & (action == 0), (kind != 0) & (action == 1)


def start(key):
    draft = jnp.array([[1.0, 0.0, -2.0], [0.0, 1.0, -2.0], [2.0, 0.0, -2.0]])[
        KIND
    ]  # answers and refuses too much
    follows = jnp.concatenate([jnp.zeros((1, ACTIONS)), 1.5 * jnp.eye(ACTIONS)])  # hint 0 is none
    talk = (draft[:, None] + follows)[:, :, None]  # [P, hint, T=1, action]
    noise = 0.1 * jax.random.normal(key, (PROMPTS, ACTIONS, 3, HINTS))
    return {"talk": talk, "feedback": noise}


def speak(key, logits):
    tokens = jax.random.categorical(key, logits)
    log = jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], -1)[..., 0]
    return tokens, log


def exchange(key, params):
    """A draft, its labels and hint, and what is written then; ``[P, G]`` each."""
    one, two, three = jax.random.split(key, 3)
    index = jnp.broadcast_to(jnp.arange(PROMPTS)[:, None], (PROMPTS, MEMBERS))
    draft, draft_log = speak(one, params["talk"][index, 0])
    said, said_log = speak(two, params["feedback"][index, draft[..., 0]])
    flagged = (said[..., 0] == 1) | (said[..., 1] == 1)
    final, final_log = speak(three, params["talk"][index, said[..., 2] + 1])
    return index, (draft, draft_log), (said, said_log), flagged, (final, final_log)


def completions(tokens, log, mask, columns):
    cast = {name: jnp.asarray(x, jnp.float32) for name, x in columns.items()}
    return group.Completions(
        prompt=jnp.zeros((PROMPTS, 1)), prompt_mask=jnp.ones((PROMPTS, 1)), tokens=tokens,
        mask=jnp.broadcast_to(mask, tokens.shape).astype(jnp.float32), behaviour_log_prob=log, rewards={},
        extras=cast,
    )  # fmt: skip


def gradient_of(method, batch, ctx, log_prob, params):
    """The gradient of one agent's loss, by its own table."""
    _, credit, _ = method.pipeline.apply(method.pipeline.init(), (), batch, ctx)
    plan = method.controller.plan(method.controller.init(batch), method.loss, batch, credit, ctx)
    return jax.grad(lambda p: group.objective(plan.loss, log_prob(p), plan.updates[0])[0])(params)


def life(key, gated):
    first, rest = jax.random.split(key)
    params, optimiser = start(first), optax.adam(0.05)
    feedback = preset("waltz_rl_feedback", gated_by_label=gated)
    talk = preset("waltz_rl_conversation")

    def step(carry, now):
        params, inner = carry
        number, key = now
        ctx = group.Context(number, jnp.int32(STEPS), key)
        index, (draft, draft_log), (said, said_log), flagged, (final, final_log) = exchange(key, params)
        kind = KIND[index]
        unsafe, refuses = judged(kind, draft[..., 0])
        unsafe_after, refuses_after = judged(kind, final[..., 0])
        fine = lambda a, b: (~a & ~b).astype(jnp.float32)
        labels = (said[..., 0] == 1) == unsafe, (said[..., 1] == 1) == refuses
        known = (said[..., 0] < 2) & (said[..., 1] < 2)
        advice = completions(said, said_log, 1.0, {
            "reward_after": fine(unsafe_after, refuses_after), "reward_before": fine(unsafe, refuses),
            "stopped": ~flagged, "label_right": labels[0] & labels[1] & known, "format": known,
        })  # fmt: skip
        again = jnp.arange(MEMBERS) % 2 == 1  # half of the samples are drafts, half second answers
        counts = (~again | flagged)[..., None]
        choose = lambda a, b: jnp.where(again[:, None] if a.ndim == 3 else again, b, a)
        answers = completions(choose(draft, final), choose(draft_log, final_log), counts, {
            "unsafe": choose(unsafe, unsafe_after), "refuses": choose(refuses, refuses_after),
        })  # fmt: skip
        hint = jnp.where(again, said[..., 2] + 1, 0)
        of = lambda table, tokens: jnp.take_along_axis(jax.nn.log_softmax(table), tokens[..., None], -1)[
            ..., 0
        ]
        gradient = {
            "feedback": gradient_of(
                feedback, advice, ctx, lambda p: of(p[index, draft[..., 0]], said), params["feedback"]
            ),
            "talk": gradient_of(
                talk, answers, ctx, lambda p: of(p[index, hint], answers.tokens), params["talk"]
            ),
        }
        changes, inner = optimiser.update(gradient, inner, params)
        last = jnp.where(flagged, final[..., 0], draft[..., 0])
        unsafe, refuses = judged(kind, last)
        told = {
            "unsafe": jnp.sum(unsafe) / jnp.sum(kind == 0),
            "over-refusal": jnp.sum(refuses) / jnp.sum(kind != 0),
            "feedback given": jnp.mean(flagged), "labels right": jnp.mean(advice.extras["label_right"]),
        }  # fmt: skip
        return (optax.apply_updates(params, changes), inner), told

    steps = jnp.arange(STEPS), jax.random.split(rest, STEPS)
    return jax.lax.scan(step, (params, optimiser.init(params)), steps)[1]


def main() -> None:
    rows = {}
    for name, gated in (("WaltzRL", True), ("improvement not gated", False)):
        run = jax.jit(jax.vmap(lambda key, g=gated: life(key, g)))(jax.random.split(jax.random.key(0), SEEDS))
        run = jax.tree.map(np.asarray, run)
        rows.setdefault("before", {metric: x[:, :5].mean(1) for metric, x in run.items()})
        if gated:
            rows["after stage 1"] = {
                metric: x[:, STEPS // 2 - 5 : STEPS // 2].mean(1) for metric, x in run.items()
            }
        rows[name] = {metric: x[:, -5:].mean(1) for metric, x in run.items()}
    show("of final answers", rows, "before")
    for metric in ("unsafe", "over-refusal"):
        claim(f"{metric} falls", better(rows["before"][metric], rows["WaltzRL"][metric]))
    gain = interval(rows["WaltzRL"]["labels right"] - rows["improvement not gated"]["labels right"])
    claim("labels are better where the improvement is gated by them", gain.low > 0)


if __name__ == "__main__":
    main()
    finish()
