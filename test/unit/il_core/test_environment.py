"""The transport of a process: as far as it is to reach, and no farther."""

import re

import pytest

from il_core.config import config_dir
from il_core.environment import LOCAL_FILE, TRANSPORT_FILE, ros_environment, transport_profile

FILE = "FASTDDS_DEFAULT_PROFILES_FILE"


@pytest.mark.parametrize(
    ("given", "name"),
    [({}, "fastdds_local.xml"), ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, "fastdds_local.xml")]
    + [({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, "fastdds_local.xml")]
    + [({"ROS_AUTOMATIC_DISCOVERY_RANGE": r}, "fastdds.xml") for r in ("SUBNET", "SYSTEM_DEFAULT")],
)
def test_ports_are_open_to_the_network_only_where_discovery_is_to_reach_it(given, name):
    assert transport_profile(given).name == name
    assert ros_environment(given)[FILE].endswith(f"dds/{name}")


def test_the_two_profiles_differ_in_the_address_only():
    wide, local = ((config_dir() / name).read_text() for name in (TRANSPORT_FILE, LOCAL_FILE))
    without_words = [re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL) for text in (wide, local)]
    address = r"<interfaceWhiteList>\s*<address>127\.0\.0\.1</address>\s*</interfaceWhiteList>"
    assert len(re.findall(address, without_words[1])) == 1
    assert re.sub(address, "", without_words[1]).split() == without_words[0].split()
