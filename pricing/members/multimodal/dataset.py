"""Rows for the network, and batches of rows of like length."""

import multiprocessing
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pricing.errors import SchemaError
from pricing.members.multimodal.inputs import ImageInput, TextInput
from pricing.members.multimodal.network import Batch
from pricing.members.multimodal.ranks import Ranks

# batches that are sorted by length together: a quarter of an epoch's, within these bounds
CHUNK = (16, 50)


class AmazonMLDataset(Dataset[Any]):
    """Catalogue rows merged with their features by id.

    Parameters
    ----------
    rows : DataFrame
        sample_id String and, with labels, log_price Float64; gives the order.
    features : DataFrame or ndarray
        Numeric columns without NaN (what `TabularScaler.transform` gives): a table with sample_id in any order, or an
        array of shape (n, p), float32, in the order of ``rows``.
    text : TextInput or None
        In the order of ``rows``.
    images : ImageInput or None
        In the order of ``rows``.
    training : bool
        Augment images.
    seed : int
        Of the augmentation.

    Raises
    ------
    SchemaError
        Ids without features, features without a row, an id twice, NaN in a feature; names the first ones.
    """

    def __init__(
        self,
        rows: pl.DataFrame,
        features: pl.DataFrame | np.ndarray,
        *,
        text: TextInput | None = None,
        images: ImageInput | None = None,
        training: bool = False,
        seed: int = 0,
    ) -> None:
        self.ids = rows["sample_id"]
        values = features if isinstance(features, np.ndarray) else merge_by_id(self.ids, features)
        if not np.isfinite(values).all():
            raise SchemaError("features hold NaN or infinite values; fill them with TabularScaler first")
        self.tabular = torch.from_numpy(values)
        self.target = (
            torch.from_numpy(rows["log_price"].to_numpy().astype(np.float32)) if "log_price" in rows.columns else None
        )
        self.text, self.images = text, images
        self.training, self.seed, self.epoch = training, seed, 0
        for source, count in ((text, text and len(text.lengths)), (images, images and len(images.present))):
            if source is not None and count != len(rows):
                raise SchemaError(f"{type(source).__name__} has {count} rows, the catalogue {len(rows)}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens per row, ndarray of shape (n,); ones without text."""
        return self.text.lengths if self.text is not None else np.ones(len(self), dtype=np.int64)

    @property
    def seen(self) -> np.ndarray:
        """Number of what is seen of each row, ndarray of shape (n,): rows of the same text and image share it."""
        sources = [source.rows for source in (self.text, self.images) if source is not None]
        if not sources:
            return np.zeros(len(self), dtype=np.int64)
        return np.unique(np.column_stack(sources), axis=0, return_inverse=True)[1].ravel()

    def __getitem__(self, row: int) -> dict[str, Any]:
        """tokens (T,) or (T, H) or None; image (3, S, S), (P, C) or None; tabular (F,); target () or None; row."""
        augmentation = hash((self.seed, self.epoch, row)) % 2**31 if self.training else None
        return {
            "tokens": None if self.text is None else self.text.get(row),
            "image": None if self.images is None else self.images.get(row, augmentation),
            "tabular": self.tabular[row],
            "target": None if self.target is None else self.target[row],
            "row": row,
        }


def merge_by_id(ids: pl.Series, features: pl.DataFrame) -> np.ndarray:
    """Feature values (n, F) float32 in the order of ``ids``; ids must match exactly, both ways."""
    for name, series in (("catalogue", ids), ("features", features["sample_id"])):
        if series.n_unique() != len(series):
            twice = series.filter(series.is_duplicated())[0]
            raise SchemaError(f"{name}: sample_id {twice!r} stands there more than once")
    own = features["sample_id"]
    missing, extra = ids.filter(~ids.is_in(own.implode())), own.filter(~own.is_in(ids.implode()))
    if len(missing) or len(extra):
        raise SchemaError(
            f"catalogue and features do not hold the same rows: {len(missing)} without features "
            f"(first {missing.head(3).to_list()}), {len(extra)} without a row (first {extra.head(3).to_list()})"
        )
    joined = pl.DataFrame({"sample_id": ids}).join(features, on="sample_id", how="left", maintain_order="left")
    return joined.drop("sample_id").to_numpy().astype(np.float32)


class BucketSampler(Sampler[list[int]]):
    """Batches of rows of like length, in an order that seed and epoch fix, from any position on.

    Rows are shuffled, cut into chunks of ``chunk`` batches, sorted by length inside a chunk, cut into batches, and the
    batches shuffled: padding falls without the batches losing their randomness.

    Parameters
    ----------
    lengths : (n,) ints
        Number of tokens per row.
    batch_size : int
        Number of rows per batch, of all processes together.
    shuffle : bool
        Else: sorted by length once, the same every epoch.
    chunk : int, optional
        By default a quarter of the batches, at least 16 and at most 50. On 5,499 real texts of at most 256 tokens,
        batches of 16, 1.7 % of the tokens are padding with 50 and 5.1 % with 16; without sorting 83 %.
    rank, size : int
        This process and their number: of each batch it gets every ``size``-th row, or the first row, which its caller
        has to leave out of account, where there is none for it.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        chunk: int | None = None,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.chunk = chunk or int(np.clip(len(self.lengths) // batch_size // 4, *CHUNK))
        self.rank, self.size = rank, size
        self.epoch, self.start = 0, 0

    def set_position(self, epoch: int, batch: int = 0) -> None:
        """Begin the next iteration at this batch of this epoch."""
        self.epoch, self.start = epoch, batch

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch, of all processes together; every row once."""
        count = len(self.lengths)
        if not self.shuffle:
            order = np.argsort(self.lengths, kind="stable")
            return [order[i : i + self.batch_size].tolist() for i in range(0, count, self.batch_size)]
        rng = np.random.default_rng([self.seed, epoch])
        order, size, batches = rng.permutation(count), self.batch_size * self.chunk, []
        for begin in range(0, count, size):
            part = order[begin : begin + size]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size].tolist() for i in range(0, len(part), self.batch_size)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        start, self.start = self.start, 0
        for batch in self.batches(self.epoch)[start:]:
            yield batch[self.rank :: self.size] or batch[:1]


