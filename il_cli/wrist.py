"""The simulated wrist's force sensor in one process with the controller: what `wrist/wrench` carries over the wire."""

from __future__ import annotations

from il_control.cycle import ControlCycle
from il_sim.plant import Plant


def offer_wrench(cycle: ControlCycle, plant: Plant) -> None:
    """Hand the sensor's present wrench to a controller whose settings ask for it in that frame.

    In another frame nothing is handed over, as the controller's node refuses it: without a wrench it holds.
    """
    sensor, wrist = plant.robot.wrench_sensor, cycle.config.wrist
    if sensor is not None and wrist is not None and wrist.frame == sensor.frame:
        cycle.offer_wrench(plant.now_ns, plant.wrench())
