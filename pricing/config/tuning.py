"""The search for settings."""

from pydantic import Field

from pricing.config.base import Section


class TuningConfig(Section):
    """The Optuna search; off unless it has a budget. Its choice is laid over the library's settings."""

    trials: int = Field(0, ge=0)
    """Trials a library; 0 with no time budget switches the search off."""
    seconds: float | None = Field(None, gt=0)
    """Time budget a library, in seconds; outside the byte-for-byte promise."""
    n_splits: int = Field(3, ge=2)
    """Folds a trial is judged by."""

    @property
    def enabled(self) -> bool:
        """Whether there is a budget."""
        return self.trials > 0 or self.seconds is not None
