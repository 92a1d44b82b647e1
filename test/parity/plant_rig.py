"""Plant and cycle, a millisecond a step, with the report of every step."""

from __future__ import annotations


class PlantRig:
    """Steps a cycle on a plant; a subclass makes both, and an empty list of reports."""

    @property
    def last(self):
        return self.reports[-1]

    def run(self, ms):
        for _ in range(ms):
            self.reports.append(self.cycle.step(self.plant.read(), self.plant.now_ns))
            self.plant.write(self.last.setpoint)
            self.plant.step()
        return self.reports[-ms:]
