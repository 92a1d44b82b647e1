"""Every scripted operator fulfils its task on the simulated arm, through retargeting and control; none by luck."""

import numpy as np
import pytest

from il_control.cycle import make_cycle
from il_core.config import config_dir, load_setup, load_yaml
from il_core.errors import ConfigError
from il_core.types import ArmCommand
from il_sim.experts import make_operator
from il_sim.plant import Plant
from il_sim.tasks.go_around import POLE_RADIUS_M, POLE_XY_M
from il_teleop.retarget import Motion, RetargetConfig, Retargeter

SEEDS_OF_BOTH_SIDES = (0, 1)
TICK = 20  # steps of 1 ms between two decisions


class Show:
    """One demonstration in one process, without cameras."""

    def __init__(self, task, seed):
        setup = load_setup(task)
        self.plant, self.cycle = Plant(setup, seed), make_cycle(setup)
        self.config = load_yaml(config_dir() / "teleop" / "retarget.yaml", RetargetConfig)
        self.retargeter, self.closed = Retargeter(self.config), []

    def step(self):
        report = self.cycle.step(self.plant.read(), self.plant.now_ns)
        self.plant.write(report.setpoint)
        self.plant.step()
        return report

    def run(self, operator):
        while not operator.is_done:
            report = self.step()
            if self.plant.steps % TICK == 0:
                self.drive(operator, report.T_base_ee)
        for _ in range(500):
            self.step()
        return self.plant.is_done()

    def drive(self, operator, T_base_ee):
        plant = self.plant
        scene = {name: plant.object_pose(name) for name in plant.task.objects}
        velocity, is_closed = operator.command(T_base_ee[:3, 3], scene, TICK * 1e-3)
        self.closed.append(is_closed)
        stick = np.clip(velocity / self.config.max_speed_m_s, -1.0, 1.0)
        T_des = self.retargeter.step(plant.now_ns, Motion(linear=tuple(map(float, stick)), is_engaged=True), T_base_ee)
        self.cycle.offer_command(ArmCommand(plant.now_ns, T_des, 0.0 if is_closed else 1.0))


@pytest.mark.parametrize("seed", [100, 101])
@pytest.mark.parametrize("task", ["reach", "push", "peg_insert", "go_around"])
def test_the_operator_fulfils_the_task(task, seed):
    assert Show(task, seed).run(make_operator(task, seed))


@pytest.mark.parametrize("task", ["reach", "push", "peg_insert", "go_around"])
def test_an_arm_that_only_holds_fulfils_no_task(task):
    show = Show(task, 100)
    for _ in range(1000):
        show.step()
    assert not show.plant.is_done()


def test_both_ways_around_the_pole_are_shown():
    sides = set()
    for seed in SEEDS_OF_BOTH_SIDES:
        show, operator = Show("go_around", seed), make_operator("go_around", seed)
        beside = []
        while not operator.is_done:
            report = show.step()
            if show.plant.steps % TICK == 0:
                show.drive(operator, report.T_base_ee)
                x, y, z = report.T_base_ee[:3, 3]
                if z < 0.12 and abs(y - POLE_XY_M[1]) < 0.02:
                    beside.append(x - POLE_XY_M[0])
        assert min(np.abs(beside)) > POLE_RADIUS_M
        sides.add(np.sign(np.mean(beside)))
    assert sides == {-1.0, 1.0}


def test_a_task_nobody_can_show_is_refused_with_those_that_can_be():
    with pytest.raises(ConfigError, match="cannot show task 'draw_symbol'.*reach"):
        make_operator("draw_symbol", 0)
