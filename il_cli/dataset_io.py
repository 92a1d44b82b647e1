"""`il dataset export|import|import-bag|import-hand-guided`: other people's formats, out and in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from il_cli.dataset_common import Folder, Kinematics, Out, Task, clear_errors, left_out, outcome_of, progress_of, say

if TYPE_CHECKING:
    from il_teleop.dataset.import_foreign import Source
    from il_teleop.dataset.mapping import Mapping

Map = Annotated[Path | None, typer.Option("--map", help="YAML file: which column or topic means what.")]


def export(
    dataset: Folder,
    out: Out,
    rgb: Annotated[str, typer.Option(help="av1 or h264 video (lossy), or png (lossless, larger).")] = "av1",
    depth: Annotated[str, typer.Option(help="png (lossless), or video (LeRobot's 12-bit code).")] = "png",
    resume: Annotated[bool, typer.Option(help="Go on with an export that was stopped.")] = False,
) -> None:
    """Write a dataset as LeRobotDataset v3.0; stopped at any instant, the episodes written are whole.

    Example: il dataset export data/datasets/pick_place --out data/lerobot/pick_place
    """
    from il_core.store.episodes import EpisodeStore
    from il_teleop.dataset.lerobot_out import ExportOptions, export_lerobot

    with clear_errors():
        store = EpisodeStore.open(dataset)
        with progress_of("export") as progress:
            report = export_lerobot(store, out, ExportOptions(rgb, depth, resume), progress)
    for line in report.left_out:
        say(f"column left out: {line}")
    say(f"{report.episodes} episodes, {report.ticks} ticks in {report.path}")


def import_(
    source: Annotated[Path, typer.Argument(help="LeRobot directory (v3, or v2 tables), or robomimic .hdf5 file.")],
    out: Out,
    task: Task = "pick_place",
    map_: Map = None,
) -> None:
    """Turn a LeRobot or robomimic dataset into one of ours; without --map, list what was found.

    Exports of ours need no mapping. Depth that was stored as video comes back in LeRobot's steps.

    Example: il dataset import ~/droid_100 --map droid.yaml --task pick_place_15hz.yaml --out data/datasets/droid
    """
    from il_core.config import load_setup, load_yaml
    from il_teleop.dataset.import_foreign import import_episodes
    from il_teleop.dataset.mapping import Mapping

    with clear_errors():
        setup = load_setup(task)
        mapping = load_yaml(map_, Mapping) if map_ else None
        with progress_of("import") as progress:
            opened = _opened(source, mapping)
            report = import_episodes(opened, mapping, setup, out, Kinematics(setup), progress)
    left_out(report.rejected)
    say(f"{len(report.episodes)} episodes in {report.path}")


def _opened(source: Path, mapping: Mapping | None) -> Source:
    """The reader that fits: a file is robomimic's, a folder LeRobot's."""
    if source.is_file() or source.suffix in (".hdf5", ".h5"):
        from il_teleop.dataset.robomimic import RobomimicFile

        return RobomimicFile(source)
    from il_teleop.dataset.import_foreign import open_lerobot

    return open_lerobot(source, mapping)


def import_bag(
    bags: Annotated[list[Path], typer.Argument(help="rosbag2 folders, .mcap or .db3 files; one demonstration each.")],
    map_: Annotated[Path, typer.Option("--map", help="YAML file: which topic means what.")],
    out: Annotated[Path, typer.Option(help="Folder of all recordings.")] = Path("data/recordings"),
    task: Task = "pick_place",
    outcome: Annotated[str, typer.Option(help="How the demonstrations ended.")] = "unlabelled",
    operator: Annotated[str, typer.Option(help="Who showed them.")] = "",
) -> None:
    """Turn plain bags into recordings, for `il dataset build`.

    Example: il dataset import-bag bags/demo_* --map lab_topics.yaml --outcome success
    """
    from il_core.config import load_setup, load_yaml
    from il_teleop.dataset.bag_in import BagMapping, import_bag

    with clear_errors():
        setup, mapping = load_setup(task), load_yaml(map_, BagMapping)
        judged, kinematics = outcome_of(outcome, "--outcome"), Kinematics(setup)
        for bag in bags:
            say(str(import_bag(bag, mapping, setup, out, forward=kinematics, outcome=judged, operator=operator)))


def import_hand_guided(
    mat: Annotated[Path, typer.Argument(help="symbol_<n>.mat of the Panda Co-Manipulation Dataset.")],
    out: Annotated[Path, typer.Option(help="Folder of all recordings.")] = Path("data/recordings"),
    task: Task = "draw_symbol",
) -> None:
    """Turn hand-guided drawings into recordings.

    Example: il dataset import-hand-guided data/panda_hand_guided/symbol_17.mat --out data/recordings
    """
    from il_core.config import load_setup
    from il_teleop.dataset.hand_guided import import_hand_guided as import_drawings

    with clear_errors():
        with progress_of("import") as progress:
            paths = import_drawings(mat, out, load_setup(task), progress)
        for path in paths:
            say(str(path))
