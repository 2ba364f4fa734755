"""The sample catalogue, generated, with its images served on loopback for as long as a run needs them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pricing.sample.generate import generate_sample
from pricing.sample.serving import serve_folder
from pricing.store.artifacts import read_json

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class ServedSample:
    """What a run on the sample catalogue takes.

    Attributes
    ----------
    train, test : Path
        Catalogue files.
    mirror : str
        Address of the images.
    floor : dict
        ``smape``: what the noise of the generated prices leaves to anybody, in percent.
    """

    train: Path
    test: Path
    mirror: str
    floor: dict[str, float]


@contextmanager
def served_sample(work: Path, rows: int, seed: int) -> Iterator[ServedSample]:
    """Generate the sample catalogue, unless it is there, and serve its images until the block ends.

    Parameters
    ----------
    work : Path
        Folder for work in progress.
    rows : int
        Number of rows with prices; a third as many are to be priced.
    seed : int
        Of the generator.
    """
    sample = generate_sample(work / "sample" / f"{rows}-{seed}", rows=rows, test_rows=max(20, rows // 3), seed=seed)
    floor = {"smape": read_json(sample.floor_file)["smape"]}
    with serve_folder(sample.images or sample.folder) as address:
        yield ServedSample(sample.train, sample.test, address, floor)
