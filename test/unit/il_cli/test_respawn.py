"""Starting nodes again: after a crash, not after a refusal, and not for ever."""

from il_cli.respawn import MOST_ENDS, SETTLED_S, WINDOW_S, Lives, how_it_ended


def test_a_crash_is_worth_another_try_at_once():
    lives = Lives()
    lives.begin(0.0)
    assert lives.end(-11, 1.0) == ""


def test_a_node_that_refuses_its_parameters_is_not_started_again():
    lives = Lives()
    lives.begin(0.0)
    assert lives.end(1, SETTLED_S / 2) == "it refused to start"


def test_an_error_after_a_long_life_is_worth_another_try():
    lives = Lives()
    lives.begin(0.0)
    assert lives.end(1, SETTLED_S + 1) == ""
    lives.begin(SETTLED_S + 3)
    assert lives.end(1, SETTLED_S + 4) == ""  # the device may still be busy: it has worked with these parameters


def test_a_node_that_keeps_crashing_is_given_up():
    lives = Lives()
    answers = []
    for k in range(MOST_ENDS + 1):
        lives.begin(3.0 * k)
        answers.append(lives.end(-11, 3.0 * k + 1))
    assert answers[:-1] == [""] * MOST_ENDS
    assert answers[-1] == f"it ended {MOST_ENDS + 1} times within 60 s"


def test_crashes_far_apart_do_not_add_up():
    lives = Lives()
    for k in range(10):
        lives.begin(k * WINDOW_S)
        assert lives.end(-9, k * WINDOW_S + 50) == ""


def test_exit_statuses_in_words():
    assert how_it_ended(3) == "exit status 3"
    assert how_it_ended(-9) == "signal SIGKILL"
