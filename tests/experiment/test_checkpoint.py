"""Checkpoints come back as they were, or not at all."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_agent import ToyConfig, toy

from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import checkpoint
from rlkit.experiment.training.population import population

EXEMPT = (".best",)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with checkpoints 1 and 2 of a toy population, the template, and both digests."""
    pop = population(toy(), 2, max_chunk=4)
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    state, digests = pop.init(jax.random.key(0)), {}
    template = jax.eval_shape(pop.init, jax.random.key(0))
    for update in (1, 2):
        state, _, _ = pop.advance(state, 1, np.ones(len(pop.leaves), bool))
        checkpoint.save(folder, update, state, {"note": update}, exempt=EXEMPT)
        digests[update] = checkpoint.state_digest(state)
    return folder, template, digests


@pytest.fixture
def copy(trained, tmp_path):
    """The same in a folder of its own, and the warnings that restoring gives."""
    folder, template, digests = trained
    shutil.copytree(folder, tmp_path / "checkpoints")
    return tmp_path / "checkpoints", template, digests, []


def test_everything_comes_back(copy):
    folder, template, digests, said = copy
    found = checkpoint.restore(folder, template, said.append)
    assert (found.update, found.meta["note"], said) == (2, 2, [])
    assert checkpoint.state_digest(found.state) == digests[2]
    for leaf, wanted in zip(jax.tree.leaves(found.state), jax.tree.leaves(template), strict=True):
        assert (leaf.shape, leaf.dtype) == (wanted.shape, wanted.dtype)
    first = checkpoint.restore(folder, template, said.append, lambda update: update < 2)
    assert checkpoint.state_digest(first.state) == digests[1]


def data_files(folder):
    return sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: -p.stat().st_size)


@pytest.mark.parametrize("position", range(16))
def test_a_flipped_bit_never_gives_wrong_numbers(copy, position):
    folder, template, digests, said = copy
    file = data_files(folder / "2" / "state")[0]
    data = bytearray(file.read_bytes())
    where = (2 * position + 1) * len(data) // 32
    data[where] ^= 1 << (position % 8)
    file.write_bytes(data)
    found = checkpoint.restore(folder, template, said.append)
    assert checkpoint.state_digest(found.state) == digests[found.update]
    assert (found.update == 2) == (not said)


def test_every_content_byte_is_watched(copy):
    """The digest itself: any changed leaf, name, shape or dtype changes it."""
    folder, template, _, said = copy
    state = checkpoint.restore(folder, template, said.append).state
    flat = checkpoint.flatten(state)
    whole = checkpoint.digest(flat)
    for i, array in enumerate(flat.arrays):
        if array.size:
            data = bytearray(array.tobytes())
            data[-1] ^= 1
            changed = np.frombuffer(bytes(data), array.dtype).reshape(array.shape)
            arrays = [*flat.arrays[:i], changed, *flat.arrays[i + 1 :]]
            assert checkpoint.digest(flat._replace(arrays=arrays)) != whole
    for i, j in ((0, 0), (0, 2)):
        leaves = [list(leaf) for leaf in flat.leaves]
        leaves[i][j] += "x"
        assert checkpoint.digest(flat._replace(leaves=leaves)) != whole


def test_damage_falls_back_or_raises_one_sentence(trained, tmp_path):
    folder, template, digests = trained
    names = [p.relative_to(folder) for p in data_files(folder / "2")]
    detected = 0
    for i, name in enumerate(names):
        sizes = {0, (folder / name).stat().st_size // 2, (folder / name).stat().st_size - 1} | {None}
        for size in sizes if i < 2 else {None, 0}:
            broken = tmp_path / f"{i}-{size}"
            shutil.copytree(folder, broken)
            if size is None:
                (broken / name).unlink()
            else:
                (broken / name).write_bytes((broken / name).read_bytes()[:size])
            said = []
            found = checkpoint.restore(broken, template, said.append)
            assert checkpoint.state_digest(found.state) == digests[found.update], (name, size)
            assert (found.update == 2) == (not said)
            assert all("\n" not in s and "checkpoint 2" in s for s in said)
            detected += found.update == 1
    assert detected >= 6


def test_when_nothing_is_intact_the_folder_is_named(copy):
    folder, template, _, said = copy
    for update in (1, 2):
        data_files(folder / str(update) / "state")[0].write_bytes(b"")
    with pytest.raises(RlkitError, match="none of the 2 checkpoints in"):
        checkpoint.restore(folder, template, said.append)
    assert len(said) == 2


def test_a_description_that_was_changed_is_rejected(copy):
    folder, template, _, said = copy
    file = folder / "2" / "meta" / "metadata"
    assert b'"note": 2' in file.read_bytes() or b'"note":2' in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(b'"note": 2', b'"note": 3').replace(b'"note":2', b'"note":3'))
    assert checkpoint.restore(folder, template, said.append).update == 1
    assert "description is damaged" in said[0]


