"""A row's price is the same to the last bit whatever other rows stand beside it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from scipy import sparse

from pricing.members.gaussian_process import GaussianProcessSettings
from pricing.members.kernels.process import GaussianProcess
from pricing.members.mlp.networks import Inputs, MLPEnsemble
from pricing.members.multimodal.dataset import AmazonMLDataset
from pricing.members.multimodal.inputs import ImageFiles, KeptImages, TokenTexts
from pricing.members.multimodal.optimisation import choose_precision
from pricing.members.multimodal.prediction import predict_with_tta
from pricing.members.sparse_mlp import SparseMLPSettings
from tests.members.networks.builders import toy_dataset, toy_model
from tests.members.test_gaussian_process import kernel, prices, products

CPU = torch.device("cpu")
ROWS = 70


def assert_same_bits(rows: int, price: Callable[[np.ndarray], np.ndarray]) -> None:
    """Rows priced alone, by two, 31 and 33, and in another order get the prices that they get all together."""
    together = price(np.arange(rows))
    shuffled = np.random.default_rng(0).permutation(rows)
    assert price(shuffled).tobytes() == together[shuffled].tobytes()
    for size in (1, 2, 31, 33):
        for start in range(0, rows, size):
            chosen = np.arange(start, min(start + size, rows))
            assert price(chosen).tobytes() == together[chosen].tobytes(), (size, start)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["cross_attention", "gated"])
@pytest.mark.parametrize("hidden", [16, 96])
def test_the_multimodal_network(precision: str, kind: str, hidden: int) -> None:
    """Texts of two to eight tokens, every third row without an image."""
    model, data = toy_model(hidden=hidden, kind=kind), toy_dataset(ROWS)
    with torch.no_grad():
        for parameter in model.parameters():  # the head starts at zero
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    assert isinstance(data.text, TokenTexts)
    assert isinstance(data.images, KeptImages)

    def price(rows: np.ndarray) -> np.ndarray:
        ids = data.ids.gather(rows)
        features = pl.DataFrame(data.tabular[rows].numpy()).insert_column(0, ids)
        text = TokenTexts(data.text.values, data.text.offsets, data.text.rows[rows], data.text.counts[rows])  # type: ignore[union-attr]
        images = KeptImages(data.images.patches, data.images.rows[rows])  # type: ignore[union-attr]
        some = AmazonMLDataset(ids.to_frame(), features, text=text, images=images)
        return predict_with_tta(model, some, choose_precision(precision, CPU), 1)

    assert_same_bits(ROWS, price)
    assert len(np.unique(price(np.arange(ROWS)))) > 0.7 * ROWS


def test_a_text_and_image_that_rows_share_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their other features differ, and so do their prices; to the bit those of rows with texts of their own."""
    model, data, shown = toy_model(), toy_dataset(6), np.array([0, 4, 0, 5, 4, 0, 1])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    assert isinstance(data.text, TokenTexts)
    assert isinstance(data.images, KeptImages)
    values = np.random.default_rng(0).normal(size=(len(shown), data.tabular.shape[1])).astype(np.float32)
    ids = pl.DataFrame({"sample_id": [str(row) for row in range(len(shown))]})
    text = TokenTexts(data.text.values, data.text.offsets, data.text.rows[shown], data.text.counts[shown])
    images = KeptImages(data.images.patches, data.images.rows[shown])
    own = TokenTexts.of([data.text.get(row).numpy() for row in shown])
    apart = TokenTexts(own.values, own.offsets, np.arange(len(shown)), text.counts)
    asked: list[int] = []
    sequences = type(model).sequences

    def counted(self: Any, batch: Any) -> Any:
        asked.extend(batch.rows.tolist())
        return sequences(self, batch)

    monkeypatch.setattr(type(model), "sequences", counted)

    def price(source: TokenTexts) -> np.ndarray:
        asked.clear()
        some = AmazonMLDataset(ids, values, text=source, images=images)
        return predict_with_tta(model, some, choose_precision("fp32", CPU), 1)

    together = price(text)
    assert sorted(asked) == [0, 1, 3, 6]
    assert together.tobytes() == price(apart).tobytes()
    assert len(asked) == len(shown)
    assert len(np.unique(together)) == len(shown)


def test_averaged_mlps() -> None:
    rng = np.random.default_rng(0)
    terms = sparse.csr_matrix(sparse.random(ROWS, 400, 0.05, format="csr", dtype=np.float32, random_state=0))
    numbers = rng.normal(size=(ROWS, 30)).astype(np.float32)
    config = SparseMLPSettings(hidden=(192, 64, 64), epochs=1, seeds=9)  # a mean of eight or more is summed in blocks
    rows = Inputs(terms, numbers, rng.normal(size=(ROWS, 24)).astype(np.float32))
    ensemble = MLPEnsemble("sparse_mlp", config).fit(rows, rng.normal(3, 1, ROWS), 0)
    assert_same_bits(ROWS, lambda some: ensemble.predict(rows.take(some)))


def test_the_gaussian_process() -> None:
    known, new = products(300, 0), products(ROWS, 1)
    process = GaussianProcess(GaussianProcessSettings(steps=1), kernel()).fit(known, prices(known), 0)
    assert_same_bits(ROWS, lambda rows: process.predict(new.take(rows)))


def test_images_say_their_shape(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Also where none is there: a batch is filled up with blank ones."""

    def plain(image: Image.Image) -> torch.Tensor:
        return torch.zeros(3, 24, 24) + image.size[0]

    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    files = ImageFiles([None, tmp_path / "a.png"], plain)
    seen = files.get(1, None)
    assert seen is not None
    assert files.shape == tuple(seen.shape)
    assert ImageFiles([None], plain).shape == (3, 24, 24)
