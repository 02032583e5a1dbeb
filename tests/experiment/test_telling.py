"""What the terminal says of emergence.json."""

import re

from rlkit.experiment.reports import inside, telling

P_FLOOR = 1 / 200


def measure(mean, p=None, trained=None):
    """A measure of the last recording with a mean over seeds, and what is told of untrained networks."""
    over = {
        field: {"mean": x, "low": x - 0.01, "high": x + 0.01, "count": 3}
        for field, x in (("value", mean), ("mean", mean / 2), ("excess", mean / 2))
    }
    if p is not None:
        over |= {"p": p, "p_floor": P_FLOOR, "p_adjusted": min(1.0, 2 * p)}
    return {"over_seeds": over}


def emergence(p=P_FLOOR, untrained=True, labels=("",), p_signs=0.25):
    compared = {
        "excess": {
            "over_seeds": {"mean": -0.3, "low": -0.4, "high": -0.2, "count": 3}, "p": p_signs, "p_floor": 0.25
        }
    }  # fmt: skip
    members = []
    for k, label in enumerate(labels):
        level = {name: measure(0.8 + k, p if name == "phi_r" else None) for name in inside.MEASURE_NAMES}
        networks = {where: dict.fromkeys(inside.MEASURE_NAMES, compared) for where in inside.LEVEL_NAMES}
        point = dict.fromkeys(inside.LEVEL_NAMES, level)
        quality = {"effective_samples": [10.0, None], "active": [8, 6], "effective_dimension": [2.5, 3.5]}
        members.append(
            {
                "label": label,
                "points": [{}, point | quality],
                "untrained": {"networks": 20} | networks if untrained else None,
                "warnings": ["In 1 of 4 recordings units drift."],
            }
        )
    return {
        "steps_per_recording": 512,
        "null": {"hypothesis": "every unit goes its way"},
        "final_draws": 199,
        "correction": {"method": "Holm", "tests": 2 * len(labels)},
        "members": members,
    }


def test_a_row_has_value_null_excess_and_difference():
    lines = telling.told(emergence())
    row = next(line for line in lines if line.startswith("Φ_R, all pairs of units"))
    assert re.findall(r"[+-]?\d\.\d{4}", row) == [
        "0.8000", "0.4000", "+0.4000", "+0.3900", "+0.4100", "-0.3000", "-0.4000", "-0.2000"
    ]  # fmt: skip
    assert len([line for line in lines if line.startswith(tuple(inside.MEASURE_NAMES.values()))]) == 6


def test_what_the_numbers_stand_on_is_told():
    text = "\n".join(telling.told(emergence()))
    assert "null: every unit goes its way" in text
    assert "against 199 surrogates (Holm, 2 tests)" in text
    assert text.count("p < 1/200, corrected 0.01") == 2  # of each level, for Φ_R alone
    assert "untrained: 20 fresh networks per seed" in text
    assert "p < 1/4 (signs)" in text  # no p below what three seeds can give
    assert "512 steps, worth 10 independent samples" in text
    assert "7 active units in 3.0 effective dimensions" in text
    assert text.endswith("note: In 1 of 4 recordings units drift.")


def test_what_was_not_measured_is_not_told():
    text = "\n".join(telling.told(emergence(p=None, untrained=False)))
    assert "p <" not in text
    assert "p =" not in text
    assert "untrained:" not in text
    data = emergence(p_signs=None)
    assert "p needs two seeds" in "\n".join(telling.told(data))


def test_members_of_a_sweep_are_told_one_by_one():
    lines = telling.told(emergence(labels=("rate=1", "rate=2")))
    first, second = lines.index("rate=1:"), lines.index("rate=2:")
    assert first == 0
    assert "0.8000" in lines[first + 2]
    assert "1.8000" in lines[second + 2]
    assert telling.told(emergence())[0].strip().startswith("value")
