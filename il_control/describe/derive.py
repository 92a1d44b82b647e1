"""Limits and gains from mass, torque and range: on the safe side, each by a rule that is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from il_control.describe.body import Body
from il_control.describe.tree import Arm
from il_control.laws.cartesian_impedance import task_damping, task_mobility
from il_core.errors import ConfigError
from il_core.types import Vector

DT = 1e-3  # control period the gains are made for [s]
POSTURES = 150
MARGIN_RAD = 0.05  # inside the URDF's position limits
SHARE = 0.9  # of the URDF's torque and speed limits
SPEED_RAD_S = 1.0  # where the URDF has none
ARMATURE_PER_NM = 0.1 / 87.0  # the FR3's: 0.1 kg m2 for 87 N m
TORQUE_TIME_S = 0.02  # from nothing to full torque
ACCELERATION_MAX = 15.0  # [rad/s²]
ERROR_RAD, ERROR_M, ERROR_TOOL_RAD = 0.1, 0.05, 0.5  # errors that may ask for half of the torque
STIFFNESS_MAX, STIFFNESS_MAX_M, STIFFNESS_MAX_TOOL = 600.0, 600.0, 30.0
DECAY_MAX = 0.35  # of a joint speed in one period, see joint_gains


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Joint limits, (nq,) each, and the sentences that justify them.

    Attributes:
        q_min: [rad].
        q_max: [rad].
        v_max: [rad/s].
        a_max: [rad/s²].
        tau_max: [N·m].
        tau_rate: [N·m/s].
        armature: [kg·m²].
        why: Reason of each, by the name of the field; ``warnings`` for what to check.
    """

    q_min: Vector
    q_max: Vector
    v_max: Vector
    a_max: Vector
    tau_max: Vector
    tau_rate: Vector
    armature: Vector
    why: dict[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Gains:
    """Gains of the joint and Cartesian laws, and of the cushion at the limits; see ControlConfig."""

    joint_k: Vector
    joint_d: Vector
    k_m: float
    k_rad: float
    null_k: float
    null_d: float
    limit_k: float
    limit_d: float


def limits(body: Body, arm: Arm, armature: Vector | None = None) -> Limits:
    """Limits from the URDF with a margin; where it has none, from weight and inertia.

    Raises:
        ConfigError: the range of a joint is too small for the margin.
    """
    span = body.q_max - body.q_min
    margin = np.minimum(MARGIN_RAD, 0.05 * span)
    if not (span > 0.0).all():
        raise ConfigError(arm.joints[int(np.argmin(span))].name, "joint has no range to move in")
    postures = body.samples(POSTURES)
    gravity = np.abs([body.gravity(q) for q in postures]).max(axis=0)
    inertia = np.array([body.mass_matrix(q).diagonal() for q in postures]).max(axis=0)
    effort = np.array([j.effort for j in arm.joints])
    has_effort = np.isfinite(effort) & (effort > 0.0)
    tau = np.where(has_effort, SHARE * effort, np.round(2.0 * gravity + 5.0 * inertia + 0.1, 2))
    speed = np.array([j.velocity for j in arm.joints])
    has_speed = np.isfinite(speed) & (speed > 0.0)
    why = _WHY if armature is None else _WHY | {"armature": "Given, not derived; gains count on half of it only."}
    armature = np.maximum(ARMATURE_PER_NM * tau, 1e-3) if armature is None else armature
    spare = np.maximum(tau - gravity, 0.1 * tau)
    a = np.minimum(spare / (inertia + armature), ACCELERATION_MAX)
    missing = [n.name for n, ok in zip(arm.joints, has_effort, strict=True) if not ok]
    weak = [f"{j.name} ({t:.3g} of {g:.3g} N m)" for j, t, g in zip(arm.joints, tau, gravity, strict=True) if t < g]
    warnings = []
    if missing:
        warnings.append(f"the URDF gives no torque limit for {', '.join(missing)}: derived; enter the maker's")
    if weak:
        warnings.append(f"cannot carry its own weight in every posture: {', '.join(weak)}")
    endless = [j.name for j in arm.joints if not j.is_limited]
    if endless:
        warnings.append(f"no position limit for {', '.join(endless)}: one turn each way assumed, mind the cables")
    return Limits(
        q_min=body.q_min + margin,
        q_max=body.q_max - margin,
        v_max=np.where(has_speed, SHARE * speed, SPEED_RAD_S),
        a_max=a,
        tau_max=tau,
        tau_rate=tau / TORQUE_TIME_S,
        armature=armature,
        why=why,
        warnings=tuple(warnings),
    )


_WHY = {
    "q": f"{MARGIN_RAD} rad (at most 5 % of the range) inside the URDF's limits: room for the cushion to stop it.",
    "v": f"{SHARE:.0%} of the URDF's; {SPEED_RAD_S} rad/s where it gives none.",
    "tau": f"{SHARE:.0%} of the URDF's; where it gives none, twice the weight plus 5 rad/s2.",
    "tau_rate": f"Full torque in {TORQUE_TIME_S * 1e3:.0f} ms.",
    "a": f"Torque left beside the weight, over the largest inertia; at most {ACCELERATION_MAX:.0f} rad/s2.",
    "armature": "A guess: the FR3's 0.1 kg m2 for 87 N m, scaled by torque. Gains count on half of it only.",
}


def held_by_friction(body: Body, k: Vector, arm: Arm) -> str:
    """What the URDF's dry friction does to the joint law: it rests up to friction / stiffness away."""
    off = np.asarray(body.model.upperDryFrictionLimit) / np.maximum(k, 1e-9)
    far = [f"{j.name} {x:.2g} rad" for j, x in zip(arm.joints, off, strict=True) if x > 0.01]
    return f"dry friction of the URDF may hold joints beside their targets: {', '.join(far)}" if far else ""


def home(body: Body, at: Limits) -> Vector:
    """A good posture to start from: free of collision, well inside the range, easy to move from.

    Of random postures in the middle of the range, the one with the best sum of: manipulability
    sqrt(det(J J^T)) of the tool relative to the best, torque and range left over, and tool ahead and
    pointing down; postures that reach below the base are taken only if there are no others.

    Raises:
        ConfigError: every posture collides with itself.
    """
    candidates = np.vstack([(at.q_min + at.q_max) / 2.0, body.samples(1500, share=0.6)])
    candidates = np.round(candidates, 2)
    free = [q for q in candidates if body.is_free(q) and (q > at.q_min).all() and (q < at.q_max).all()]
    if not free:
        raise ConfigError("home", "every posture tried collides with itself; check the collision shapes of the URDF")
    scores = []
    reach = max(float(np.linalg.norm(body.tool(q)[:3, 3])) for q in free)
    for q in free:
        J = body.jacobian(q)
        J = np.vstack([J[:3] / reach, J[3:]])
        singular = np.linalg.svd(J, compute_uv=False)
        load = float((np.abs(body.gravity(q)) / at.tau_max).max())
        room = float((np.minimum(q - at.q_min, at.q_max - q) / np.minimum((at.q_max - at.q_min) / 2, np.pi)).min())
        low = body.lowest(q)
        tool = body.tool(q)
        down = -float(tool[2, 2]) if body.nq >= 6 else 0.0
        ahead = float(tool[0, 3] / max(np.hypot(tool[0, 3], tool[1, 3]), 1e-6))
        rest = room - max(0.0, load - 0.5) + 0.3 * (down + ahead) - 2.0 * (low < 0.02)
        scores.append((float(np.prod(singular)), rest))
    table = np.array(scores)
    total = table[:, 0] / max(float(table[:, 0].max()), 1e-12) + table[:, 1]
    best: Vector = free[int(np.argmax(total))]
    return best


def check_home(body: Body, at: Limits, q_home: Vector) -> Vector:
    """A home posture that a person chose.

    Raises:
        ConfigError: it is outside the limits, or the arm collides with itself there.
    """
    if not ((q_home > at.q_min) & (q_home < at.q_max)).all():
        raise ConfigError("home", f"{q_home.tolist()} is outside the limits {at.q_min.round(3)} to {at.q_max.round(3)}")
    pairs = body.colliding(q_home)
    if pairs:
        raise ConfigError(
            "home", f"the arm collides with itself there: {', '.join(' and '.join(p) for p in sorted(pairs))}"
        )
    return q_home


def joint_gains(body: Body, at: Limits, q_home: Vector) -> tuple[Vector, Vector]:
    r"""Stiffness and damping of the joint law.

    Stiffness: 0.1 rad of error asks for half the torque, at most 600 N m/rad. Damping: critical for
    the inertia at home. The damping is then lowered, joint by joint where it bites most, until in
    every sampled posture it takes at most about a third of any motion in one period,

    .. math:: \lambda_{max}(M^{-1} D)\, T \le 0.35.

    A damper that answers one period late is stable below 1 (the roots of z^2 - z + dT/m are inside
    the unit circle for dT/m < 1): a margin of three. The inertia counts half of the guessed
    armature. Where the damping is lowered the stiffness follows its square, so that the joint stays
    critically damped.

    Returns:
        Stiffness [N·m/rad] and damping [N·m·s/rad], (nq,) each.
    """
    inertia = body.mass_matrix(q_home, at.armature).diagonal()
    k = np.minimum(0.5 * at.tau_max / ERROR_RAD, STIFFNESS_MAX)
    d = 2.0 * np.sqrt(k * inertia)
    inverses = _inverses(body, at)
    for _ in range(500):
        worst, motion = _fastest([x * d for x in inverses])
        if worst <= DECAY_MAX:
            break
        d[int(np.argmax(d * motion**2))] *= 0.93
    return np.minimum(k, d**2 / (4.0 * inertia)), d


def gains(body: Body, at: Limits, q_home: Vector) -> Gains:
    """All gains; the Cartesian ones by the rule of :func:`joint_gains`, with J^T D J in the place of D."""
    k_joint, d_joint = joint_gains(body, at, q_home)
    inverses = _inverses(body, at)
    free = float((1.0 / np.max([x.diagonal() for x in inverses], axis=0)).min())  # least inertia of any joint alone
    null_d = min(2.0, 0.05 * free / DT)
    k_m, k_rad = _tool_stiffness(body, at, q_home)
    tools = []
    for q in _postures(body):
        J = body.jacobian(q)
        tools.append((J, task_mobility(J, body.mass_matrix(q, at.armature))))

    def worst(k: Vector) -> float:
        rates = []
        for inverse, (J, mobility) in zip(inverses, tools, strict=True):
            rates.append(inverse @ J.T @ (task_damping(mobility, k, np.ones(6))[:, None] * J))
        return _fastest(rates)[0]

    for _ in range(60):
        if worst(np.array([k_m] * 3 + [k_rad] * 3)) <= DECAY_MAX:
            break
        along, about = worst(np.array([k_m] * 3 + [0.0] * 3)), worst(np.array([0.0] * 3 + [k_rad] * 3))
        k_m, k_rad = (0.85 * k_m, k_rad) if along > about else (k_m, 0.85 * k_rad)
    limit_d = min(20.0, 0.2 * free / DT)
    limit_k = min(200.0, 0.01 * free / DT**2)
    return Gains(k_joint, d_joint, k_m, k_rad, min(5.0, 2.5 * null_d), null_d, limit_k, limit_d)


def _tool_stiffness(body: Body, at: Limits, q_home: Vector) -> tuple[float, float]:
    """Stiffness at which the bounded error asks for half the torque left near home."""
    rng = np.random.default_rng(1)
    forces = []
    for q in np.clip(q_home + rng.uniform(-0.3, 0.3, (50, body.nq)), at.q_min, at.q_max):
        J = body.jacobian(q)
        spare = 0.5 * np.maximum(at.tau_max - np.abs(body.gravity(q)), 0.1 * at.tau_max)
        lever, turn = (np.maximum(np.linalg.norm(J[rows], axis=0), 1e-6) for rows in (slice(0, 3), slice(3, 6)))
        forces.append(((spare / lever).min(), (spare / turn).min()))
    force, torque = np.median(forces, axis=0)
    return min(float(force) / ERROR_M, STIFFNESS_MAX_M), min(float(torque) / ERROR_TOOL_RAD, STIFFNESS_MAX_TOOL)


def _postures(body: Body) -> Vector:
    """Postures the stability of the gains is checked in, over the whole range."""
    return body.samples(POSTURES // 2, seed=2)


def _inverses(body: Body, at: Limits) -> list[Vector]:
    """Inverse inertia at those postures; half of the guessed armature counts."""
    return [np.asarray(np.linalg.inv(body.mass_matrix(q, at.armature / 2.0)), float) for q in _postures(body)]


def _fastest(rates: list[Vector]) -> tuple[float, Vector]:
    """Largest share of a motion that a damping takes in one period, and that motion.

    Args:
        rates: M^-1 D of each posture, (nq, nq) [1/s].
    """
    best, motion = 0.0, np.zeros(len(rates[0]))
    for rate in rates:
        values, vectors = np.linalg.eig(rate)
        k = int(np.argmax(np.abs(values)))
        if abs(values[k]) * DT > best:
            best, motion = float(abs(values[k])) * DT, np.abs(vectors[:, k])
    return best, motion
