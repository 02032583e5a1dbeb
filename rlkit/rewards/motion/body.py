"""What scores of motion need to know about a MuJoCo model: feet, joints, limits of angles and torques."""

import copy
import importlib
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlkit.errors import UsageError, unknown_name

BODIES = ("standing", "gymnasium")
"""Humanoids by name: our own with ankles and flat feet (nq 28, 21 motors, the joints of DeepMind Control's),
and the one of Gymnasium's Humanoid (nq 24, 17 motors, a sphere as a foot)."""


def engine() -> Any:
    """The module ``mujoco``, imported when it is first needed; type checkers do not see what it holds."""
    return importlib.import_module("mujoco")


class Body(NamedTuple):
    """A free body over a level floor. ``P`` points of ``F`` feet, ``H`` hinges, ``nv`` degrees of freedom.

    A foot touches the floor with balls: the ends of capsules, corners of boxes (radius 0), spheres.
    """

    model: Any  # mujoco.MjModel: a copy whose solver and integrator allow inverse dynamics
    feet: tuple[str, ...]  # names of bodies
    foot_body: np.ndarray  # int [P]: the body that the ball is fixed to
    foot_of: np.ndarray  # int [P]: index into feet
    foot_local: np.ndarray  # [P, 3]: m, centre of the ball in its body's frame
    foot_radius: np.ndarray  # [P]: m
    support_radius: np.ndarray  # [P]: m, by which a ball widens the polygon of support
    floor: int  # the floor's geom
    floor_height: float  # m
    hinge_qpos: np.ndarray  # int [H]
    hinge_dof: np.ndarray  # int [H]
    hinge_names: tuple[str, ...]
    limits: np.ndarray  # [H, 2]: rad, infinite where there is none
    torque_limit: np.ndarray  # [H]: N m, infinite where no motor turns the hinge
    limbs: np.ndarray  # int [S, 2]: bodies at the ends of limb segments
    weight: float  # N

    @property
    def frames(self) -> str:
        """What a frame of a motion must hold, in words."""
        nq = self.model.nq
        return f"qpos of {nq} numbers: position (3), unit quaternion (4) and {nq - 7} joint angles"


def body(source: Any = "standing", feet: Sequence[str] | None = None) -> Body:
    """Describe a humanoid, or any body with a free root and feet.

    Args:
      source: a name in ``BODIES``, the path of an MJCF or URDF file (``.xml``, ``.urdf``, ``.mjb``), or a
        ``mujoco.MjModel``, which is copied.
      feet: names of the bodies that stand on the floor; None takes those whose name ends with ``foot``.

    Returns:
      The description. Its model computes contacts with Newton's method and semi-implicit steps whatever the
      file says, because neither MJX nor MuJoCo's discrete inverse knows PGS or RK4.

    Raises:
      UsageError: the file cannot be read; the first joint is not free; there is no level floor; or a foot is
        unknown or of a shape that is not supported.
    """
    mujoco = engine()

    model = _loaded(source)
    if model.njnt == 0 or model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE:
        raise UsageError("the model's first joint is not free; expected a body that moves freely in space")
    kinds = set(model.jnt_type[1:].tolist()) - {int(mujoco.mjtJoint.mjJNT_HINGE)}
    if kinds:
        raise UsageError(f"joints of types {sorted(kinds)} of mjtJoint; expected hinges after the free joint")
    model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
    floor = _floor(model)
    hinges = np.arange(1, model.njnt)
    limited = model.jnt_limited[hinges].astype(bool)[:, None]
    names = _feet(model, feet)
    balls = [(i, b, *ball) for i, name in enumerate(names) for b, ball in _balls(model, name)]
    foot_of, foot_body, local, radius = (np.array(column) for column in zip(*balls, strict=True))
    alone = np.array([np.sum(foot_of == f) == 1 for f in foot_of])
    return Body(
        model=model,
        feet=names,
        foot_body=foot_body,
        foot_of=foot_of,
        foot_local=local,
        foot_radius=radius,
        # A single sphere would be a point of support: its disc is taken instead.
        support_radius=np.where(alone, radius, 0.0),
        floor=floor,
        floor_height=float(model.geom_pos[floor, 2]),
        hinge_qpos=model.jnt_qposadr[hinges],
        hinge_dof=model.jnt_dofadr[hinges],
        hinge_names=tuple(model.joint(int(j)).name for j in hinges),
        limits=np.where(limited, model.jnt_range[hinges], [-math.inf, math.inf]),
        torque_limit=_torques(model)[hinges],
        limbs=_limbs(model),
        weight=float(model.body_mass.sum() * np.linalg.norm(model.opt.gravity)),
    )


