"""Environment variables of the processes of a graph: transport, discovery, threads and memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from il_core.config import config_dir

TRANSPORT_FILE, LOCAL_FILE = "dds/fastdds.xml", "dds/fastdds_local.xml"
"""Fast DDS profiles, below config/: the default loses images (docs/decisions/0008). The second hears this machine only;
the discovery range alone leaves the ports of a process open to the network."""
REACH_KEY, LOCAL = "ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"
PROFILE_KEY = "FASTDDS_DEFAULT_PROFILES_FILE"
_OLD_PROFILE_KEY = "FASTRTPS_DEFAULT_PROFILES_FILE"  # what Fast DDS 2 reads; Fast DDS 3 complains about it
_OLD_DISTROS = ("humble", "iron", "jazzy")


def transport_profile(base: Mapping[str, str] | None = None) -> Path:
    """File that says how processes talk to each other.

    Args:
        base: Variables that say how far they are to reach; as far as this machine if they do not.

    Raises:
        ConfigError: the folder of the configuration files is missing.
    """
    return config_dir() / (LOCAL_FILE if (base or {}).get(REACH_KEY, LOCAL) in (LOCAL, "OFF") else TRANSPORT_FILE)


def transport_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Variables that make Fast DDS read the profile; ``base`` is only asked which ROS it is, and how far it reaches."""
    keys = [PROFILE_KEY, *([_OLD_PROFILE_KEY] if base.get("ROS_DISTRO") in _OLD_DISTROS else [])]
    return dict.fromkeys(keys, str(transport_profile(base)))


def ros_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Environment that every process on the graph shares; what ``base`` already says stays.

    Returns:
        A copy of ``base`` with transport and discovery set.
    """
    ours = {
        **transport_environment(base),
        REACH_KEY: LOCAL,  # a controller should not meet a neighbour's arm
    }
    return {**ours, **base}


def node_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Environment of a node process: the graph's, one thread for numerics, headless GL, prompt logs, kept memory."""
    ours = {
        # Buffers of images are else taken from the kernel and given back for every message: page by page, that is a
        # quarter of the recorder's time (64 -> 50 % of a core at two cameras of 640x480; docs/decisions/0008).
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
        "OMP_NUM_THREADS": "1",  # worker threads of one node would preempt the control cycle of another
        "MUJOCO_GL": "egl",
        "PYTHONUNBUFFERED": "1",
    }
    return {**ours, **ros_environment(base)}
