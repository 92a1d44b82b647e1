"""`il doctor`: a remedy with every complaint, and a status scripts can rely on."""

import json
from xml.etree import ElementTree

import pytest

from il_cli import doctor
from il_core.graph import transport_profile

GOOD = doctor.Finding("one", True, "there", required=True)
POOR = doctor.Finding("two", False, "absent", "get it")
BAD = doctor.Finding("three", False, "absent", "get it now", required=True)


def test_a_missing_requirement_is_a_failure(capsys):
    assert doctor.report([GOOD, BAD], as_json=False) == 1
    shown = capsys.readouterr().out
    assert "missing" in shown
    assert "-> get it now" in shown


def test_a_missing_convenience_is_only_a_note(capsys):
    assert doctor.report([GOOD, POOR], as_json=False) == 0
    shown = capsys.readouterr().out
    assert "note" in shown
    assert "-> get it" in shown


def test_json_holds_every_finding_and_nothing_else(capsys):
    assert doctor.report([GOOD, POOR, BAD], as_json=True) == 1
    assert [f["name"] for f in json.loads(capsys.readouterr().out)] == ["one", "two", "three"]


def test_a_probe_that_crashes_is_reported_not_raised():
    ok, found = doctor._probe("import os; print('before', flush=True); os.abort()")
    assert not ok
    assert found == "before"


def test_a_probe_that_fails_tells_its_error():
    ok, found = doctor._probe("raise SystemExit('no display')")
    assert (ok, found) == (False, "no display")


@pytest.mark.parametrize("found", ["SingleThreadedExecutor", "ModuleNotFoundError: No module named 'rclpy'"])
def test_an_executor_on_which_1_khz_was_not_measured_is_noted_with_the_version_that_has_the_other(found):
    noted = doctor.judge_executor(found.endswith("Executor"), found)
    assert (noted.ok, noted.required, noted.found) == (False, False, found)
    assert "7.1.4" in noted.remedy
    assert doctor.judge_executor(True, "EventsExecutor").ok
    assert doctor._executor in doctor.EXAMINATIONS


@pytest.mark.parametrize(("found", "ok"), [("4194304", True), ("212992", False), ("unknown", False)])
def test_a_receive_buffer_smaller_than_the_transport_asks_for_is_noted(found, ok):
    noted = doctor.judge_receive_buffer(found)
    assert (noted.ok, noted.required) == (ok, False) and found in noted.found
    assert "net.core.rmem_max=4194304" in noted.remedy
    assert doctor._receive_buffer in doctor.EXAMINATIONS


@pytest.mark.parametrize("reach", ["LOCALHOST", "SUBNET"])
def test_what_the_doctor_expects_is_what_the_transport_asks_for(reach):
    file = transport_profile({"ROS_AUTOMATIC_DISCOVERY_RANGE": reach})
    name = "{http://www.eprosima.com}receiveBufferSize"
    assert [e.text for e in ElementTree.parse(file).iter(name)] == [str(doctor.RECEIVE_BYTES)]


def test_every_real_complaint_comes_with_a_remedy():
    cheap = (doctor._python, doctor._realtime, doctor._disk, doctor._memory, doctor._cores)
    findings = [examine() for examine in cheap]
    assert all(f.found for f in findings)
    assert all(f.ok or f.remedy for f in findings)
