"""Feature names in the words of somebody who did not make them."""

import re

_SPACES = {"words": "by words", "characters": "by spelling", "embedding": "by meaning"}
"""How products are compared, as a column's name has it: price_SPACE_SUMMARY."""
_COMPARED = re.compile(f"price_({'|'.join(_SPACES)})_(.+)")
_SUMMARIES = (
    ("similarity", "how alike the nearest known product is"),
    ("mean_similarity", "how alike the nearest known products are"),
    ("best_similarity", "how alike the best comparable is"),
    ("best_amount", "how much more or less the best comparable holds"),
    ("best", "what the best comparable costs, moved to this amount"),
    ("nearest", "what the nearest known product costs"),
    ("spread", "how far apart the prices of similar products are"),
    ("elastic_spread", "how far apart the prices of similar products are, moved to this amount"),
    ("weight", "how many similar products of a like amount there are"),
    ("from_unit", "the price at which similar products sell a unit, times the amount"),
    ("per_unit", "what similar products cost per unit"),
    ("elastic_median", "the median of what similar products cost, moved to this amount"),
    ("elastic_sized", "what similar products cost, above all those of a like amount, moved to this amount"),
    ("elastic", "what similar products cost, moved to this amount"),
    ("sized", "what similar products cost, above all those of a like amount"),
    ("median", "the median of what similar products cost"),
    ("", "what similar products cost"),
)
"""Beginnings of a summary's name, the longer first where one begins another."""
_WORDS = (
    ("price_ridge_per_unit", "a linear model's price from the words, per unit"),
    ("price_ridge", "a linear model's price from the words"),
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
    ("word_flavours", "how many flavours the text names"),
    ("word_forms", "how many forms, such as powder or leaf, the text names"),
    ("word_", "whether the text is in English"),
    ("flavour", "the flavour"),
    ("form", "the form, such as powder or leaf"),
    ("language", "the language"),
    ("text_", "how the text is written: lengths, counts, shares"),
    ("quality_", "a word such as premium or organic"),
    ("discount_", "a word such as value or bulk"),
    ("claim_", "a claim such as vegan or gluten free"),
    ("has_", "whether such a word is there"),
)
"""Beginnings of names, the longer first where one begins another."""


def feature_words(name: str) -> str:
    """What a feature is, in plain words; empty where nothing is known of it."""
    if compared := _COMPARED.fullmatch(name):
        space, summary = compared.groups()
        return f"{_first(_SUMMARIES, summary)} (compared {_SPACES[space]})"
    return _first(_WORDS, name)


def _first(table: tuple[tuple[str, str], ...], name: str) -> str:
    return next((words for beginning, words in table if name.startswith(beginning)), "")
