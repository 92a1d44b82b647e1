"""robomimic HDF5 files as raw episodes; what could reach outside the file or fill the memory is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.errors import ConfigError, EpisodeError, nearest
from il_core.types import Outcome
from il_teleop.dataset.foreign import RawEpisode

try:
    import h5py
except ImportError:
    raise ConfigError("robomimic files", "need h5py; install it with `pip install h5py`") from None

MAX_BYTES = 8 << 30  # one array; a demonstration of 10 min at 20 Hz with 480x640 pictures has 11 GB over 3 cameras
MAX_ROWS = 1_000_000
MAX_OBJECTS = 1_000_000
_FILTERS = {1, 2, 3, 4, 5, 6, 32000}  # deflate .. scale-offset, lzf: inside the library; others load plugins


class RobomimicFile:
    """A file with ``data/demo_<i>`` groups.

    Attributes:
        path: The file.
        columns: Numbers of the first demonstration, by path below its group.
        pictures: Arrays of pictures, (N, H, W, 3) uint8 or depth (N, H, W[, 1]).
    """

    def __init__(self, path: Path) -> None:
        """Look through the file without reading its arrays.

        Raises:
            EpisodeError: no such file, not HDF5, hostile, or without demonstrations.
        """
        self.path = path
        self.columns: dict[str, str] = {}
        pictures = []
        with _opened(path) as file:
            data = _group(file, "data", path)
            self._rate_hz = _rate(data)
            self._demos = sorted((n for n in data if n.startswith("demo")), key=_number)
            if not self._demos:
                raise EpisodeError(path, f"has no group data/demo_0; below data there is {sorted(data)[:10]}")
            for name, array in _arrays(_group(data, self._demos[0], path), path):
                if array.dtype == np.uint8 and array.ndim == 4 or ("depth" in name and array.ndim >= 3):
                    pictures.append(name)
                else:
                    self.columns[name] = f"{array.dtype}{list(array.shape)}"
        self.pictures = tuple(pictures)

    def __len__(self) -> int:
        """Number of demonstrations."""
        return len(self._demos)

    def episode(self, i: int) -> RawEpisode:
        """A demonstration, read when asked.

        Raises:
            EpisodeError: its arrays have different lengths.
        """
        name = self._demos[i]
        with _opened(self.path) as file:
            group = _group(_group(file, "data", self.path), name, self.path)
            lengths = {n: a.shape[0] for n, a in _arrays(group, self.path) if a.ndim and not n.startswith("next_obs")}
            length = lengths.get("actions", 0)
            if not length or any(n != length for n in lengths.values()):
                raise EpisodeError(
                    self.path, f"{name}: arrays differ in length: {lengths}; expected those of 'actions'"
                )
            rewards = _read(group, "rewards", self.path) if "rewards" in lengths else None
        outcome = Outcome.UNLABELLED
        if rewards is not None:
            outcome = Outcome.SUCCESS if (rewards > 0).any() else Outcome.UNLABELLED
        return RawEpisode(
            name=name,
            length=length,
            rate_hz=self._rate_hz,
            instruction="",
            outcome=outcome,
            numbers=lambda column: self._numbers(name, column),
            rgb=lambda key: self._rgb(name, key),
            depth=lambda key, unit_m: self._depth(name, key, unit_m),
        )

    def _numbers(self, demo: str, column: str) -> NDArray[Any]:
        if column not in self.columns:
            raise EpisodeError("column", f"no '{column}'; {nearest(column, list(self.columns))}")
        with _opened(self.path) as file:
            values = _read(file["data"][demo], column, self.path)
        return values if values.ndim < 2 else values.reshape(len(values), -1)

    def _rgb(self, demo: str, key: str) -> Iterator[NDArray[np.uint8]]:
        for picture in self._rows(demo, key):
            if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
                raise EpisodeError(self.path, f"'{key}' is {picture.shape} {picture.dtype}, expected (H, W, 3) uint8")
            yield np.ascontiguousarray(picture)

    def _depth(self, demo: str, key: str, unit_m: float) -> Iterator[NDArray[np.float32]]:
        for picture in self._rows(demo, key):
            flat = picture[..., 0] if picture.ndim == 3 else picture
            # Floating depth is in metres already.
            scale = 1.0 if flat.dtype.kind == "f" else unit_m
            yield np.nan_to_num(flat.astype(np.float32) * np.float32(scale), nan=0.0, posinf=0.0, neginf=0.0)

    def _rows(self, demo: str, key: str) -> Iterator[NDArray[Any]]:
        if key not in self.pictures:
            raise EpisodeError(self.path, f"no pictures '{key}'; {nearest(key, list(self.pictures))}")
        with _opened(self.path) as file:
            array = _array(file["data"][demo], key, self.path)
            for k in range(array.shape[0]):
                yield np.asarray(array[k])


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise EpisodeError(path, "no such file; give a robomimic .hdf5") from None
    except OSError as error:
        raise EpisodeError(path, f"is no readable HDF5 file ({error}); copy it again") from error


def _link(group: h5py.Group, name: str, path: Path) -> Any:  # noqa: ANN401 - group or dataset
    """Member of a group that lies in the same place of the same file.

    Raises:
        EpisodeError: missing, or a link that leads elsewhere.
    """
    link = group.get(name, getlink=True)
    if link is None:
        raise EpisodeError(path, f"has no '{name}' in {group.name}; {nearest(name, list(group))}")
    if not isinstance(link, h5py.HardLink):
        kind = type(link).__name__
        raise EpisodeError(path, f"'{name}' in {group.name} is a {kind}, which may lead elsewhere; refused")
    return group[name]


def _group(parent: h5py.Group, name: str, path: Path) -> h5py.Group:
    member = _link(parent, name, path)
    if not isinstance(member, h5py.Group):
        raise EpisodeError(path, f"'{name}' in {parent.name} is no group")
    return member


def _arrays(group: h5py.Group, path: Path, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, h5py.Dataset]]:
    """All arrays below a group by their path, each checked."""
    if depth > 4 or len(group) > MAX_OBJECTS:
        raise EpisodeError(path, f"{group.name} is nested or filled beyond any demonstration; refused")
    for name in group:
        member = _link(group, name, path)
        if isinstance(member, h5py.Group):
            yield from _arrays(member, path, f"{prefix}{name}/", depth + 1)
        elif isinstance(member, h5py.Dataset):
            _check(member, path)
            yield prefix + name, member


def _array(group: h5py.Group, name: str, path: Path) -> h5py.Dataset:
    *folders, last = name.split("/")
    for folder in folders:
        group = _group(group, folder, path)
    array = _link(group, last, path)
    if not isinstance(array, h5py.Dataset):
        raise EpisodeError(path, f"'{name}' is no array")
    _check(array, path)
    return array


def _check(array: h5py.Dataset, path: Path) -> None:
    """Refuse arrays that are too large, no numbers, or stored outside the file."""
    where = f"array {array.name}"
    if array.dtype.kind not in "biuf":
        raise EpisodeError(path, f"{where} holds {array.dtype}, expected numbers; refused")
    size = array.dtype.itemsize
    for n in array.shape:
        size *= n
    if size > MAX_BYTES or (array.shape and array.shape[0] > MAX_ROWS):
        raise EpisodeError(path, f"{where} claims {array.shape} {array.dtype}, {size / 1e9:.1f} GB; refused")
    if array.is_virtual or array.external:
        raise EpisodeError(path, f"{where} is stored in other files; refused")
    plan = array.id.get_create_plist()
    filters = {plan.get_filter(i)[0] for i in range(plan.get_nfilters())}
    if not filters <= _FILTERS:
        raise EpisodeError(path, f"{where} needs the plugin filters {sorted(filters - _FILTERS)}; store it with gzip")


def _read(group: h5py.Group, name: str, path: Path) -> NDArray[Any]:
    array = _array(group, name, path)
    try:
        return np.asarray(array[()])
    except OSError as error:
        raise EpisodeError(path, f"array {array.name} is damaged ({error}); copy the file again") from error


def _rate(data: h5py.Group) -> float | None:
    """Control rate of the environment, if the file says it [Hz]."""
    try:
        settings = json.loads(str(data.attrs["env_args"])).get("env_kwargs", {})
        return float(settings["control_freq"])
    except (KeyError, ValueError, TypeError, AttributeError, OSError):
        return None


def _number(name: str) -> tuple[int, str]:
    digits = name.rpartition("_")[2]
    return (int(digits) if digits.isdigit() else -1, name)
