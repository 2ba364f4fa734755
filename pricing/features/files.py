"""Reads arrays of plain numbers; nothing that would have to be unpickled."""

import zipfile
from pathlib import Path

import numpy as np
from scipy import sparse

from pricing.errors import ArtifactError


def read_sparse(path: Path) -> sparse.csr_matrix:
    """Read a CSR matrix, refusing anything that would have to be unpickled.

    Raises
    ------
    ArtifactError
        The file is missing, damaged, no sparse matrix, or holds Python objects.
    """
    try:
        # NumPy leaves a file open that it cannot read when it opens it itself; load_npz sets allow_pickle=False
        with path.open("rb") as file:
            matrix = sparse.load_npz(file)
        matrix = sparse.csr_matrix(matrix)
        matrix.check_format(full_check=True)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise ArtifactError(f"{path}: is no sparse matrix of plain numbers ({error}); rebuild the stage") from None
    return matrix


def read_array(path: Path) -> np.ndarray:
    """Read one .npy, refusing anything that would have to be unpickled.

    Raises
    ------
    ArtifactError
        The file is missing, damaged, or holds Python objects.
    """
    try:
        with path.open("rb") as file:
            return np.asarray(np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path}: is no array of plain numbers ({error}); rebuild the stage") from None


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz, refusing anything that would have to be unpickled.

    Raises
    ------
    ArtifactError
        The file is missing, damaged, or holds Python objects.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: is no archive of plain arrays ({error}); rebuild the stage") from None
