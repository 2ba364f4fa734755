"""Where things lie."""

from pathlib import Path

from pricing.config.base import Section


class PathsConfig(Section):
    """Where things lie; relative paths are relative to the working directory."""

    data: Path = Path("data")
    """Inputs."""
    artifacts: Path = Path("artifacts")
    """Everything the program makes: the store and the work in progress."""

    @property
    def store(self) -> Path:
        """Finished stage outputs, models among them, each in a folder named by its key."""
        return self.artifacts / "store"

    @property
    def models(self) -> Path:
        """The trained models, which are stage outputs like any other."""
        return self.store

    @property
    def work(self) -> Path:
        """Resumable work in progress: image manifest and images, Optuna studies, checkpoints."""
        return self.artifacts / "work"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the networks."""
        return self.work / "checkpoints"

    @property
    def records(self) -> Path:
        """Prefect's own records of task results: small JSON references into the store."""
        return self.artifacts / "records"

    @property
    def logs(self) -> Path:
        """Log files of the runs."""
        return self.artifacts / "logs"
