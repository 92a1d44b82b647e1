"""The files of a robot: YAML with the reason of every value, SRDF, and gains."""

from __future__ import annotations

import re

import numpy as np

from il_control.describe.body import Pair
from il_control.describe.derive import DECAY_MAX, ERROR_M, ERROR_RAD, Gains, Limits
from il_control.describe.tree import Arm
from il_core.spec import Interface
from il_core.types import Vector

CAMERA_HINT = "# Cameras are not part of a URDF: see config/robot/fr3.yaml for two."


def robot_yaml(name: str, source: str, arm: Arm, ee_frame: str, at: Limits, q_home: Vector, notes: list[str],
               interface: Interface) -> str:  # fmt: skip
    """config/robot/<name>.yaml."""
    warnings = [*at.warnings, *arm.notes, *notes]
    lines = [f"# Made from {source} by `il robot new`; read every reason before the arm moves."]
    lines += [f"# CHECK: {w}." for w in warnings[:12]]
    if len(warnings) > 12:
        lines.append(f"# ... and {len(warnings) - 12} notes more of the same kind.")
    joints = ", ".join(j.name for j in arm.joints)
    lines += [f"name: {name}", f"urdf: {name}.urdf", f"srdf: {name}.srdf", f"joint_names: [{joints}]"]
    lines += _gripper(arm)
    lines += [f"ee_frame: {ee_frame}", f"interface: {interface.value}"]
    lines += [
        "# Free of self-collision and inside the limits; if searched for, with the tool ahead and easy to move.",
        f"q_home_rad: {_list(q_home)}",
        f"# {at.why['armature']}",
        f"armature_kg_m2: {_list(at.armature)}",
        f"# {at.why['q']}",
        f"q_min_rad: {_list(at.q_min, np.ceil)}",
        f"q_max_rad: {_list(at.q_max, np.floor)}",
        f"# {at.why['v']}",
        f"v_max_rad_s: {_list(at.v_max)}",
        f"# {at.why['a']}",
        f"a_max_rad_s2: {_list(at.a_max)}",
        f"# {at.why['tau']}",
        f"tau_max_nm: {_list(at.tau_max)}",
        f"# {at.why['tau_rate']}",
        f"tau_rate_max_nm_s: {_list(at.tau_rate)}",
        CAMERA_HINT,
        "cameras: []",
    ]
    return "\n".join(lines) + "\n"


def _gripper(arm: Arm) -> list[str]:
    """The gripper's lines: open is where its joint is farther from zero."""
    if arm.gripper is None:
        return ['gripper_joint: ""  # none', "gripper_open_m: 1.0  # without meaning"]
    low, high = (-np.pi, np.pi) if not arm.gripper.is_limited else (arm.gripper.lower or 0.0, arm.gripper.upper or 0.0)
    opened, closed = (high, low) if abs(high) >= abs(low) else (low, high)
    unit = "m" if arm.gripper.kind == "prismatic" else "rad, it turns"
    return [
        f"gripper_joint: {arm.gripper.name}",
        f"# Taken to be open where it is farther from zero [{unit}]: check, and swap if it is the other way round.",
        f"gripper_open_m: {_number(opened)}",
        f"gripper_closed_m: {_number(closed)}",
    ]


SPEED_M_S, SPEED_RAD_S = 0.25, 1.0
RATES = {
    Interface.EFFORT: "1000",
    Interface.POSITION: "100  # of the answers; write the arm's own rate, 50 to 1000: more states are passed over",
    Interface.VELOCITY: "100  # of the answers; write the arm's own rate, 50 to 1000: more states are passed over",
}
SAFETY = f"""safety:
  # Every key, and what it does: docs/safety.md. Joint limits are those of config/robot/.
  # Left out on purpose: contact_force_max_n [N] has no default. A mode with people near the arm refuses to start
  # until somebody writes it here, from a risk assessment, or null: not monitored.
  # Speed limit of the tool: half more than the targets may have. Only what runs away gets there.
  tool_speed_max_m_s: {1.5 * SPEED_M_S}
  tool_speed_max_rad_s: {1.5 * SPEED_RAD_S}
  # The box the tool point may use, in base: measure your cell, then take the # away.
  # workspace_min_m: [-0.5, -0.5, 0.0]
  # workspace_max_m: [0.5, 0.5, 0.8]
  # The shapes are coarse: links that always come near to each other would be slowed down. Look at the distances
  # first, or add their pair to the SRDF; then switch it on, and write down what stands around the arm.
  check_collisions: false
  # obstacles:
  #   - name: table
  #     kind: half_space
  #     p_base_m: [0.0, 0.0, 0.0]
  #     except_links: []  # those that always are near it, or are to touch it
"""


