"""``make bench-record``: what recording must show, measured in one run; see README.

Runs every part in ``benchmark/record/``: a module there with ``figures(*, quick)``. QUICK=1 is shorter, and says so.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from benchmark.figures import Bench, file_of, not_taken

PARTS = {  # module -> what it shows
    "throughput": "two cameras and 1 kHz for five minutes",
    "transport": "images through every transport at hand",
    "durability": "SIGKILLs at random instants",
    "corruption": "corrupted files",
    "stamps": "stored stamps of a slowed loop",
}


def main() -> int:
    """Run every part, or those named on the command line."""
    quick = bool(os.environ.get("QUICK"))
    wanted = sys.argv[1:] or list(PARTS)
    bench = Bench(file_of("record", wanted, PARTS))
    for name, what in PARTS.items():
        if name not in wanted:
            bench.add(not_taken(what, "left out by the command line"))
        elif not (Path(__file__).parent / "record" / f"{name}.py").exists():
            bench.add(not_taken(what, f"benchmark/record/{name}.py is not there"))
        else:
            bench.attempt(what, lambda n=name: _part(n).figures(quick=quick))
    return bench.finish()


def _part(name: str):  # noqa: ANN202 - a module
    return importlib.import_module(f"benchmark.record.{name}")


if __name__ == "__main__":
    sys.exit(main())
