"""Secure mode: who asks for it, what each process is told, which keys are missing."""

import pytest

from il_core import security


def test_only_true_asks_for_it_however_it_is_written():
    assert [security.is_wanted({security.ENABLE: v}) for v in ("true", "True", " TRUE ", "false", "", "1")] == [
        *[True] * 3,
        *[False] * 3,
    ]
    assert not security.is_wanted({})


def test_without_it_nothing_changes():
    assert security.secured({"A": "b"}, "sim") == {"A": "b"}
    assert security.enforced({}) == {}


def test_each_process_gets_its_own_enclave_and_never_the_permissive_strategy():
    given = {security.ENABLE: "True", security.STRATEGY: "Permissive", security.ENCLAVE: "/il_robot/il", "A": "b"}
    assert security.secured(given, "controller") == {
        "A": "b",
        "ROS_SECURITY_ENABLE": "true",
        "ROS_SECURITY_STRATEGY": "Enforce",
        "ROS_SECURITY_ENCLAVE_OVERRIDE": "/il_robot/controller",
    }


def permissions(namespace, domain):
    """As `ros2 security generate_artifacts` writes them."""
    space = f"{namespace}/" if namespace else ""
    topics = f"<topic>rr/{space}sim/get_parametersReply</topic><topic>rt/{space}joint_states</topic>"
    return f"MIME-Version: 1.0\n\n<domains>\n<id>{domain}</id>\n</domains><topics>{topics}</topics>"


@pytest.mark.parametrize(
    ("namespace", "domain", "why"),
    [
        ("left", "7", ""),
        ("left", "0", "is for ROS_DOMAIN_ID 7, not 0"),
        ("", "7", "is for namespace 'left', not ''"),
        ("left/upper", "7", "is for namespace 'left', not 'left/upper'"),
    ],
)
def test_permissions_of_another_arm_are_recognised(namespace, domain, why):
    assert security.misfit(permissions("left", 7), "sim", namespace, domain) == why


def test_permissions_without_a_namespace_are_recognised_and_the_command_may_speak_everywhere():
    assert security.misfit(permissions("", 0), "sim", "", "0") == ""
    assert security.misfit(permissions("", 0), "sim", "left", "0") == "is for namespace '', not 'left'"
    assert security.misfit(permissions("left", 0).replace("/sim/", "/il/"), "il", "right", "0") == ""
    assert security.misfit("no permissions of ours", "sim", "left", "0") == ""


def test_every_missing_key_is_named(tmp_path):
    folder = tmp_path / "enclaves" / "il_robot" / "sim"
    folder.mkdir(parents=True)
    for name in security.ENCLAVE_FILES[1:]:
        (folder / name).write_text("x")
    assert security.missing_files(tmp_path, ["sim"]) == [folder / "identity_ca.cert.pem"]
    assert len(security.missing_files(tmp_path, ["sim", "controller"])) == 1 + len(security.ENCLAVE_FILES)