def control_yaml(name: str, nq: int, g: Gains, interface: Interface = Interface.EFFORT) -> str:
    """config/control/<name>.yaml: conservative gains, and the settings of the gate."""
    rule = f"then lowered until max |eig(M^-1 D)| * 1 ms <= {DECAY_MAX} in every posture, with half of the armature"
    values = {
        "rate_hz": RATES[interface],
        "stiffness_n_m": _list(np.full(3, g.k_m)),
        "stiffness_nm_rad": _list(np.full(3, g.k_rad)),
        "damping_ratio": "1.0",
        "error_max_m": f"{ERROR_M}  # bounds the force of the spring in contact: {g.k_m * ERROR_M:.0f} N",
        "error_max_rad": "0.5",
        "null_stiffness_nm_rad": _number(g.null_k),
        "null_damping_nms_rad": _number(g.null_d),
        "joint_stiffness_nm_rad": _list(g.joint_k),
        "joint_damping_nms_rad": _list(g.joint_d),
        "speed_max_m_s": f"{SPEED_M_S}  # reduced speed of ISO 10218: what a person can still dodge",
        "speed_max_rad_s": str(SPEED_RAD_S),
        "acceleration_max_m_s2": "2.5",
        "acceleration_max_rad_s2": "10.0",
        "target_time_constant_s": "0.04  # two periods of the 50 Hz teleoperation: its steps do not show",
        "max_state_age_ms": "20.0",
        "max_plan_age_ms": "500.0  # five ticks at 10 Hz: inference takes one or two",
        "max_command_age_ms": "200.0",
        "limit_margin_rad": "0.05",
        "limit_stiffness_nm_rad": _number(g.limit_k),
        "limit_damping_nms_rad": _number(g.limit_d),
    }
    reasons = {
        "stiffness_n_m": f"The bounded error asks for half of the torque left near home, at most 600 N/m; {rule}.",
        "joint_stiffness_nm_rad": f"{ERROR_RAD} rad asks for half of the torque; critical at home; lowered likewise.",
        "null_stiffness_nm_rad": "From the smallest inertia of a joint alone: a preference of the elbow.",
        "limit_stiffness_nm_rad": "Cushion at the position limits: stable for the smallest inertia of a joint alone.",
    }
    lines = [f"# Gains of {name} ({nq} joints), made by `il robot new`: stable and soft rather than exact."]
    for key, value in values.items():
        if key in reasons:
            lines.append(f"# {reasons[key]}")
        lines.append(f"{key}: {value}")
    return "\n".join(lines) + "\n" + SAFETY


def srdf(name: str, pairs: list[Pair]) -> str:
    """The SRDF: pairs of links that are never checked against each other."""
    lines = [f'<?xml version="1.0"?>\n<robot name="{name}">']
    lines.append("  <!-- Adjacent: fixed to each other or one joint apart. Always: overlap in nine of ten postures.")
    lines.append("       Coarse: two joints apart, and the primitives overlap too often to tell. -->")
    for pair in pairs:
        lines.append(f'  <disable_collisions link1="{pair.first}" link2="{pair.second}" reason="{pair.reason}"/>')
    return "\n".join([*lines, "</robot>"]) + "\n"


def is_name(text: str) -> bool:
    """Whether a text can name a robot's files."""
    return re.fullmatch(r"[a-z][a-z0-9_]*", text) is not None


def _number(x: float) -> str:
    text = f"{x:.4g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _list(values: Vector, towards: np.ufunc | None = None) -> str:
    """A YAML list; limits are rounded inward."""
    if towards is not None:
        values = towards(values * 1e3) / 1e3
        return "[" + ", ".join(f"{x:.3f}" for x in values) + "]"
    return "[" + ", ".join(_number(float(x)) for x in values) + "]"