def _loaded(source: Any) -> Any:
    mujoco = engine()

    if isinstance(source, mujoco.MjModel):
        return copy.copy(source)
    if source == "standing":
        return mujoco.MjModel.from_xml_string(
            resources.files("rlkit.rewards.motion").joinpath("humanoid.xml").read_text()
        )
    if source == "gymnasium":
        # The package's folder without its environments, whose import needs more than is wanted here.
        path = resources.files("gymnasium").joinpath("envs", "mujoco", "assets", "humanoid.xml")
        return mujoco.MjModel.from_xml_path(str(path))
    path = Path(str(source))
    if path.suffix not in (".xml", ".urdf", ".mjb"):
        raise unknown_name("body", source, BODIES, where="(or give the path of an .xml, .urdf or .mjb file)")
    if not path.is_file():
        raise UsageError(f"there is no model file {path}")
    read = mujoco.MjModel.from_binary_path if path.suffix == ".mjb" else mujoco.MjModel.from_xml_path
    try:
        return read(str(path))
    except ValueError as error:
        raise UsageError(f"MuJoCo cannot read {path}: {str(error).splitlines()[0]}") from None


def _floor(model: Any) -> int:
    mujoco = engine()

    planes = [g for g in range(model.ngeom) if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_PLANE]
    fixed = [g for g in planes if model.geom_bodyid[g] == 0 and abs(model.geom_quat[g, 0]) > 1 - 1e-9]
    if len(fixed) != 1:
        raise UsageError(
            f"the model has {len(fixed)} level planes fixed to the world; expected one, the floor"
        )
    return fixed[0]


def _feet(model: Any, feet: Sequence[str] | None) -> tuple[str, ...]:
    known = [model.body(b).name for b in range(1, model.nbody)]
    if feet is None:
        feet = [name for name in known if name.lower().endswith("foot")]
        if not feet:
            raise UsageError(
                f"no body's name ends with 'foot'; say which stand on the floor: feet=(...), of {known}"
            )
    if isinstance(feet, str) or not feet:
        raise UsageError(
            f"feet={feet!r}: expected the names of the bodies that stand on the floor, of {known}"
        )
    for name in feet:
        if name not in known:
            raise unknown_name("body", name, known, where="of the model")
    return tuple(feet)


def _balls(model: Any, foot: str) -> list[tuple[int, tuple[np.ndarray, float]]]:
    """``(body, (centre, radius))`` of the balls on which a foot stands."""
    mujoco = engine()

    kind = mujoco.mjtGeom
    number = model.body(foot).id
    below = [b for b in range(model.nbody) if _is_below(model, b, number)]
    found = []
    for b in below:
        for g in range(model.body_geomadr[b], model.body_geomadr[b] + model.body_geomnum[b]):
            if not (model.geom_contype[g] or model.geom_conaffinity[g]):
                continue  # only drawn
            size, shape = model.geom_size[g], model.geom_type[g]
            if shape == kind.mjGEOM_SPHERE:
                offsets, radius = np.zeros((1, 3)), size[0]
            elif shape == kind.mjGEOM_CAPSULE:
                offsets, radius = np.array([[0, 0, -size[1]], [0, 0, size[1]]]), size[0]
            elif shape == kind.mjGEOM_BOX:
                corners = np.stack(np.meshgrid(*[(-1, 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
                offsets, radius = corners * size, 0.0
            else:
                raise UsageError(
                    f"foot {foot!r} has a {kind(shape).name}; expected spheres, capsules or boxes"
                )
            turn = np.zeros(9)
            mujoco.mju_quat2Mat(turn, model.geom_quat[g])
            centres = model.geom_pos[g] + offsets @ turn.reshape(3, 3).T
            found += [(b, (centre, float(radius))) for centre in centres]
    if not found:
        raise UsageError(f"foot {foot!r} has no geom that collides; expected spheres, capsules or boxes")
    return found


def _is_below(model: Any, b: int, top: int) -> bool:
    while b and b != top:
        b = model.body_parentid[b]
    return b == top


def _torques(model: Any) -> np.ndarray:
    """What motors can do to each joint, N m: gear times the largest control (or force, where limited)."""
    mujoco = engine()

    limit = np.full(model.njnt, math.inf)
    for a in range(model.nu):
        if model.actuator_trntype[a] != mujoco.mjtTrn.mjTRN_JOINT:
            continue
        gear, most = abs(model.actuator_gear[a, 0]), math.inf
        if model.actuator_ctrllimited[a] and model.actuator_biastype[a] == mujoco.mjtBias.mjBIAS_NONE:
            most = np.abs(model.actuator_ctrlrange[a]).max() * abs(model.actuator_gainprm[a, 0])
        if model.actuator_forcelimited[a]:
            most = min(most, np.abs(model.actuator_forcerange[a]).max())
        joint = model.actuator_trnid[a, 0]
        before = 0.0 if math.isinf(limit[joint]) else limit[joint]
        limit[joint] = before + gear * most
    return limit


def _limbs(model: Any) -> np.ndarray:
    """Pairs of a body and its parent below the root: the segments of arms and legs."""
    pairs = [(model.body_parentid[b], b) for b in range(2, model.nbody)]
    return np.array(pairs, int).reshape(-1, 2)
