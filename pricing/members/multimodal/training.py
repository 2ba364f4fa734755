"""The training loop: mixed precision, accumulation, clipping, schedule, EMA, early stopping, exact resume.

Everything that the next step depends on is in a checkpoint: weights, optimiser, scaler, moving average, random states,
and the position in the data, whose order is a function of seed and epoch. The schedule is a function of the step. So
a run that is killed and resumed ends with the same weights as one that was not, bit for bit on a CPU.
"""

import copy
import logging
import math
import signal
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from pricing.errors import ArtifactError, TrainingError
from pricing.members.multimodal.checkpoint import CheckpointManager, rng_state, set_rng_state
from pricing.members.multimodal.dataset import AmazonMLDataset, BucketSampler, get_dataloader
from pricing.members.multimodal.ema import ModelEMA
from pricing.members.multimodal.losses import make_loss
from pricing.members.multimodal.optimisation import choose_precision, learning_rate_factor, make_optimizer
from pricing.members.multimodal.prediction import predict
from pricing.members.multimodal.ranks import Ranks
from pricing.members.multimodal.settings import CheckpointConfig, TrainingConfig
from pricing.members.multimodal.stopping import full_memory_is_an_error, on_sigterm
from pricing.members.torch_parts.tensors import put_trained, trained_state
from pricing.metrics.smape import smape_of_logs

logger = logging.getLogger(__name__)

_POSITION = ("epoch", "batch", "bad_epochs", "skipped", "best_epoch", "epoch_loss", "curves")
# steps with a non-finite loss or gradient in a row that are borne; one more ends the training
MAX_SKIPPED = 20


@dataclass
class TrainingResult:
    """What training gives beside the trained model."""

    best_epoch: int
    """From 1; the last one where there is no validation part."""
    best_smape: float | None
    """Validation SMAPE in percent."""
    curves: list[dict[str, Any]] = field(default_factory=list)
    """Records of round (epoch), split, metric, value."""
    precision: str = "fp32"
    steps: int = 0


def train_neural_network(
    model: nn.Module,
    train: AmazonMLDataset,
    valid: AmazonMLDataset | None,
    config: TrainingConfig,
    checkpoints: CheckpointConfig,
    work: Path,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    workers: int = 0,
    fingerprint: str = "",
) -> TrainingResult:
    """Train a model in place; it ends with the best epoch's averaged weights (the last epoch's without ``valid``).

    Parameters
    ----------
    model : nn.Module
        Takes a `Batch`, gives log prices (B,).
    train, valid : AmazonMLDataset
        With labels. Without ``valid`` all epochs are run.
    config : TrainingConfig
        An optimiser step takes ``batch_size * accumulation`` rows of each process (see
        `pricing.members.multimodal.ranks`); the gradient is that of their mean loss.
    work : Path
        Folder of the checkpoints; a training found there is continued if its ``fingerprint`` is the same and its
        checkpoints can be read, else deleted.
    seed : int
        Of order, dropout and augmentation.

    Raises
    ------
    TrainingError
        The loss or its gradient is not finite in more than 20 steps in a row, or the GPU's memory is too small.
    """
    device = device or torch.device("cpu")
    with full_memory_is_an_error(device, config.batch_size):
        run = _Run(model.to(device), train, valid, config, checkpoints, work, seed, device, workers, fingerprint)
        run.resume()
        # asks the loop to save after its step and leave
        stop = threading.Event()
        with on_sigterm(stop.set):
            while run.epoch < config.epochs and run.bad_epochs < config.patience:
                run.train_epoch(stop)
                run.finish_epoch()
        return run.finish()


