"""Tiny checkpoints of the real architectures on disk, toy rows, and toy folds."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pricing.pretrained import vision_ops  # isort: skip  # before timm and transformers

import numpy as np
import polars as pl
import timm
import torch
from PIL import Image
from scipy import sparse
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
)

from pricing.catalogue.split import SPLITS, fold_roles
from pricing.features.load import FeatureSchema, FeatureSet, save_features, save_price_columns
from pricing.features.schema import make_columns
from pricing.members.fold_rows import FoldInputs, FoldRows, Rows
from pricing.members.multimodal.dataset import AmazonMLDataset
from pricing.members.multimodal.encoders import ImageTower, TextTower
from pricing.members.multimodal.inputs import KeptImages, TokenTexts
from pricing.members.multimodal.network import OptimizedMultimodalModel
from pricing.members.multimodal.settings import FusionConfig, MultimodalSettings

assert vision_ops is not None
WORDS = [
    "organic", "tea", "coffee", "nuts", "sauce", "pack", "ounce", "value", "blue", "gold", "fresh", "sweet", "small",
    "large", "one", "two", "three", "of",
]  # fmt: skip
SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}

PRICE_COLUMNS = make_columns("ridge", ("price_ridge",), roles={"price_ridge": "ridge"})


def write_text_encoder(folder: Path, kind: str = "bert") -> Path:
    """A tiny encoder with its tokenizer, as `save_pretrained` writes them."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: place for place, word in enumerate([*special, *WORDS, *map(str, range(20))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(3)
    common = SIZES | {"vocab_size": len(vocabulary), "max_position_embeddings": 64}
    model: Any
    if kind == "bert":
        model = BertModel(BertConfig(**common))
    elif kind == "mpnet":
        model = MPNetModel(MPNetConfig(**common))
    else:  # as deberta-v3-small: disentangled attention over log buckets, shared keys
        model = DebertaV2Model(
            DebertaV2Config(
                **common, relative_attention=True, position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True,
                pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0,
            )
        )  # fmt: skip
    model.save_pretrained(folder)
    return folder


def write_image_encoder(folder: Path, name: str = "test_efficientnet") -> Path:
    """A small timm model, as timm publishes them."""
    torch.manual_seed(4)
    model = timm.create_model(name, pretrained=False, num_classes=10)
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    return folder


class Features(nn.Module):
    """Stands for an image encoder: mean colour of a 2 x 2 grid, widened."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 1)

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(nn.functional.adaptive_avg_pool2d(images, 2))  # (M, 6, 2, 2)


def toy_dataset(rows: int, *, seed: int = 0, training: bool = False, width: int = 5) -> AmazonMLDataset:
    """Log price is a column plus what the patches show; every third row lacks its image."""
    rng = np.random.default_rng(seed)
    ids = pl.Series("sample_id", [f"r{number}" for number in range(rows)])
    values = rng.normal(size=(rows, width)).astype(np.float32)
    tokens = [rng.integers(5, 30, rng.integers(2, 9)).astype(np.int32) for _ in range(rows)]
    patches = torch.from_numpy(rng.normal(size=(rows, 4, 6)).astype(np.float32))
    bits = patches.to(torch.bfloat16).view(torch.uint16).numpy()
    place = np.where(np.arange(rows) % 3 == 1, -1, np.arange(rows))
    target = 2.0 + values[:, 0] + np.where(place >= 0, (patches[:, :, 0] - patches[:, :, 1]).mean(1).numpy(), 0.0)
    frame = pl.DataFrame({"sample_id": ids, "log_price": target.astype(np.float64)})
    return AmazonMLDataset(
        frame,
        pl.DataFrame(values).insert_column(0, ids),
        text=TokenTexts.of(tokens),
        images=KeptImages(bits, place),
        training=training,
        seed=seed,
    )


class Words(nn.Module):
    """Stands for a text encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, 8)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        del attention_mask
        return type("Output", (), {"last_hidden_state": self.embedding(input_ids)})


def toy_model(*, seed: int = 0, width: int = 5, text: bool = True, image: bool = True, **fusion: Any) -> Any:
    """The real network over `Words` and kept patches."""
    torch.manual_seed(seed)
    config = FusionConfig(**{"hidden": 16, "heads": 2} | fusion)
    model = OptimizedMultimodalModel(
        TextTower(Words(), 8, upper=False) if text else None, ImageTower(None, 6) if image else None, width, config
    )
    model.initialise_output(torch.zeros(width), 2.0, 1.0)
    return model


