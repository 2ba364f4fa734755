"""Where things lie."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ByteSize, Field

from pricing.config.base import Section


def place(value: Path | str) -> Path | str:
    """Return an address of a storage (``s3://bucket/prefix``) as text, and anything else as the folder that it is.

    Raises
    ------
    ValueError
        The address holds a name or a password. It is not repeated.
    """
    text = str(value)
    scheme, colon, rest = text.partition(":")
    if not colon or len(scheme) < 2 or not rest.startswith("/"):  # D:/data is a folder
        return Path(value)
    # a path of a form or a shell may have lost a slash
    address = f"{scheme}:///{rest.strip('/')}" if scheme == "file" else f"{scheme}://{rest.strip('/')}"
    parts = urlsplit(address)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            "an address without name, password and options is expected, such as s3://bucket/prefix; credentials come "
            "from the environment (AWS_ACCESS_KEY_ID and the like)"
        )
    return address


class PathsConfig(Section):
    """Where things lie; relative paths are relative to the working directory."""

    data: Path = Path("data")
    """Inputs."""
    artifacts: Annotated[Path | str, BeforeValidator(place)] = Path("artifacts")
    """Everything the program makes: a folder, or the address of a storage that several machines share, such as
    s3://bucket/prefix (gs, az and others by their fsspec driver). Credentials come from the environment."""
    cache: Path = Path("artifacts/cache")
    """Local folder of every machine, used where artifacts is an address: copies of outputs, and the work in
    progress."""
    cache_size: ByteSize = Field(ByteSize(20_000_000_000), ge=0)
    """Maximum size of the copies of outputs in cache, such as "20GB". The least recently used go first, and none that a
    step works with."""
    checkpoint_minutes: float = Field(10.0, gt=0)
    """Minutes between two uploads of a training's checkpoints, where artifacts is an address."""

    @property
    def address(self) -> str | None:
        """Address of the storage behind the local folder; None where artifacts is a folder."""
        return self.artifacts if isinstance(self.artifacts, str) else None

    @property
    def local(self) -> Path:
        """Folder of this machine for all that the program makes."""
        return self.cache if isinstance(self.artifacts, str) else self.artifacts

    @property
    def store(self) -> Path:
        """Finished stage outputs, models among them, each in a folder named by its key."""
        return self.local / "store"

    @property
    def models(self) -> Path:
        """The trained models, which are stage outputs like any other."""
        return self.store

    @property
    def work(self) -> Path:
        """Resumable work in progress: image manifest and images, Optuna studies, checkpoints."""
        return self.local / "work"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the networks."""
        return self.work / "checkpoints"

    @property
    def records(self) -> Path:
        """Prefect's own records of task results: small JSON references into the store."""
        return self.local / "records"

    @property
    def logs(self) -> Path:
        """Log files of the runs."""
        return self.local / "logs"
