"""Feature names in the words of somebody who did not make them."""

__all__ = ["feature_words"]

_WORDS = (
    ("price_ridge_per_unit", "a linear model's price from the words, per unit"),
    ("price_ridge", "a linear model's price from the words"),
    ("price_nn_similarity", "how alike the nearest known product is"),
    ("price_nn_mean_similarity", "how alike the nearest known products are"),
    ("price_nn_spread", "how far apart the prices of similar products are"),
    ("price_nn_from_unit", "the price at which similar products sell a unit, times the amount"),
    ("price_nn_per_unit", "what similar products cost per unit"),
    ("price_nn", "what similar products cost"),
    ("price_sub_brand", "what products of the same product line cost"),
    ("price_brand", "what products of the same brand cost"),
    ("ipq_pack", "units in the pack"),
    ("ipq_log_pack", "units in the pack"),
    ("ipq_pieces", "pieces, such as tea bags"),
    ("ipq_log_pieces", "pieces, such as tea bags"),
    ("ipq_total", "amount in the whole pack"),
    ("ipq_log_total", "amount in the whole pack"),
    ("ipq_", "size or amount that the text gives"),
    ("svd_", "a direction in the space of all words"),
    ("brand", "the brand, and how frequent it is"),
    ("sub_brand", "the product line"),
    ("text_", "how the text is written: lengths, counts, shares"),
    ("quality_", "a word such as premium or organic"),
    ("discount_", "a word such as value or bulk"),
    ("claim_", "a claim such as vegan or gluten free"),
    ("has_", "whether such a word is there"),
)
"""Beginnings of names, the longer first where one begins another."""


def feature_words(name: str) -> str:
    """What a feature is, in plain words; empty where nothing is known of it."""
    return next((words for beginning, words in _WORDS if name.startswith(beginning)), "")
