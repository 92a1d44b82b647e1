"""Secure mode: who asks for it, what each process is told, which keys are missing."""

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


def test_every_missing_key_is_named(tmp_path):
    folder = tmp_path / "enclaves" / "il_robot" / "sim"
    folder.mkdir(parents=True)
    for name in security.ENCLAVE_FILES[1:]:
        (folder / name).write_text("x")
    assert security.missing_files(tmp_path, ["sim"]) == [folder / "identity_ca.cert.pem"]
    assert len(security.missing_files(tmp_path, ["sim", "controller"])) == 1 + len(security.ENCLAVE_FILES)
