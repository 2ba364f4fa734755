"""Rows of several matrices, each kept once: the processes of all folds have mostly the same products as landmarks."""

from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch

_REMEMBERED = 256
"""Maximum number of rows whose products are kept for the next fold; 8,000 landmarks then take 16 MB."""


class RowPool:
    """Distinct rows, and what they give with the rows that were asked last.

    One product to price is multiplied with 8,000 rows of 384 numbers once, not once per fold: 3 ms of CPU for 18.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}
        self._rows = torch.empty(0, 0, dtype=torch.float64)
        self._turned: torch.Tensor | None = None
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def of(cls, folder: Path) -> "RowPool":
        """Return the pool of the processes that are read from one folder, as long as one of them is alive.

        Another folder, renamed to its place, has a pool of its own.
        """
        found = folder.stat()
        key = folder, found.st_ino, found.st_mtime_ns
        pool = _SHARED.get(key)
        if pool is None:
            _SHARED[key] = pool = cls()
        return pool

    def add(self, rows: np.ndarray) -> "SharedRows":
        """Take in rows (m, d) float32."""
        places = [self._places.setdefault(row.tobytes(), len(self._places)) for row in rows]
        new = np.unique([place for place in places if place >= len(self._rows)])
        if len(new):
            first = {place: number for number, place in reversed(list(enumerate(places)))}
            added = torch.from_numpy(rows[[first[place] for place in new]]).double()
            self._rows = torch.cat([self._rows, added]) if len(self._rows) else added
            self._turned = None
        return SharedRows(self, torch.tensor(places, dtype=torch.int64))

    def rows(self, places: torch.Tensor) -> np.ndarray:
        """Return some rows, (m, d) float64."""
        return self._rows[places].numpy()

    def products(self, left: torch.Tensor) -> torch.Tensor:
        """Multiply rows (n, d) float64 with all rows of the pool: (n, m)."""
        last = self._last
        if last is not None and last[0] is left:
            return last[1]
        if len(left) == 1 and self._turned is None:
            self._turned = self._rows.T.contiguous()
        found = left @ (self._turned if len(left) == 1 and self._turned is not None else self._rows.T)
        if len(left) <= _REMEMBERED:
            self._last = left, found
        return found


class SharedRows:
    """Some rows of a pool, in an order of their own."""

    def __init__(self, pool: RowPool, places: torch.Tensor) -> None:
        self._pool, self._places = pool, places

    def products(self, left: torch.Tensor) -> torch.Tensor:
        """Multiply rows (n, d) float64 with these: (n, m)."""
        return self._pool.products(left)[:, self._places]

    def numpy(self) -> np.ndarray:
        """Return the rows, (m, d) float64."""
        return self._pool.rows(self._places)


_SHARED: "WeakValueDictionary[tuple[Path, int, int], RowPool]" = WeakValueDictionary()
