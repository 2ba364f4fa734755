"""The network's shapes, its attention, its parts switched off; LoRA; EMA."""

from pathlib import Path
from typing import Any

from pricing.pretrained import vision_ops  # isort: skip  # before timm

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pricing.errors import ArtifactError, WeightsError
from pricing.members.multimodal.dataset import collate
from pricing.members.multimodal.ema import ModelEMA
from pricing.members.multimodal.encoders import ImageTower, fit_to_side, image_patches, split_text_encoder
from pricing.members.multimodal.lora import setup_lora
from pricing.members.multimodal.network import Batch
from pricing.members.multimodal.settings import LoraConfig
from pricing.members.multimodal.towers import enable_checkpointing
from pricing.members.torch_parts.tensors import load_model, save_model
from pricing.pretrained.weights import find_encoder, load_image_encoder, load_text_encoder
from tests.members.networks.builders import Features, toy_dataset, toy_model

assert vision_ops is not None
KINDS = ["bert", "mpnet", "deberta"]


def random_batch(rows: int, tokens: int, present: list[bool], width: int = 5, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, tokens + 1, (rows,), generator=generator)
    lengths[0] = tokens
    mask = torch.tensor(present)
    return Batch(
        tokens=torch.randint(5, 30, (rows, tokens), generator=generator),
        mask=torch.arange(tokens) < lengths.unsqueeze(1),
        images=torch.randn(int(mask.sum()), 4, 6, generator=generator) if mask.any() else None,
        image_mask=mask,
        tabular=torch.randn(rows, width, generator=generator),
        target=None,
        rows=torch.arange(rows),
    )


@settings(max_examples=25)
@given(
    present=st.lists(st.booleans(), min_size=1, max_size=6), tokens=st.integers(1, 9), width=st.integers(1, 7),
    kind=st.sampled_from(["cross_attention", "gated"]), text=st.booleans(), image=st.booleans(), training=st.booleans(),
)  # fmt: skip
def test_property_15_multimodal_forward_pass_shape_consistency(
    present: list[bool], tokens: int, width: int, kind: str, text: bool, image: bool, training: bool
) -> None:
    """Property 15: Multimodal forward pass shape consistency. Any batch gives one finite log price a row, float32."""
    model = toy_model(width=width, kind=kind, text=text, image=image, modality_dropout=0.5).train(training)
    prediction = model(random_batch(len(present), tokens, present, width))
    assert prediction.shape == (len(present),)
    assert prediction.dtype == torch.float32
    assert torch.isfinite(prediction).all()


@settings(max_examples=15)
@given(rows=st.integers(1, 6), width=st.integers(1, 40), hidden=st.sampled_from([8, 16, 24]))
def test_property_16_tabular_feature_projection(rows: int, width: int, hidden: int) -> None:
    """Property 16: Tabular feature projection. Any number of columns becomes the hidden width, and every column
    counts."""
    model = toy_model(width=width, hidden=hidden).eval()
    values = torch.randn(rows, width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    projected = model.tabular_projection(values)
    assert projected.shape == (rows, hidden)
    (projected * torch.randn(rows, hidden, generator=torch.Generator().manual_seed(1))).sum().backward()
    assert values.grad is not None
    assert (values.grad.abs().sum(0) > 0).all()


def test_a_rows_price_does_not_depend_on_its_batch() -> None:
    """Padding and the other rows' missing images must leave no trace."""
    model = toy_model(modality_dropout=0.5).eval()
    data = toy_dataset(9)
    with torch.inference_mode():
        alone = torch.cat([model(collate([data[row]])) for row in range(9)])
        together = model(collate([data[row] for row in range(9)]))
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)


