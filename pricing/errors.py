"""What can go wrong, as one small tree.

::

    PricingError                    anything this project reports by itself
    +-- InputError                  the user's input is at fault; the command line exits 2
    |   +-- CatalogueError          a catalogue file or its rows
    |   +-- ConfigError             a key or value of the configuration
    |   +-- PredictionsError        out-of-fold or test predictions given to the ensemble
    |   +-- WeightsError            pretrained weights that cannot be found or are not the expected ones
    |   +-- SchemaError             features or a model with another schema than the one asked for
    +-- RunError                    the run itself failed; the command line exits 1
        +-- ArtifactError           a stage output that is missing, damaged or of another format
        +-- DownloadError           the network, a host or the disk under the images
        +-- TrainingError           training diverged or could not start

Every message says what was found, what was expected and what to do, and names the file, row, id or key.
"""


class PricingError(Exception):
    """Base class; the command line prints its message in one line, without a traceback."""

    exit_code = 1


class InputError(PricingError):
    """The user's input is at fault."""

    exit_code = 2


class CatalogueError(InputError):
    """A catalogue file cannot be read, or holds rows that cannot be used."""


class ConfigError(InputError):
    """A configuration key is unknown, or its value has the wrong type or is impossible."""


class PredictionsError(InputError):
    """Predictions handed to the ensemble or the submission are missing, not finite or not positive."""


class WeightsError(InputError):
    """Pretrained weights cannot be found, or their hash is not the pinned one."""


class SchemaError(InputError):
    """Features or a model do not have the schema that was asked for."""


class RunError(PricingError):
    """The run itself failed."""


class ArtifactError(RunError):
    """A stage output is missing, damaged or of another format."""


class DownloadError(RunError):
    """The network, a host or the disk under the images failed for good."""


class TrainingError(RunError):
    """Training diverged or could not start."""
