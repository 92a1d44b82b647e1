"""Parquet tables of other people's layouts: numbers, texts, lists and pictures, in and out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from il_core.errors import EpisodeError

MAX_ROWS = 50_000_000  # 19 days at 30 Hz: more in one file is not a demonstration
MAX_CELLS = 1 << 30  # numbers of one column in memory at once, 8 GB
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_ITEM = {"float64": pa.float64(), "int64": pa.int64(), "string": pa.string()}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lists:
    """A column of lists.

    Attributes:
        rows: One nested list per row, all of the same depth.
        item: What is inside: ``float64``, ``int64`` or ``string``.
        depth: How often the lists are nested.
    """

    rows: Sequence[object]
    item: str
    depth: int = 1


Column = NDArray[Any] | Lists | Sequence[str] | Sequence[bytes]


def parquet_bytes(columns: Mapping[str, Column], pandas_index: str = "") -> bytes:
    """Bytes of a Parquet file with one row group.

    Args:
        columns: By name: a 1-D array of numbers or flags; a 2-D array (a fixed-size list per row);
            :class:`Lists`; texts; or encoded pictures (a struct of bytes and path, as Hugging Face has it).
        pandas_index: Column that pandas shall take for the index, if any.
    """
    table = pa.table({name: _array(column) for name, column in columns.items()})
    if pandas_index:
        table = table.replace_schema_metadata({"pandas": json.dumps(_pandas(table, pandas_index))})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="snappy", row_group_size=max(1, table.num_rows))
    return sink.getvalue()


def _array(column: Column) -> pa.Array:
    if isinstance(column, np.ndarray):
        if column.ndim == 1:
            return pa.array(column)
        flat = pa.array(np.ascontiguousarray(column).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, column.shape[1])
    if isinstance(column, Lists):
        kind = _ITEM[column.item]
        for _ in range(column.depth):
            kind = pa.list_(kind)
        return pa.array(column.rows, kind)
    if len(column) and isinstance(column[0], bytes):
        return pa.array([{"bytes": data, "path": None} for data in column], _PICTURE)
    return pa.array(column, pa.string())


def _pandas(table: pa.Table, index: str) -> dict[str, object]:
    """What pandas writes beside a table to find its index again."""
    columns = []
    for field in table.schema:
        text = pa.types.is_string(field.type)
        kind, numpy_kind = ("unicode", "object") if text else (str(field.type), str(field.type))
        columns.append(
            {
                "name": field.name,
                "field_name": field.name,
                "pandas_type": kind,
                "numpy_type": numpy_kind,
                "metadata": None,
            }
        )
    versions = {"pandas_version": "2.2.3", "creator": {"library": "pyarrow", "version": pa.__version__}}
    return {"index_columns": [index], "column_indexes": [], "columns": columns, **versions}


class TableFile:
    """A Parquet file read column by column; what is damaged or absurdly large is refused."""

    def __init__(self, path: Path) -> None:
        """Read the schema.

        Raises:
            EpisodeError: missing, damaged, or larger than any demonstration.
        """
        self.path = path
        with self._guard(lambda: pq.ParquetFile(path)) as file:  # closed again: a dataset may have thousands
            self.rows = int(file.metadata.num_rows)
            self.kinds = {field.name: str(field.type) for field in file.schema_arrow}
        if self.rows > MAX_ROWS:
            raise EpisodeError(path, f"says it has {self.rows} rows, more than {MAX_ROWS}; it is damaged or hostile")

    def numbers(self, column: str) -> NDArray[Any]:
        """All rows of a column of numbers or flags, (N,) or (N, D), in the type of the file.

        Raises:
            EpisodeError: no such column, no numbers, gaps, or rows of different length.
        """
        values = self._column(column)
        kind, depth = values.type, 0
        while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
            kind, depth = kind.value_type, depth + 1
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        if not is_number or depth > 1:
            raise EpisodeError(self.path, f"column '{column}' is {values.type}, expected numbers or lists of numbers")
        if values.null_count:
            raise EpisodeError(self.path, f"column '{column}' has {values.null_count} gaps; nothing is filled in here")
        if depth == 0:
            return np.asarray(values.to_numpy())
        return self._guard(lambda: self._matrix(column, values))

    def _matrix(self, column: str, values: pa.ChunkedArray) -> NDArray[Any]:
        flat = pa.chunked_array([c.flatten() for c in values.chunks], values.type.value_type)
        if flat.null_count or not self.rows or len(flat) % self.rows or len(flat) > MAX_CELLS:
            raise EpisodeError(self.path, f"column '{column}' has rows of different length, or gaps")
        width = len(flat) // self.rows
        if not pa.types.is_fixed_size_list(values.type):
            lengths = {len(row) for chunk in values.chunks for row in chunk}
            if lengths != {width}:
                raise EpisodeError(self.path, f"column '{column}' has rows of different length: {sorted(lengths)[:5]}")
        return np.asarray(flat.to_numpy()).reshape(self.rows, width)

    def values(self, column: str) -> list[Any]:
        """All rows of a column as plain Python values: texts, or lists of them.

        Raises:
            EpisodeError: no such column, or damaged.
        """
        return list(self._column(column).to_pylist())

    def pictures(self, column: str, start: int, stop: int) -> Iterator[bytes]:
        """Encoded pictures of some rows, few in memory at a time.

        Raises:
            EpisodeError: no such column, or it holds no pictures.
        """
        self._require(column)
        with self._guard(lambda: pq.ParquetFile(self.path)) as file:
            position = 0
            groups: list[int] = []
            for group in range(file.metadata.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if position + rows <= start and not groups:
                    position += rows
                else:
                    groups.append(group)
            batches = iter(file.iter_batches(batch_size=16, row_groups=groups, columns=[column], use_threads=False))
            while position < stop and (batch := self._guard(lambda: next(batches, None))) is not None:
                for k in range(max(0, start - position), min(batch.num_rows, stop - position)):
                    cell = batch.column(0)[k].as_py()
                    data = cell.get("bytes") if isinstance(cell, dict) else cell
                    if not isinstance(data, bytes):
                        problem = f"column '{column}' holds no encoded picture in row {position + k}"
                        raise EpisodeError(self.path, problem)
                    yield data
                position += batch.num_rows

    def _require(self, column: str) -> None:
        if column not in self.kinds:
            raise EpisodeError(self.path, f"has no column '{column}'; it has {', '.join(sorted(self.kinds))}")

    def _column(self, column: str) -> pa.ChunkedArray:
        self._require(column)
        values = self._guard(lambda: pq.read_table(self.path, columns=[column], use_threads=False)).column(column)
        if len(values) != self.rows:
            raise EpisodeError(self.path, f"column '{column}' has {len(values)} of {self.rows} rows; it is damaged")
        return values

    def _guard(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except FileNotFoundError:
            raise EpisodeError(self.path, "no such file; copy the dataset again") from None
        except (OSError, pa.ArrowException, ValueError) as error:
            raise EpisodeError(self.path, f"is no readable Parquet file ({error}); copy the dataset again") from error