def test_foreign_folders_and_files_are_ignored(copy):
    folder, template, _, said = copy
    (folder / "9").mkdir()
    (folder / "notes").mkdir()
    (folder / "7").write_text("a file")
    (folder / "12.orbax-checkpoint-tmp").mkdir()
    found = checkpoint.restore(folder, template, said.append)
    assert found.update == 2
    assert len(said) == 1
    assert "checkpoint 9" in said[0]
    checkpoint.set_aside(folder, 2)
    assert not (folder / "9").exists()
    assert (folder.parent / checkpoint.REJECTED / "9-0").is_dir()
    checkpoint.save(folder, 9, found.state, {}, exempt=EXEMPT)
    assert checkpoint.restore(folder, template, said.append).update == 9


def test_an_empty_folder_holds_nothing(tmp_path):
    assert checkpoint.restore(tmp_path / "none", {}, print) is None
    assert checkpoint.restore(tmp_path, {}, print) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda t: t._replace(obs=jax.ShapeDtypeStruct((2, 4), jnp.float32)),
            r"\.obs, expected float32\[2, 4\]",
        ),
        (lambda t: t._replace(obs=jax.ShapeDtypeStruct((2, 3), jnp.bfloat16)), r"\.obs, expected bfloat16"),
        (lambda t: t._replace(params={}), r"unexpected leaf state\.params"),
        (lambda t: t._replace(params=t.params | {"y": t.obs}), r"no leaf state\.params\['y'\]"),
        (lambda t: {"other": t.obs}, r"no leaf state\['other'\]"),
        (lambda t: t._replace(key=t.origin), r"\.key, expected uint32"),
    ],
)
def test_another_agents_checkpoint_is_refused_by_leaf(copy, change, words):
    folder, template, _, said = copy
    with pytest.raises(UsageError, match=words):
        checkpoint.restore(folder, change(template), said.append)


def test_other_key_implementations_come_back(tmp_path):
    state = {"a": jax.random.key(1, impl="rbg"), "b": jax.random.split(jax.random.key(2), 3)}
    checkpoint.save(tmp_path / "c", 1, state, {})
    back = checkpoint.restore(tmp_path / "c", jax.eval_shape(lambda: state), print).state
    assert checkpoint.state_digest(back) == checkpoint.state_digest(state)
    np.testing.assert_array_equal(jax.random.uniform(back["a"]), jax.random.uniform(state["a"]))


def test_what_is_not_finite_is_never_saved(tmp_path):
    state = {"w": jnp.array([1.0, jnp.nan]), "best": jnp.array(-jnp.inf)}
    with pytest.raises(RlkitError, match=r"\['w'\] is not finite"):
        checkpoint.save(tmp_path / "c", 3, state, {}, exempt=("['best']",))
    assert checkpoint.steps(tmp_path / "c") == []


def test_only_the_newest_are_kept(tmp_path):
    for update in range(1, 6):
        checkpoint.save(tmp_path / "c", update, {"w": jnp.ones(2)}, {}, keep=2)
    assert checkpoint.steps(tmp_path / "c") == [4, 5]


def test_arrays_travel_through_json_exactly():
    array = np.array([[np.nan, -0.0, np.inf], [1e-45, 0.1, 3.0]], np.float32)
    again = checkpoint.decode(checkpoint.encode(array))
    assert again.tobytes() == array.tobytes()
    assert again.shape == array.shape


def test_toy_has_the_leaves_that_are_hard_to_keep():
    state = toy(config=ToyConfig()).init(jax.random.key(0))
    kinds = {str(leaf.dtype) for leaf in jax.tree.leaves(state)}
    assert kinds == {"float32", "bool", "int32", "uint32", "key<fry>"}
    assert any(leaf.size == 0 for leaf in jax.tree.leaves(state))
