"""Copies of pretrained encoders."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from pricing.pretrained.saved_encoders import SavedEncoders
from pricing.pretrained.weights import find_encoder, load_image_encoder, load_text_encoder, load_tokenizer
from tests.members.networks.builders import write_text_encoder


def test_the_saved_copies_are_the_encoders_to_the_bit(tmp_path: Path) -> None:
    """Real weights from installed packages: the copy tokenises, and computes, as the original does."""
    encoders = SavedEncoders.save("all-MiniLM-L6-v2", "tf_efficientnet_lite0", tmp_path / "encoders")
    source = find_encoder("all-MiniLM-L6-v2", "text")
    texts = ["Item Name: Taco Sauce, 12 Ounce (Pack of 6)\nValue: 72.0\nUnit: Fl Oz\n", "Crème brûlée, 12 oz™ 北京"]
    original, copy = (tokenizer(texts)["input_ids"] for tokenizer in (load_tokenizer(source), encoders.tokenizer()))
    assert original == copy
    ids = {"input_ids": torch.tensor([copy[0]]), "attention_mask": torch.ones(1, len(copy[0]), dtype=torch.int64)}
    pixels = torch.rand(1, 3, 96, 96)
    image = load_image_encoder(find_encoder("tf_efficientnet_lite0", "image"))
    with torch.inference_mode():
        assert torch.equal(load_text_encoder(source)(**ids).last_hidden_state, encoders.text()(**ids).last_hidden_state)
        assert torch.equal(image.forward_features(pixels), encoders.image().forward_features(pixels))


def test_a_pooler_that_a_checkpoint_lacks_is_the_same_in_every_run(tmp_path: Path) -> None:
    """Language models are published without one; transformers then draws it at random."""
    source = write_text_encoder(tmp_path / "text")
    tensors = load_file(source / "model.safetensors")
    save_file({name: t for name, t in tensors.items() if "pooler" not in name}, source / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    first, second = (SavedEncoders.save(str(source), None, tmp_path / name).records["text"] for name in ("a", "b"))
    assert first == second
