"""The stages of a run: one list of names for the command line, the store, `pricing why` and the flows."""

from enum import StrEnum


class Stage(StrEnum):
    """What a step belongs to; each is a folder of the store."""

    CATALOGUE = "catalogue"
    """The files, read and checked."""
    FOLDS = "folds"
    """Near-duplicate groups, the hold-out, the folds."""
    DOWNLOAD = "download"
    """The images, fetched in shards, and their table."""
    FEATURES = "features"
    """Features of the texts, features that read prices, and the ridge on both."""
    TUNE = "tune"
    """The search for settings."""
    GBDT = "gbdt"
    """Members of the gradient-boosting branch."""
    NEURAL = "neural"
    """Members of the neural branch, and what their frozen encoders make of texts and images."""
    ENSEMBLE = "ensemble"
    """Stack, calibration, intervals."""
    SUBMISSION = "submission"
    """Everything that a run leaves: prices, figures, plots, the model."""
