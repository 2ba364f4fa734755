"""Several processes that train one network together, one per GPU: torch's DistributedDataParallel, as torchrun runs it.

A micro-batch of all processes is one batch of the sampler, dealt out row by row; the gradient is that of its mean
loss. So two processes take the steps that one process with twice the batch takes.
"""

import logging
import queue
import signal
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from logging.handlers import QueueHandler
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, nn
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException, get_context, start_processes
from torch.nn.parallel import DistributedDataParallel

from pricing.errors import TrainingError
from pricing.members.multimodal.stopping import on_sigterm

LOG_SECONDS = 0.5
"""How often the processes' log lines are handed on."""


class Ranks:
    """This process among those that train together; alone where no process group is open."""

    def __init__(self) -> None:
        together = distributed.is_available() and distributed.is_initialized()
        self.rank = distributed.get_rank() if together else 0
        self.size = distributed.get_world_size() if together else 1

    @property
    def first(self) -> bool:
        """The process that writes files."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with its gradients averaged over the processes."""
        if self.size == 1:
            return model
        # a batch without any missing image leaves the missing embedding without gradient
        return DistributedDataParallel(model, find_unused_parameters=True)

    def accumulate(self, network: nn.Module) -> AbstractContextManager[Any]:
        """Around a micro-batch whose gradients are only added up: they are averaged with the last one's."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def sum(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Sums over the processes, element by element."""
        return self.total(np.array(values, dtype=np.float64), device).tolist()

    def total(self, array: np.ndarray, device: torch.device) -> np.ndarray:
        """Sum of an array (n,) float64 over the processes."""
        if self.size == 1:
            return array
        total = torch.from_numpy(array).to(device)
        distributed.all_reduce(total)
        return total.cpu().numpy()

    def gather(self, value: Any) -> list[Any]:
        """Each process's value, in order of rank."""
        values: list[Any] = [value]
        if self.size > 1:
            values = [None] * self.size
            distributed.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()


def launch(function: Callable[..., None], processes: int, device: torch.device, args: tuple[Any, ...]) -> None:
    """Run ``function(device, *args)`` in several processes that see each other as `Ranks`.

    What the first process logs under ``pricing`` is logged here.

    Parameters
    ----------
    function : callable
        Importable; gets its own device first (``cuda:RANK``, or the CPU).
    processes : int
        On GPUs at most as many as there are.

    Raises
    ------
    TrainingError
        A process failed; its error is in the message.
    SystemExit
        SIGTERM came; all processes have saved and left.
    """
    if device.type == "cuda" and processes > torch.cuda.device_count():
        raise TrainingError(
            f"members.multimodal.processes is {processes}, but there are {torch.cuda.device_count()} GPUs; lower "
            "members.multimodal.processes"
        )
    threads = max(1, torch.get_num_threads() // (processes if device.type == "cpu" else 1))
    lines = get_context("spawn").Queue()
    with tempfile.TemporaryDirectory(prefix="pricing-") as folder:
        work = (processes, device.type, threads, str(Path(folder) / "meeting"), lines, function, args)
        context: Any = start_processes(_enter, work, nprocs=processes, join=False, start_method="spawn")

        def pass_on() -> None:  # the others save and leave
            for process in context.processes:
                process.terminate()

        with on_sigterm(pass_on):
            try:
                while not context.join(timeout=LOG_SECONDS):
                    _hand_on(lines)
            except ProcessExitedException as error:
                if error.exit_code == 128 + signal.SIGTERM:
                    raise SystemExit(error.exit_code) from None
                raise TrainingError(f"a training process ended with exit code {error.exit_code}") from None
            except ProcessRaisedException:
                # the others fail after the first, because it is gone: that one's error is the one to show
                first = min(Path(folder).glob("error-*"), key=lambda path: path.stat().st_mtime_ns)
                rank, text = first.name.removeprefix("error-"), first.read_text(encoding="utf-8")
                raise TrainingError(f"training process {rank} of {processes} failed:\n{text}") from None
            finally:
                _hand_on(lines)


def _hand_on(lines: Any) -> None:
    """Log what has come; from this thread, which knows what task it works for."""
    with suppress(queue.Empty):
        while True:
            record = lines.get_nowait()
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)


def _enter(
    rank: int,
    processes: int,
    kind: str,
    threads: int,
    meeting: str,
    lines: Any,
    function: Callable[..., None],
    args: tuple[Any, ...],
) -> None:
    if rank == 0:
        logging.getLogger("pricing").addHandler(QueueHandler(lines))
        logging.getLogger("pricing").setLevel(logging.INFO)
    torch.set_num_threads(threads)
    device = torch.device("cuda", rank) if kind == "cuda" else torch.device("cpu")
    if kind == "cuda":
        torch.cuda.set_device(device)
    torch.use_deterministic_algorithms(kind == "cpu")
    distributed.init_process_group(
        "nccl" if kind == "cuda" else "gloo", init_method=f"file://{meeting}", rank=rank, world_size=processes
    )
    try:
        function(device, *args)
    except Exception:
        (Path(meeting).parent / f"error-{rank}").write_text(traceback.format_exc(), encoding="utf-8")
        raise
    finally:
        distributed.destroy_process_group()