def toy_splits(rows: int = 60, test_rows: int = 8, terms: int = 30) -> dict[str, Rows]:
    """A catalogue by split, whose price depends on pack, words and the image's brightness (which its link tells)."""
    rng = np.random.default_rng(1)
    total = rows + test_rows
    pack, bright, word = rng.integers(1, 9, total), rng.random(total) < 0.5, rng.integers(0, 6, total)
    log_price = 1.5 + np.log(pack) + 0.4 * bright + 0.1 * word
    texts = [
        f"Item Name: {WORDS[word[n]]} {WORDS[n % len(WORDS)]} (Pack of {pack[n]})\nValue: {pack[n]}.0\nUnit: Ounce\n"
        for n in range(total)
    ]
    frame = pl.DataFrame({
        "sample_id": [f"p{n}" for n in [*range(rows), *range(test_rows)]],  # two files, each numbered from the start
        "catalog_content": texts,
        "image_link": [f"http://images.invalid/{int(bright[n])}/{n}.jpg" for n in range(total)],
    })  # fmt: skip
    numbers = {"pack": np.where(rng.random(total) < 0.1, np.nan, pack), "svd_000": rng.random(total)}
    tabular = pl.DataFrame(numbers).cast(pl.Float32).with_columns(unit=pl.lit("ounce"))
    numeric = *make_columns("quantity", ("pack",)), *make_columns("svd", ("svd_000",))
    schema = FeatureSchema(numeric + make_columns("quantity", (), ("unit",)), terms)
    matrix = sparse.random(total, terms, 0.2, format="csr", dtype=np.float32, random_state=0)
    ridge = log_price - 0.4 * bright + rng.normal(0, 0.05, total)
    splits = {}
    for split, here in zip(SPLITS, (slice(0, rows), slice(rows, total)), strict=True):
        features = FeatureSet(frame["sample_id"][here], tabular[here], matrix[here], schema)
        price = pl.DataFrame({"price_ridge": ridge[here].astype(np.float32)})
        splits[split] = Rows(frame[here], features, price, ridge[here], price_columns=PRICE_COLUMNS)
    labelled = splits["labelled"]
    known = labelled.frame.with_columns(log_price=log_price[:rows])
    return splits | {"labelled": replace(labelled, frame=known)}


def toy_fold(fold: int | None = 0, **options: int) -> FoldRows:
    """A fold of `toy_splits` in memory; every sixth row is held out, the others are in two folds."""
    splits = toy_splits(**options)
    roles = {role: splits["labelled"].take(mask) for role, mask in fold_roles(_toy_folds(splits), fold).items()}
    return FoldRows(fold, FoldInputs(Path(), Path(), Path()), roles | {"test": splits["unlabelled"]})


def _toy_folds(splits: dict[str, Rows]) -> pl.DataFrame:
    ids = splits["labelled"].ids
    holdout = np.arange(len(ids)) % 6 == 5
    fold = np.where(holdout, -1, np.arange(len(ids)) % 2).astype(np.int8)
    return pl.DataFrame({"sample_id": ids, "group": ids, "part": np.where(holdout, "holdout", "train"), "fold": fold})


def write_inputs(root: Path, **options: int) -> FoldInputs:
    """`toy_splits` as outputs of the steps before, with images: two are missing, one is broken."""
    splits = toy_splits(**options)
    names = ("catalogue", "folds", "features", "price_features", "images", "image_folder")
    paths = {name: root / name for name in names}
    for path in paths.values():
        path.mkdir(parents=True)
    _toy_folds(splits).write_parquet(paths["folds"] / "folds.parquet")
    for split, rows in splits.items():
        frame = rows.frame
        if "log_price" in frame.columns:
            frame = frame.drop("log_price").with_columns(price=np.exp(rows.log_price))
        frame.write_parquet(paths["catalogue"] / f"{split}.parquet")
        save_features(rows.features, paths["features"], split)
        table = rows.price.insert_column(0, rows.ids).with_columns(ridge=rows.ridge)
        table.write_parquet(paths["price_features"] / f"{split}.parquet")
        save_price_columns(PRICE_COLUMNS, paths["price_features"])
    links = pl.concat([rows.frame["image_link"] for rows in splits.values()]).to_list()
    rng, missing = np.random.default_rng(2), {2, len(splits["labelled"]) + 1}
    for number, link in enumerate(links):
        if number not in missing:
            shade = 230 if link.split("/")[-2] == "1" else 25
            pixels = np.full((24, 24, 3), (shade, shade, int(rng.integers(0, 255))), np.uint8)
            pixels[: 4 + number % 17, : 4 + number % 13] //= 2  # a corner of its own, so that crops and flips show
            Image.fromarray(pixels).save(paths["image_folder"] / f"{number}.jpg")
    (paths["image_folder"] / "3.jpg").write_bytes(b"\xff\xd8 broken")  # present in the table, unreadable on disk
    here = [number not in missing for number in range(len(links))]
    pl.DataFrame({
        "image_link": links,
        "file": [f"{number}.jpg" if there else None for number, there in enumerate(here)],
        "status": ["ok" if there else "failed" for there in here],
    }).write_parquet(paths["images"] / "images.parquet")  # fmt: skip
    return FoldInputs(**paths)


def tiny_config(text: Path, image: Path, /, **changes: Any) -> MultimodalSettings:
    """A configuration over tiny encoders on disk; ``changes`` are laid over it, section by section."""
    tree: dict[str, Any] = {
        "text": {"name": str(text), "max_length": 12, "trainable_layers": 1},
        "image": {"name": str(image), "side": 32, "frozen": "all"},
        "fusion": {"hidden": 16, "heads": 2},
        "training": {"epochs": 2, "batch_size": 8, "accumulation": 2, "precision": "fp32", "learning_rate": 3e-3},
        "device": "cpu",
    }
    for key, value in changes.items():
        tree[key] = tree.get(key, {}) | value if isinstance(value, dict) else value
    return MultimodalSettings.model_validate(json.loads(json.dumps(tree)))