@dataclass
class _Run:
    model: nn.Module
    train: AmazonMLDataset
    valid: AmazonMLDataset | None
    config: TrainingConfig
    checkpoints: CheckpointConfig
    work: Path
    seed: int
    device: torch.device
    workers: int
    fingerprint: str

    def __post_init__(self) -> None:
        model, train, valid, config = self.model, self.train, self.valid, self.config
        if train.target is None or (valid is not None and valid.target is None):
            raise TrainingError("rows without prices were given to the training; expected labelled rows")
        self.ranks = Ranks()
        self.precision = choose_precision(config.precision, self.device)
        self.scaler = self.precision.scaler()
        self.optimizer = make_optimizer(model, config)
        self.ema = ModelEMA(model, config.ema_decay) if config.ema_decay else None
        self.loss = make_loss(config.loss, "sum")
        options: dict[str, Any] = {"seed": self.seed, "workers": self.workers, "ranks": self.ranks}
        self.loader = get_dataloader(train, config.batch_size, shuffle=True, **options)
        self.sampler: BucketSampler = self.loader.batch_sampler  # type: ignore[assignment]
        self.manager = CheckpointManager(self.work, self.checkpoints.keep)
        self.steps_per_epoch = math.ceil(len(self.sampler) / config.accumulation)
        self.total_steps = self.steps_per_epoch * config.epochs
        self.epoch = self.batch = self.step = self.bad_epochs = self.skipped = 0
        self.best_smape, self.best_epoch, self.epoch_loss = math.inf, 0, 0.0
        self.best_state: dict[str, torch.Tensor] | None = None
        self.curves: list[dict[str, Any]] = []
        self.saved_at = time.monotonic()
        self.network = self.ranks.wrap(model)
        # each process draws its own dropout
        torch.manual_seed(self.seed + self.ranks.rank)

    # -- checkpoints

    def state(self) -> dict[str, Any]:
        return {
            "model": trained_state(self.model),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.state_dict() if self.ema else None,
            "rng": self.ranks.gather(rng_state()),
            "position": {
                "fingerprint": self.fingerprint,
                "best_smape": self.best_smape if self.best_epoch else None,
                **{name: getattr(self, name) for name in _POSITION},
            },
            "best": self.best_state,
        }

    def save(self) -> None:
        state = self.state()
        if self.ranks.first:
            self.manager.save_checkpoint(state, self.step, kind=self.checkpoints.kind)
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        """Go on where the newest checkpoint stopped; where none can be used, start again in an empty folder."""
        found = self.manager.get_latest_checkpoint()
        if found is not None:
            before = copy.deepcopy(self.state() | {"step": 0})
            try:
                self.load(self.with_best(found))
                logger.info("resumed at epoch %d, batch %d, step %d", self.epoch + 1, self.batch, self.step)
                return
            except torch.OutOfMemoryError:
                # the checkpoint is good, the device is full
                raise
            except Exception as error:  # another program's state may fail anywhere; all of it means the same
                logger.warning("%s: %s; training from scratch", self.manager.folder, error)
                self.load(before)
        self.ranks.wait()  # no process reads any more
        if self.ranks.first:
            # what is left there has higher step numbers, and would push each new checkpoint out as the oldest
            self.manager.clear()

    def with_best(self, state: dict[str, Any]) -> dict[str, Any]:
        """A checkpoint's state with the best weights, which may lie in a file of their own."""
        position = state["position"]
        if position["fingerprint"] != self.fingerprint:
            raise ArtifactError("the checkpoints belong to another training")
        if state.get("best") is not None or not position["best_epoch"]:
            return state | {"best": state.get("best")}
        kept = self.manager.get_best_checkpoint()
        if kept is None:
            raise ArtifactError("the best weights are lost")
        return state | {"best": kept["model"]}

    def load(self, state: dict[str, Any]) -> None:
        position = state["position"]
        put_trained(self.model, state["model"], self.manager.folder)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.best_state, self.step = state["best"], state["step"]
        for name in _POSITION:
            setattr(self, name, position[name])
        self.best_smape = math.inf if position["best_smape"] is None else position["best_smape"]
        set_rng_state(state["rng"][self.ranks.rank])

    # -- one epoch

    def train_epoch(self, stop: threading.Event) -> None:
        self.model.train()
        self.train.epoch = self.epoch
        self.sampler.set_position(self.epoch, self.batch)
        sizes = [len(batch) for batch in self.sampler.batches(self.epoch)]
        bar = tqdm(total=len(sizes), initial=self.batch, desc=f"epoch {self.epoch + 1}", disable=None, leave=False)
        # on the device: reading each one would make it wait for the next launch
        losses: list[torch.Tensor] = []
        for batch in self.loader:
            group = self.batch // self.config.accumulation * self.config.accumulation
            rows = sum(sizes[group : group + self.config.accumulation])  # of this optimiser step
            last = (self.batch + 1) % self.config.accumulation == 0 or self.batch + 1 == len(sizes)
            with nullcontext() if last else self.ranks.accumulate(self.network):
                losses.append(self.backward(batch, rows, self.ranks.rank < sizes[self.batch]))
            self.batch += 1
            bar.update()
            if last:
                (loss,) = self.ranks.sum([sum(torch.stack(losses).tolist())], self.device)
                losses.clear()
                self.optimizer_step(loss)
                self.epoch_loss += loss * rows if math.isfinite(loss) else 0.0
                due = self.ranks.first and time.monotonic() - self.saved_at > 60 * self.checkpoints.minutes
                stopping, saving = self.ranks.sum([float(stop.is_set()), float(due)], self.device)
                if stopping:
                    self.save()
                    # no process leaves before the checkpoint is whole
                    self.ranks.wait()
                    raise SystemExit(128 + signal.SIGTERM)
                if self.batch < len(sizes) and saving:
                    self.save()
        bar.close()

    def backward(self, batch: Any, rows: int, counts: bool) -> torch.Tensor:
        """Add a micro-batch's gradients; ``counts`` is off for the row that stands in where a process has none."""
        batch = batch.to(self.device)
        with self.precision.autocast():
            prediction = self.network(batch)
        loss = self.loss(prediction, batch.target) / rows * float(counts)
        # several processes' gradients are averaged, their losses shall be added
        self.scaler.scale(loss * self.ranks.size).backward()
        return loss.detach()

    def optimizer_step(self, loss: float) -> None:
        factor = learning_rate_factor(self.step, self.total_steps, self.config.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm, foreach=True)
        finite = math.isfinite(loss) and bool(torch.isfinite(norm))
        if finite:
            self.scaler.step(self.optimizer)
        # lowers its scale after gradients that were not finite
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.skipped = 0 if finite else self.skipped + 1
        if not finite:
            logger.warning("step %d skipped: loss %s, gradient norm %s", self.step, loss, float(norm))
            if self.skipped > MAX_SKIPPED:
                raise TrainingError(
                    f"loss or gradient not finite in {self.skipped} steps in a row up to step {self.step} (epoch "
                    f"{self.epoch + 1}); lower members.multimodal.training.learning_rate or set "
                    "members.multimodal.training.precision to fp32"
                )
        elif self.ema:
            self.ema.update(self.model)
        self.step += 1

    # -- validation and the end

    def finish_epoch(self) -> None:
        loss = self.epoch_loss / len(self.train)
        self.epoch, self.batch, self.epoch_loss = self.epoch + 1, 0, 0.0
        self.curves.append({"round": self.epoch, "split": "train", "metric": "loss", "value": loss})
        found = ""
        if self.valid is not None:
            if self.ema:
                self.ema.apply_shadow(self.model)
            prediction = predict(self.model, self.valid, self.precision, workers=self.workers)
            assert self.valid.target is not None
            score = smape_of_logs(prediction, self.valid.target.numpy())
            self.curves.append({"round": self.epoch, "split": "valid", "metric": "smape", "value": score})
            if score < self.best_smape:
                self.best_smape, self.best_epoch, self.bad_epochs = score, self.epoch, 0
                self.best_state = {name: tensor.cpu().clone() for name, tensor in trained_state(self.model).items()}
                best = {"model": self.best_state}
                if self.ranks.first:
                    self.manager.save_checkpoint(best, self.step, kind="minimal", metric=score, best=True)
            else:
                self.bad_epochs += 1
            if self.ema:
                self.ema.restore(self.model)
            found = f", validation SMAPE {score:.2f}"
        logger.info("epoch %d: training loss %.4f%s", self.epoch, loss, found)
        # the last epoch's too: what follows (another phase, predictions) may be killed
        self.save()

    def finish(self) -> TrainingResult:
        if self.best_state is not None:
            self.model.load_state_dict(self.best_state, strict=False)
        elif self.ema:
            self.ema.apply_shadow(self.model)
        self.model.eval()
        found = self.best_smape if self.best_epoch else None
        return TrainingResult(self.best_epoch or self.epoch, found, self.curves, self.precision.name, self.step)
