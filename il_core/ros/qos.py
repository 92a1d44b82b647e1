"""Quality of service, chosen once.

Publishers are reliable, so that a recorder can ask for every message; who only wants the newest
subscribes best-effort with depth 1 and never makes the publisher wait.
"""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

LATEST = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Subscribe: only the newest counts (control, displays)."""

COMMAND = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
"""Publish or subscribe to targets and plans: the newest, surely delivered."""

STREAM = QoSProfile(depth=512, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
"""Publish or record small messages up to 1 kHz: half a second may wait for a slow reader."""

IMAGE = QoSProfile(depth=32, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
"""Publish or record images: a second at 30 Hz may wait."""

LATCHED = QoSProfile(
    depth=1,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Publish or subscribe to what late joiners must see."""
