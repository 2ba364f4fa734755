"""Reads arrays of plain numbers; nothing that would have to be unpickled."""

from pathlib import Path

import numpy as np
from scipy import sparse

from pricing.store.tables import reading


def read_sparse(path: Path) -> sparse.csr_matrix:
    """Read a CSR matrix, refusing anything that would have to be unpickled.

    Raises
    ------
    ArtifactError
        The file is missing, damaged, no sparse matrix, or holds Python objects.
    """
    with reading(path, "a sparse matrix of plain numbers"):
        # NumPy leaves a file open that it cannot read when it opens it itself; load_npz sets allow_pickle=False
        with path.open("rb") as file:
            matrix = sparse.load_npz(file)
        matrix = sparse.csr_matrix(matrix)
        matrix.check_format(full_check=True)
    return matrix


def read_array(path: Path) -> np.ndarray:
    """Read one .npy, refusing anything that would have to be unpickled.

    Raises
    ------
    ArtifactError
        The file is missing, damaged, or holds Python objects.
    """
    with reading(path, "an array of plain numbers"), path.open("rb") as file:
        return np.asarray(np.load(file, allow_pickle=False))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz, refusing anything that would have to be unpickled.

    Raises
    ------
    ArtifactError
        The file is missing, damaged, or holds Python objects.
    """
    expected = reading(path, "an archive of plain arrays")
    with expected, path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
