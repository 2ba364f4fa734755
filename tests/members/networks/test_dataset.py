"""Rows merged with features, tokens, images; batches and their order."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pricing.errors import SchemaError
from pricing.members.multimodal.dataset import AmazonMLDataset, BucketSampler, collate, get_dataloader
from pricing.members.multimodal.inputs import (
    ImageFiles,
    KeptImages,
    KeptTexts,
    TokenTexts,
    image_transform,
    tokenize,
)
from pricing.members.torch_parts.scaler import TabularScaler
from pricing.pretrained.text import compose_texts, text_windows
from pricing.pretrained.weights import find_encoder, load_image_encoder, load_tokenizer
from tests.members.networks.builders import WORDS, toy_dataset, toy_model

IDS = st.lists(st.text("abc123", min_size=1, max_size=4), min_size=1, max_size=12, unique=True)


def table(ids: list[str]) -> pl.DataFrame:
    """A feature that is a function of the id."""
    return pl.DataFrame(
        {"sample_id": ids, "x": [float(sum(i.encode())) for i in ids]}, schema_overrides={"sample_id": pl.String}
    )


@given(ids=IDS, order=st.randoms(use_true_random=False), drop=st.integers(0, 2), add=st.integers(0, 2))
def test_property_28_data_merge_correctness(ids: list[str], order: Any, drop: int, add: int) -> None:
    """Property 28: Data merge correctness. Features follow their id in any order; missing and extra ids are named."""
    shuffled = order.sample(ids, len(ids))
    frame = pl.DataFrame({"sample_id": ids}, schema={"sample_id": pl.String})
    merged = AmazonMLDataset(frame, table(shuffled))
    assert merged.tabular[:, 0].tolist() == [float(sum(i.encode())) for i in ids]
    missing, extra = shuffled[:drop], [f"new{number}" for number in range(add)]
    if missing or extra:
        with pytest.raises(SchemaError) as error:
            AmazonMLDataset(frame, table([*shuffled[drop:], *extra]))
        assert f"{len(missing)} without features" in str(error.value)
        assert all(repr(i) in str(error.value) for i in [*missing, *extra])


def test_an_id_twice_is_refused() -> None:
    frame = pl.DataFrame({"sample_id": ["a", "b"]})
    with pytest.raises(SchemaError, match="'a' stands there more than once"):
        AmazonMLDataset(frame, table(["a", "b", "a"]))


@given(
    texts=st.lists(st.lists(st.sampled_from([*WORDS, "unknown", "77"]), max_size=30), min_size=1, max_size=6),
    limit=st.integers(8, 20),
)
@settings(max_examples=25)
def test_property_29_tokenization_length_constraint(
    texts: list[list[str]], limit: int, text_encoders: dict[str, Path]
) -> None:
    """Property 29: Tokenization length constraint. No row is longer than the limit; shorter ones are not padded."""
    tokenizer = load_tokenizer(find_encoder(str(text_encoders["bert"]), "text"))
    joined = [" ".join(words) for words in texts]
    rows = [windows[0] for windows in tokenize(tokenizer, joined, limit)]
    for words, ids in zip(texts, rows, strict=True):
        assert len(ids) == min(limit, len(words) + 2)
        assert (ids[0], ids[-1]) == (2, 3)  # special tokens survive truncation
    for windows, ids in zip(tokenize(tokenizer, joined, limit, 3), rows, strict=True):
        np.testing.assert_array_equal(windows[0], ids)  # the first of several windows is the truncated text
    source = TokenTexts.of(rows)
    rest = {"image": None, "tabular": torch.zeros(1), "target": None}
    batch = collate([{"tokens": source.get(n), "row": n, **rest} for n in range(len(rows))])
    assert batch.tokens is not None
    assert batch.mask is not None
    assert batch.tokens.shape == (len(texts), max(map(len, rows)))
    assert batch.mask.sum(1).tolist() == [len(ids) for ids in rows]


def save(path: Path, size: tuple[int, int], mode: str) -> Path:
    image = Image.effect_noise(size, 90).convert(mode)
    image.save(path)
    return path


@settings(max_examples=12)
@given(
    width=st.integers(3, 80), height=st.integers(3, 80), mode=st.sampled_from(["RGB", "L", "RGBA", "P", "1"]),
    side=st.sampled_from([16, 33, 48]), training=st.booleans(),
)  # fmt: skip
def test_property_30_image_transformation_shape(
    tmp_path_factory: pytest.TempPathFactory,
    image_encoder: Path,
    width: int,
    height: int,
    mode: str,
    side: int,
    training: bool,
) -> None:
    """Property 30: Image transformation shape. An image of any size and mode becomes (3, side, side) finite floats."""
    path = save(tmp_path_factory.mktemp("image") / "x.png", (width, height), mode)
    encoder = load_image_encoder(find_encoder(str(image_encoder), "image"))
    transforms = [image_transform(encoder, side, training=mode) for mode in (False, True)]
    pixels = ImageFiles([path], *transforms).get(0, 5 if training else None)
    assert pixels is not None
    assert pixels.shape == (3, side, side)
    assert pixels.dtype == torch.float32
    assert torch.isfinite(pixels).all()


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory, image_encoder: Path) -> ImageFiles:
    path = save(tmp_path_factory.mktemp("noisy") / "x.png", (60, 50), "RGB")
    encoder = load_image_encoder(find_encoder(str(image_encoder), "image"))
    return ImageFiles([path], *(image_transform(encoder, 32, training=mode) for mode in (False, True)))


def dataset_of(images: ImageFiles, training: bool, epoch: int) -> AmazonMLDataset:
    data = AmazonMLDataset(pl.DataFrame({"sample_id": ["a"]}), table(["a"]), images=images, training=training, seed=1)
    data.epoch = epoch
    return data


@settings(max_examples=10)
@given(first=st.integers(0, 50), second=st.integers(51, 99))
def test_property_31_data_augmentation_conditional_application(noisy: ImageFiles, first: int, second: int) -> None:
    """Property 31: Data augmentation conditional application. Only training augments: anew each epoch, the same
    again."""
    plain = [dataset_of(noisy, False, epoch)[0]["image"] for epoch in (first, second)]
    assert torch.equal(*plain)
    random_state = torch.get_rng_state()
    shaken = [dataset_of(noisy, True, epoch)[0]["image"] for epoch in (first, second, first)]
    assert torch.equal(torch.get_rng_state(), random_state)  # else dropout would depend on how images are loaded
    assert not torch.equal(shaken[0], shaken[1])
    assert torch.equal(shaken[0], shaken[2])
    assert not torch.equal(shaken[0], plain[0])


VALUES = st.one_of(
    st.floats(-1e6, 1e6, width=32), st.sampled_from([float("nan"), float("inf"), float("-inf")]), st.none()
)


@settings(max_examples=40)
@given(
    learnt=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=10),
    later=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6),
)
def test_property_32_nan_filling_completeness(learnt: list[Any], later: list[Any]) -> None:
    """Property 32: NaN filling completeness. No NaN or infinity is left, and what fills comes from the training
    part."""
    schema = {"a": pl.Float32, "b": pl.Float32}
    first, second = pl.DataFrame(learnt, schema, orient="row"), pl.DataFrame(later, schema, orient="row")
    scaler = TabularScaler.fit(first)
    known, new = scaler.transform(first), scaler.transform(second)
    assert np.isfinite(known).all()
    assert np.isfinite(new).all()
    median = first.select(
        pl.all().cast(pl.Float64).replace([float("inf"), float("-inf")], None).fill_nan(None).median().fill_null(0)
    )
    for row, values in enumerate(later):
        for column, value in enumerate(values):
            if value is None or not np.isfinite(value):
                same = scaler.transform(pl.DataFrame([median.row(0)], schema, orient="row"))[0, column]
                assert new[row, column] == pytest.approx(same, abs=1e-4)


def test_scaler_round_trip_and_missing_column(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1.0, 2.0, None] * 8, "unit": ["oz", "count", None] * 8})
    scaler = TabularScaler.fit(frame)
    scaler.save(tmp_path / "scaler.json")
    again = TabularScaler.load(tmp_path / "scaler.json")
    assert again == scaler
    assert scaler.levels == (("unit", "count"), ("unit", "oz"))
    np.testing.assert_array_equal(again.transform(frame[:3])[:, 1:], [[0, 1], [1, 0], [0, 0]])
    with pytest.raises(SchemaError, match="'unit'"):
        again.transform(frame.drop("unit"))


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((40, 40), 60).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()


@settings(max_examples=15)
@given(states=st.lists(st.sampled_from(["good", "absent", "none", "cut", "garbage", "empty"]), min_size=1, max_size=6))
def test_property_33_image_loading_fallback(
    tmp_path_factory: pytest.TempPathFactory, image_encoder: Path, states: list[str]
) -> None:
    """Property 33: Image loading fallback. A missing or broken image is masked, never an error, and a price comes
    out."""
    folder = tmp_path_factory.mktemp("images")
    data = jpeg()
    contents = {"good": data, "cut": data[: len(data) // 3], "garbage": b"<html>no such image</html>", "empty": b""}
    paths: list[Path | None] = []
    for number, state in enumerate(states):
        paths.append(None if state == "none" else folder / f"{number}.jpg")
        if state in contents:
            (folder / f"{number}.jpg").write_bytes(contents[state])
    encoder = load_image_encoder(find_encoder(str(image_encoder), "image"))
    images = ImageFiles(paths, image_transform(encoder, 16, training=False))
    ids = [f"r{number}" for number in range(len(states))]
    data_set = AmazonMLDataset(pl.DataFrame({"sample_id": ids}), table(ids), images=images)
    batch = collate([data_set[row] for row in range(len(ids))])
    assert batch.image_mask is not None
    assert batch.image_mask.tolist() == [state == "good" for state in states]
    assert (0 if batch.images is None else len(batch.images)) == states.count("good")


def test_a_batch_half_without_images_trains() -> None:
    data = toy_dataset(8)
    batch = collate([data[row] for row in range(8)])
    assert batch.image_mask is not None
    assert 0 < batch.image_mask.sum() < 8
    model = toy_model(modality_dropout=0.0)
    (model(batch) - batch.target).square().mean().backward()
    assert model.missing_image.grad.abs().sum() > 0
    assert model.image_projection[1].weight.grad.abs().sum() > 0


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=70), size=st.integers(1, 9), epoch=st.integers(0, 3),
    start=st.integers(0, 8), chunk=st.integers(1, 4),
)  # fmt: skip
def test_order_is_fixed_complete_and_resumable(
    lengths: list[int], size: int, epoch: int, start: int, chunk: int
) -> None:
    sampler, again = (BucketSampler(lengths, size, shuffle=True, seed=3, chunk=chunk) for _ in range(2))
    sampler.set_position(epoch)
    whole = list(sampler)
    assert sorted(sum(whole, [])) == list(range(len(lengths)))  # noqa: RUF017
    assert len(whole) == len(sampler)
    again.set_position(epoch, start)
    assert list(again) == whole[start:]
    assert list(again) == whole  # the position is for one iteration


def test_bucketing_saves_padding_and_epochs_differ() -> None:
    lengths = np.random.default_rng(0).integers(4, 128, 1000)
    sampler = BucketSampler(lengths, 16, shuffle=True, seed=0)
    padded = sum(len(batch) * lengths[batch].max() for batch in sampler.batches(0))
    order = np.random.default_rng(0).permutation(1000)
    plain = sum(16 * lengths[order[i : i + 16]].max() for i in range(0, 1000, 16))
    assert padded < 1.15 * lengths.sum() < 0.7 * plain
    assert sampler.batches(0) != sampler.batches(1)


@pytest.mark.parametrize(("rows", "most"), [(1000, 1.1), (5500, 1.03)])
def test_more_rows_are_sorted_together_and_still_mixed(rows: int, most: float) -> None:
    """Sorted over a whole epoch, the same rows would meet in every one."""
    lengths = np.random.default_rng(0).integers(4, 128, rows)
    sampler = BucketSampler(lengths, 16, shuffle=True, seed=0)
    one, two = ({tuple(sorted(batch)) for batch in sampler.batches(epoch)} for epoch in (0, 1))
    assert sum(len(batch) * lengths[list(batch)].max() for batch in one) < most * lengths.sum()
    assert len(one & two) < 0.02 * len(one)


def test_workers_do_not_change_the_batches() -> None:
    data = toy_dataset(20, training=True)
    pairs = zip(*(get_dataloader(data, 6, shuffle=True, seed=2, workers=n) for n in (0, 1)), strict=True)
    for one, other in pairs:
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(one.tokens, other.tokens)
        assert torch.equal(one.images, other.images)


class Parents:
    """Images that show which process the one that decodes them was forked from."""

    present = np.ones(4, dtype=bool)

    def get(self, row: int, seed: int | None) -> torch.Tensor:
        return torch.tensor([[os.getppid()]])


def test_decoding_processes_come_ready_from_one_that_is_not_this() -> None:
    """Each epoch starts them anew: importing torch and timm in each would take longer than the epoch."""
    ids = list("abcd")
    data = AmazonMLDataset(pl.DataFrame({"sample_id": ids}), table(ids), images=Parents())
    loader = get_dataloader(data, 2, shuffle=False, workers=2)
    parents = {int(batch.images[0, 0, 0]) for _ in range(2) for batch in loader}
    assert len(parents) == 1
    assert os.getpid() not in parents


def test_kept_hidden_states_are_cut_at_the_right_rows() -> None:
    states = torch.arange(12, dtype=torch.bfloat16).view(6, 2)
    stored = states.view(torch.uint16).numpy(), np.array([0, 1, 4, 6])
    kept = KeptTexts(*stored, np.array([2, 0, 1, 2]), np.ones(4, np.int64))
    assert kept.lengths.tolist() == [2, 1, 3, 2]
    assert kept.get(2).tolist() == [[2, 3], [4, 5], [6, 7]]
    assert kept.get(0).tolist() == kept.get(3).tolist() == [[8, 9], [10, 11]]
    several = KeptTexts(*stored, np.array([0, 2]), np.array([2, 1]))  # the first row has two windows
    assert several.get(0).tolist() == [[0, 1]]
    second = several.window(1)
    assert second.lengths.tolist() == [3, 2]
    assert second.get(0).tolist() == [[2, 3], [4, 5], [6, 7]]
    assert second.get(1).tolist() == several.get(1).tolist()


def test_kept_activations_are_not_copied_to_a_loaders_processes(tmp_path: Path) -> None:
    """Each epoch starts them anew, and a catalogue's hidden states are gigabytes."""
    np.save(tmp_path / "states.npy", np.arange(200_000, dtype=np.uint16).reshape(-1, 4))
    np.save(tmp_path / "patches.npy", np.arange(80_000, dtype=np.uint16).reshape(-1, 4, 2))
    states, patches = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("states", "patches"))
    ids = ["a", "b", "c"]
    data = AmazonMLDataset(
        pl.DataFrame({"sample_id": ids}),
        table(ids),
        text=KeptTexts(states, np.array([0, 5, 9, 30_000]), np.array([1, 0, 1]), np.ones(3, np.int64)),
        images=KeptImages(patches, np.array([9_999, -1, 3])),
    )
    assert len(pickle.dumps(data)) < 5_000
    ((one,), (other,)) = (get_dataloader(data, 3, shuffle=False, workers=n) for n in (0, 1))
    assert torch.equal(one.tokens, other.tokens)
    assert torch.equal(one.images, other.images)