def test_attention_attends() -> None:
    """Regression on a fault of public models: over a single key the softmax is always 1, and nothing is attended to."""
    model = toy_model().eval()
    batch = random_batch(3, 7, [True, True, False])
    assert model.cross is not None
    both = model.cross.text_to_image, model.cross.image_to_text
    weights: list[torch.Tensor] = []
    for attention in both:
        attention.register_forward_pre_hook(
            lambda _, args, given: (args, given | {"need_weights": True}), with_kwargs=True
        )
        attention.register_forward_hook(lambda _, args, found: weights.append(found[1]))
    with torch.inference_mode():
        model(batch)
    over_patches, over_tokens = weights
    assert over_patches.shape == (3, 7, 4)
    assert over_tokens.shape == (3, 4, 7)
    torch.testing.assert_close(over_patches.sum(-1), torch.ones(3, 7))
    assert batch.mask is not None
    assert (over_tokens.transpose(1, 2)[~batch.mask] == 0).all()  # padding is never looked at
    assert over_patches[:2].std(-1).min() > 1e-4  # weights differ between patches ...
    assert over_tokens[0].std(0).min() > 1e-5  # ... and between queries
    torch.testing.assert_close(over_patches[2], torch.full((7, 4), 0.25))  # no image: four equal missing embeddings


def test_the_image_changes_the_price_only_where_there_is_one() -> None:
    model = toy_model().eval()
    nn.init.normal_(model.head[-1].weight)
    batch = random_batch(4, 5, [True, False, True, False])
    with torch.inference_mode():
        before = model(batch)
        assert batch.images is not None
        batch.images = batch.images.flip(2) * 3
        changed = (model(batch) - before).abs() > 1e-6
    assert changed.tolist() == [True, False, True, False]


def test_missing_embeddings_learn_and_modality_dropout_is_for_training() -> None:
    model = toy_model(modality_dropout=0.9)
    batch = random_batch(40, 5, [True] * 40)
    model.train()(batch).sum().backward()
    assert model.missing_image.grad.abs().sum() > 0
    assert model.missing_text.grad.abs().sum() > 0
    model.eval()
    torch.testing.assert_close(model(batch), model(batch), atol=0, rtol=0)


def test_a_row_without_an_image_keeps_its_text() -> None:
    """The text is all that it has, and 93 % of the real rows are so."""
    model = toy_model(modality_dropout=0.9, dropout=0.0)
    nn.init.normal_(model.head[-1].weight)
    batch = random_batch(60, 5, [True, False, False] * 20)
    with torch.inference_mode():
        changed = (model.train()(batch) - model.eval()(batch)).abs() > 1e-5
    assert batch.image_mask is not None
    assert not changed[~batch.image_mask].any()
    assert changed[batch.image_mask].float().mean() > 0.5


def test_training_starts_at_the_given_linear_model() -> None:
    model = toy_model().eval()
    model.initialise_output(torch.tensor([0.5, 0, 0, 0, -1.0]), 3.0, 0.2)
    batch = random_batch(6, 5, [True] * 6)
    expected = 3.0 + 0.5 * batch.tabular[:, 0] - batch.tabular[:, 4]
    assert (model(batch) - expected).abs().max() < 0.2  # the head starts near zero, in units of 0.2


def test_parameter_counts() -> None:
    model = toy_model()
    total = sum(np.prod(p.shape) for p in model.parameters())
    assert model.count_parameters() == model.count_trainable_parameters() == total
    model.text.requires_grad_(False)
    assert model.count_parameters() - model.count_trainable_parameters() == 40 * 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("upper_layers", [1, 2, 3])
