"""RGR-GRPO (2511.12344): rubrics as reward and as guidance for one refined member of each group.

A plan is six steps of eight kinds; two factual criteria (two steps each) and two criteria on the process (one
step each). A refinement takes the best plan and writes the steps of failed criteria anew, more boldly.
"""

import jax
import jax.numpy as jnp
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, first_above, table_of, train

from rlkit.group import preset
from rlkit.group.rubrics import exploration_assessment, rubric_reward

PROMPTS, STEPS, KINDS = 16, 6, 8
OF_CRITERION = jnp.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]])
WEIGHTS, FACTUAL = jnp.array([2.0, 2.0, 1.0, 1.0]), jnp.array([1.0, 1.0, 0.0, 0.0])


def make_task(refines: bool) -> Task:
    init, logits = table_of(PROMPTS, STEPS, KINDS)
    right = jax.random.randint(jax.random.key(5), (PROMPTS, STEPS), 0, KINDS)

    def columns(key, params, index, tokens, mask):
        wrong = (tokens != right[index][:, None]).astype(jnp.float32)
        met = (wrong @ OF_CRITERION.T.astype(jnp.float32) == 0).astype(jnp.float32)
        spread = lambda x: jnp.broadcast_to(x, (index.shape[0], 4))
        success = jnp.all(met[..., :2] > 0, -1).astype(jnp.float32)
        return {
            "satisfied": met,
            "criterion_weight": spread(WEIGHTS),
            "factual": spread(FACTUAL),
            "success": success,
        }

    def refine(key, params, index, tokens, columns):
        reward = rubric_reward(columns["satisfied"], columns["criterion_weight"], columns["factual"])
        best, needed, failed = exploration_assessment(columns["satisfied"], reward)
        chosen = jnp.take_along_axis(tokens, best[:, None, None], 1)[:, 0]
        bold = jax.random.categorical(key, 0.5 * logits(params, index))
        anew = failed.astype(jnp.float32) @ OF_CRITERION.astype(jnp.float32) > 0
        last = jnp.where(needed[:, None], jnp.where(anew, bold, chosen), tokens[:, -1])
        away = jnp.zeros(tokens.shape[:2], bool).at[:, -1].set(needed)
        return tokens.at[:, -1].set(last), away

    def evaluate(params, key):
        chance = jax.nn.softmax(params)
        each = jnp.take_along_axis(chance, right[..., None], -1)[..., 0]
        one = jnp.prod(each[:, :4], -1)
        entropy = -jnp.mean(jnp.sum(chance * jnp.log(chance + 1e-20), -1))
        return {"success": jnp.mean(one), "pass@8": jnp.mean(1 - (1 - one) ** 8), "entropy": entropy}

    return Task(init, logits, columns, evaluate, PROMPTS, refine=refine if refines else None)


def main() -> None:
    setting = Setting(steps=150, batch=16, group=8, rate=0.05)
    runs = {
        "outcome only": train(make_task(False), preset("grpo", weights={"success": 1.0}), setting),
        "rubric": train(make_task(False), preset("rgr_grpo"), setting),
        "RGR-GRPO": train(make_task(True), preset("rgr_grpo"), setting),
        "RGR-GRPO, LUFFY's shape": train(make_task(True), preset("rgr_grpo", shape="probability"), setting),
    }
    rows = {
        name: at_end(run, "success", "pass@8", "entropy")
        | {"updates to 0.5": first_above(run["success"], 0.5)}
        for name, run in runs.items()
    }
    show("all factual criteria met", rows, "outcome only")
    success = {name: row["success"] for name, row in rows.items()}
    claim("RGR-GRPO above outcome-only rewards", better(success["RGR-GRPO"], success["outcome only"]))
    claim("RGR-GRPO above rubrics without refinement", better(success["RGR-GRPO"], success["rubric"]))


if __name__ == "__main__":
    main()
    finish()