def collate(items: list[dict[str, Any]]) -> Batch:
    """Pad to the longest text of the batch; keep only the images that are there, with a mask."""
    first = items[0]
    tokens = mask = images = image_mask = target = None
    if first["tokens"] is not None:
        lengths = torch.tensor([len(item["tokens"]) for item in items])
        tokens = torch.nn.utils.rnn.pad_sequence([item["tokens"] for item in items], batch_first=True)  # (B, T[, H])
        mask = torch.arange(tokens.shape[1]) < lengths.unsqueeze(1)  # (B, T)
    present = [item["image"] for item in items if item["image"] is not None]
    image_mask = torch.tensor([item["image"] is not None for item in items])  # (B,)
    if present:
        images = torch.stack(present)  # (M, ...)
    if first["target"] is not None:
        target = torch.stack([item["target"] for item in items])
    tabular, rows = torch.stack([item["tabular"] for item in items]), torch.tensor([item["row"] for item in items])
    return Batch(tokens, mask, images, image_mask, tabular, target, rows)


def get_dataloader(
    dataset: AmazonMLDataset,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int = 0,
    workers: int = 0,
    ranks: Ranks | None = None,
    batches: list[list[int]] | None = None,
) -> "DataLoader[Batch]":
    """Batches of like length in a fixed order; its ``batch_sampler`` is a `BucketSampler` that resumes at any position.

    Parameters
    ----------
    batch_size : int
        Number of rows per batch and process that trains.
    ranks : Ranks, optional
        The processes that share the rows; by default this one alone.
    workers : int
        Processes that decode images; 0 for activations that are memory-mapped. The order does not depend on it.
    batches : list of list of int, optional
        These batches of rows, in this order, in place of a `BucketSampler`'s.
    """
    rank, size = (ranks.rank, ranks.size) if ranks else (0, 1)
    sampler: Any = batches
    if batches is None:
        sampler = BucketSampler(dataset.lengths, batch_size * size, shuffle=shuffle, seed=seed, rank=rank, size=size)
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        multiprocessing_context=_forkserver() if workers else None,
        # the loader draws a seed for its workers when it starts; from the global generator, that draw would make a
        # resumed epoch differ from an undisturbed one
        generator=torch.Generator().manual_seed(seed),
        pin_memory=torch.cuda.is_available(),
        # workers hold a copy of the data set, whose epoch seeds the augmentation
        persistent_workers=False,
    )


def _forkserver() -> Any:
    """Loader processes are forked, from a process that has only imported what they need.

    A fork of this one would inherit the locks of OpenMP's and the orchestrator's threads, and spawned ones import torch
    and timm each: two of them took 22 s on two cores, beside another job, where forked ones took 0.2 s.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
