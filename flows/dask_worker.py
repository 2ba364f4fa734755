"""What a Dask worker is told before its first step.

It imports no numerical library: those read the number of their threads when they are imported.
"""

import logging
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

from distributed import Worker, WorkerPlugin

from pricing.errors import RunError

LANES = ("trees", "networks")


@dataclass
class PreparedWorker(WorkerPlugin):
    """Prepares every worker that is or will be connected, as `pricing.plan.workers.prepare_worker` does a process.

    Attributes
    ----------
    weights : Path
        Folder that encoders from packages are joined in, unless the worker's environment names one by PRICING_WEIGHTS.
    level : int
        Lowest level of the library's log that goes to Prefect.
    """

    weights: Path
    level: int
    name = "pricing"

    def setup(self, worker: Worker) -> None:
        """Set the environment of the worker's process.

        Raises
        ------
        RunError
            The worker offers both lanes: libraries of trees and torch in one process may hang.
        """
        offered = worker.state.total_resources
        if all(lane in offered for lane in LANES):
            raise RunError(
                f"the Dask worker {worker.address} offers {' and '.join(LANES)}; start one worker for each, "
                "as trees and torch in one process may hang"
            )
        threads = str(worker.state.nthreads)
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
            os.environ[variable] = threads
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        os.environ.setdefault("PRICING_WEIGHTS", str(self.weights))
        os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "pricing")
        logging.getLogger("pricing").setLevel(self.level)
        # a nanny's process may otherwise start none, and image decoding or several GPUs need some
        multiprocessing.current_process().daemon = False
