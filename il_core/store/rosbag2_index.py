"""metadata.yaml: the index that lets ``ros2 bag`` open a recording."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

INDEX_FILE = "metadata.yaml"
# Version 5 is what Humble writes and every later release reads; 6 to 9 add nothing we need.
INDEX_VERSION = 5
_FOREVER = {"sec": 9223372036, "nsec": 854775807}
_QOS = {  # rmw's numbers: keep last, reliable, volatile, automatic liveliness
    "history": 1,
    "depth": 512,
    "reliability": 1,
    "durability": 2,
    "deadline": dict(_FOREVER),
    "lifespan": dict(_FOREVER),
    "liveliness": 1,
    "liveliness_lease_duration": dict(_FOREVER),
    "avoid_ros_namespace_conventions": False,
}


def index_text(data_file: str, types: Mapping[str, str], counts: Mapping[str, int], span: tuple[int, int]) -> str:
    """Text of ``metadata.yaml``.

    Args:
        data_file: Name of the MCAP file beside it.
        types: Message type per topic.
        counts: Messages per topic.
        span: First and last log time [ns].
    """
    total = sum(counts.values())
    start = {"nanoseconds_since_epoch": span[0]}
    duration = {"nanoseconds": span[1] - span[0]}
    qos = yaml.safe_dump([_QOS], sort_keys=False)
    topics = [
        {
            "topic_metadata": {
                "name": topic,
                "type": kind,
                "serialization_format": "cdr",
                "offered_qos_profiles": qos,
            },
            "message_count": counts[topic],
        }
        for topic, kind in types.items()
    ]
    info = {
        "version": INDEX_VERSION,
        "storage_identifier": "mcap",
        "duration": duration,
        "starting_time": start,
        "message_count": total,
        "topics_with_message_count": topics,
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [data_file],
        "files": [{"path": data_file, "starting_time": start, "duration": duration, "message_count": total}],
    }
    return yaml.dump({"rosbag2_bagfile_information": info}, Dumper=_NoAliases, sort_keys=False)


class _NoAliases(yaml.SafeDumper):
    """Plain YAML without anchors: other YAML readers need not know them."""

    def ignore_aliases(self, data: object) -> bool:
        return True
