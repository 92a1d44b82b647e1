"""What a task observes is in the pictures of its simulated scene, where it really is."""

import numpy as np
import pytest

from il_core.config import load_setup
from il_core.spec import Mount
from il_policy.transforms import locate
from il_sim.camera import Renderer
from il_sim.plant import Plant

TASKS = ("reach", "push", "pick_place", "peg_insert", "go_around")


@pytest.mark.parametrize("task", TASKS)
def test_every_object_of_a_task_is_seen_where_it_is(task):
    setup = load_setup(task)
    plant = Plant(setup)
    renderer = Renderer(plant.model, setup.robot)
    try:
        for seed in (0, 1, 100_000):
            plant.reset(seed)
            renderer.pose(plant.world_state())
            for thing in setup.task.objects:
                seen = []
                for camera in (setup.robot.camera(name) for name in setup.task.cameras):
                    mount = np.eye(4) if camera.mount is Mount.BASE else plant.ee_pose()
                    seen.append(locate(renderer.render(camera.name, 0), mount @ camera.T_mount_optical, thing))
                whole = [s for s in seen if s is not None and not s.is_cut]
                assert whole, f"{thing.name} of seed {seed} is in no picture as a whole"
                best = max(whole, key=lambda s: s.pixels)
                error_m = best.p_base - plant.object_pose(thing.name)[:3, 3]
                assert np.abs(error_m[:2]).max() < 0.02, (thing.name, seed, error_m)
                assert -0.01 < error_m[2] < 0.06, "the top of it"
    finally:
        renderer.close()