def test_lower_and_upper_part_make_the_whole_encoder(
    kind: str, upper_layers: int, text_encoders: dict[str, Path]
) -> None:
    source = find_encoder(str(text_encoders[kind]), "text")
    ids, mask = torch.tensor([[2, 6, 7, 8, 3], [2, 9, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    with torch.inference_mode():
        whole = load_text_encoder(source)(input_ids=ids, attention_mask=mask).last_hidden_state
        lower, upper = split_text_encoder(load_text_encoder(source), upper_layers)
        middle = lower(input_ids=ids, attention_mask=mask).last_hidden_state
        assert upper is not None
        split = upper.eval()(inputs_embeds=middle, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(split[mask.bool()], whole[mask.bool()], atol=1e-6, rtol=1e-6)
    assert not any(p.requires_grad for p in lower.parameters())
    trained = {n.split(".layer.")[1].split(".")[0] for n, p in upper.named_parameters() if p.requires_grad}
    assert len(trained) == upper_layers


def test_too_many_layers_are_refused(text_encoders: dict[str, Path]) -> None:
    encoder = load_text_encoder(find_encoder(str(text_encoders["bert"]), "text"))
    with pytest.raises(WeightsError, match="has 3 layers"):
        split_text_encoder(encoder, 4)


@pytest.mark.parametrize("frozen", ["early", "none", "all"])
def test_image_tower_freezes_what_it_says(frozen: Any, image_encoder: Path) -> None:
    encoder: Any = load_image_encoder(find_encoder(str(image_encoder), "image"))
    tower = ImageTower(encoder, encoder.num_features, frozen).train()
    patches = tower(torch.rand(2, 3, 64, 64))
    assert patches.shape == (2, 4, encoder.num_features)
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert ("conv_stem.weight" in trained) == (frozen == "none")
    assert any(name.startswith("blocks.5") or name.startswith("conv_head") for name in trained) == (frozen != "all")
    running = encoder.bn1.running_mean.clone()
    tower(torch.rand(2, 3, 64, 64) + 5)
    assert torch.equal(encoder.bn1.running_mean, running)  # statistics of micro-batches would be noise


@pytest.mark.parametrize(
    ("name", "early", "late"),
    [
        ("test_vit", ["patch_embed.proj.weight", "pos_embed", "blocks.2.mlp.fc1.weight"], "blocks.3.mlp.fc1.weight"),
        ("test_resnet", ["conv1.0.weight", "layer2.0.conv1.weight"], "layer3.0.conv1.weight"),
        ("test_convnext", ["stem.0.weight", "stages.1.blocks.0.conv_dw.weight"], "stages.2.blocks.0.conv_dw.weight"),
        ("test_mambaout", ["stem.conv1.weight", "stages.1.blocks.0.fc1.weight"], "stages.2.blocks.0.fc1.weight"),
    ],
)  # fmt: skip
def test_the_first_half_of_every_architecture_can_be_frozen(name: str, early: list[str], late: str) -> None:
    encoder: Any = timm.create_model(name, pretrained=False, num_classes=0)
    assert fit_to_side(encoder, 64)[1] == encoder.num_features
    tower = ImageTower(encoder, encoder.num_features, "early").train()
    tower(torch.rand(2, 3, 64, 64)).square().mean().backward()
    moved = {name for name, p in encoder.named_parameters() if p.grad is not None}
    assert not moved & set(early)
    assert late in moved
    assert {name for name, _ in encoder.named_parameters()} > {*early, late}


def test_an_encoder_without_known_groups_cannot_be_frozen_early() -> None:
    with pytest.raises(WeightsError, match=r"members\.multimodal\.image\.frozen to all or none"):
        ImageTower(Features(), 6, "early")


def test_maps_with_channels_last_become_patches_unscrambled() -> None:
    """Read as channels first, each patch was a row of the map, of all channels mixed."""
    encoder: Any = timm.create_model("test_mambaout", pretrained=False, num_classes=0).eval()
    images = torch.rand(2, 3, 96, 64)
    with torch.inference_mode():
        features, patches = encoder.forward_features(images), image_patches(encoder, images)
    assert features.shape == (2, 3, 2, 64)
    for row, column in ((0, 0), (1, 1), (2, 0)):
        assert torch.equal(patches[:, 2 * row + column], features[:, row, column])


def test_features_in_an_unknown_layout_are_refused() -> None:
    encoder = Features()
    encoder.num_features = 2  # as if its channels stood last, and it did not say so
    with pytest.raises(WeightsError, match="shape"):
        image_patches(encoder, torch.rand(1, 3, 16, 16))


def test_a_side_that_an_encoder_does_not_take_is_named() -> None:
    with pytest.raises(
        WeightsError, match=r"VisionTransformer .* members\.multimodal\.image\.side = 260 .* trained with 160"
    ):
        fit_to_side(timm.create_model("test_vit", pretrained=False, num_classes=0), 260)
    assert fit_to_side(timm.create_model("test_vit3", pretrained=False, num_classes=0), 260) == (257, 96)


@settings(max_examples=6)
@given(rank=st.integers(1, 4), kind=st.sampled_from(KINDS))
def test_property_14_lora_parameter_efficiency(rank: int, kind: str, text_encoders: dict[str, Path]) -> None:
    """Property 14: LoRA parameter efficiency. Only the adapters train: 2 r d parameters a layer, far below the
    whole."""
    encoder = load_text_encoder(find_encoder(str(text_encoders[kind]), "text"))
    whole = sum(p.numel() for p in encoder.parameters())
    adapted, share = setup_lora(encoder, LoraConfig(enabled=True, r=rank))
    trainable = 3 * 3 * 2 * rank * 16  # layers, projections, two matrices of r by 16
    assert share == trainable / (whole + trainable)
    assert all("lora" in name for name, p in adapted.named_parameters() if p.requires_grad)


def test_lora_starts_as_the_encoder_and_merges_into_it(text_encoders: dict[str, Path]) -> None:
    source = find_encoder(str(text_encoders["deberta"]), "text")
    ids = torch.tensor([[2, 6, 7, 8, 3]])
    adapted, _ = setup_lora(load_text_encoder(source), LoraConfig(enabled=True, r=2, dropout=0.0))
    adapted.eval()
    torch.manual_seed(0)
    with torch.inference_mode():
        before = load_text_encoder(source)(input_ids=ids).last_hidden_state
        torch.testing.assert_close(adapted(input_ids=ids).last_hidden_state, before)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    with torch.inference_mode():
        trained = adapted(input_ids=ids).last_hidden_state
        assert (trained - before).abs().max() > 1e-3
        merged = adapted.merge_and_unload()(input_ids=ids).last_hidden_state
        torch.testing.assert_close(merged, trained, atol=1e-5, rtol=1e-4)


@settings(max_examples=20)
@given(decay=st.floats(0.0, 0.999), walk=st.lists(st.floats(-5, 5), min_size=1, max_size=12), warmup=st.booleans())
def test_property_20_ema_update_consistency(decay: float, walk: list[float], warmup: bool) -> None:
    """Property 20: EMA update consistency. The shadow is the recursion d s + (1 - d) w; restore gives back the
    weights."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    ema, expected = ModelEMA(model, decay, warmup=warmup), 1.0
    for number, weight in enumerate(walk, start=1):
        nn.init.constant_(model.weight, weight)
        ema.update(model)
        d = min(decay, (1 + number) / (10 + number)) if warmup else decay
        expected = d * expected + (1 - d) * weight
    weights = model.weight.detach().clone()
    ema.apply_shadow(model)
    assert model.weight.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    with pytest.raises(RuntimeError, match="restore"):
        ema.apply_shadow(model)
    ema.restore(model)
    assert torch.equal(model.weight, weights)


def test_saved_models_come_back_and_others_are_refused(tmp_path: Path) -> None:
    model = toy_model(seed=1)
    save_model(model, tmp_path, {"member": "x"})
    other = toy_model(seed=2)
    assert load_model(other, tmp_path) == {"member": "x"}
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    with pytest.raises(ArtifactError, match="not those of this model"):
        load_model(toy_model(hidden=8), tmp_path)
    torch.save({"w": torch.ones(1)}, tmp_path / "model.safetensors")  # a pickle under the expected name
    with pytest.raises(ArtifactError, match="safetensors"):
        load_model(other, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_recomputes_activations_or_says_that_it_cannot(kind: str, text_encoders: dict[str, Path]) -> None:
    encoder = load_text_encoder(find_encoder(str(text_encoders[kind]), "text")).train()
    if kind == "mpnet":
        with pytest.raises(WeightsError, match=r"MPNetModel.*gradient_checkpointing to false"):
            enable_checkpointing(encoder)
    else:
        enable_checkpointing(encoder)
        assert any(getattr(module, "gradient_checkpointing", False) for module in encoder.modules())