@given(tokens=st.integers(2, 300), limit=st.integers(8, 40), most=st.integers(1, 5))
def test_windows_cover_a_long_text_and_keep_its_head(tokens: int, limit: int, most: int) -> None:
    ids = np.concatenate([[-1], np.arange(tokens), [-2]])
    windows = text_windows(ids, limit, most, 1, 1)
    head = min(16, (limit - 2) // 4)
    for window in windows:
        assert (window[0], window[-1]) == (-1, -2)
        np.testing.assert_array_equal(window[1 : 1 + min(head, tokens)], np.arange(min(head, tokens)))
    if tokens + 2 > limit:
        assert {len(window) for window in windows} == {limit}
        seen = sorted(set(np.concatenate(windows).tolist()) - {-1, -2})
        assert seen == list(range(len(seen)))  # no gap
        assert len(windows) == most or len(seen) == tokens  # as many as wanted, or all of the text
    else:
        assert len(windows) == 1


TEA = "Item Name: Tea, 20 Count (Pack of 6)\nBullet Point 1: Fresh\nValue: 120.0\nUnit: Count\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (TEA, "120 Count, pack 6. Tea, 20 Count (Pack of 6) Fresh"),
        ("Item Name: 6 ft cable\n", "6 ft cable"),
        ("Value: 2.5\nUnit: Ounce\nItem Name: Nuts 12-pack", "2.5 Ounce, pack 12. Nuts 12-pack"),
        ("no fields at all\nsecond line", "no fields at all second line"),
        ("", ""),
        (None, ""),
    ],
)
def test_value_unit_and_pack_stand_first(content: str | None, expected: str) -> None:
    """So that truncation to 48 tokens keeps them."""
    assert compose_texts([content])[0] == expected
