"""The tabular features as somebody would write them with pandas: vectorised string methods and compiled patterns.

The same columns as `FeatureEngineer` makes of a plain text, without its quantities and its TF-IDF, from the same word
lists, for `features_tabular.py` to compare: every column must be equal, and the speeds are measured side by side.
"""

import re
import sys
import unicodedata

import numpy as np
import pandas as pd

from pricing.config.features import FeaturesConfig
from pricing.features import words as vocabulary
from pricing.features.brand import LONGEST, BrandNames
from pricing.features.keywords import CLAIMS
from pricing.features.sections import NAME_CHARACTERS

WORD = r"[^\W]"


def _class(*categories: str) -> str:
    """Characters of Unicode categories, for a module without \\p{...}."""
    found = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in categories]
    return "[" + re.escape("".join(found)) + "]"


UPPER, CASED = re.compile(_class("Lu")), re.compile(_class("Lu", "Ll"))
PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
PATTERNS = {name: re.compile(pattern) for name, pattern in {
    "words": r"\S+", "lines": "\n", "digits": r"\d", "exclamations": "!", "non_ascii": r"[^\x00-\x7f]",
    "html": r"<[^<>]{1,100}>", "numbers": r"\d+(?:[.,]\d+)*", "commas": ",",
}.items()}  # fmt: skip


def sections(frame: pd.DataFrame) -> pd.DataFrame:
    """Parts of plain catalogue texts that name their products."""
    text = frame["catalog_content"].fillna("")

    def line(label: str) -> pd.Series:
        return text.str.extract(re.compile(rf"(?m)^ ?{label} ?: ?([^\n]*)"))[0].str.strip()

    bullet = re.compile(r"(?m)^[ \t]*Bullet Point[ \t]*\d*[ \t]*:[^\n]*")
    label = re.compile(r"(?m)^[ \t]*Bullet Point[ \t]*\d*[ \t]*:[ \t]*")
    described = re.compile(r"(?ms)^[ \t]*Product Description[ \t]*:[ \t]*(.*?)(?:^[ \t]*(?:Value|Unit)[ \t]*:|\Z)")
    bullets = text.str.findall(bullet)
    return pd.DataFrame({
        "text": text,
        "prose": text.str.replace(re.compile(r"(?m)^[ \t]*(?:Value|Unit)[ \t]*:[^\n]*"), "", regex=True),
        "item_name": line("Item Name").fillna(text.str.extract(re.compile(r"([^\s][^\r\n]*)"))[0].str.strip())
        .fillna("").str.slice(0, NAME_CHARACTERS),
        "bullets": bullets.str.join("\n").str.replace(label, "", regex=True),
        "description": text.str.extract(described)[0].str.strip().fillna(""),
        "bullet_count": bullets.str.len(),
    })  # fmt: skip


def text_statistics(parts: pd.DataFrame) -> dict[str, pd.Series]:
    """Counts and shares."""
    text, name = parts["text"], parts["item_name"]
    count = {key: text.str.count(pattern) for key, pattern in PATTERNS.items()}
    characters, words = text.str.len(), count["words"]
    name_words = name.str.count(PATTERNS["words"])
    unique = name.str.lower().str.findall(PATTERNS["words"]).map(lambda found: len(set(found)))

    def share(part: pd.Series, whole: pd.Series) -> pd.Series:
        return (part / whole.where(whole > 0)).fillna(0.0)

    return {
        "text_characters": characters,
        "text_words": words,
        "text_lines": count["lines"] + (characters > 0),
        "text_word_length": share(text.str.count(re.compile(r"\S")), words),
        "text_digits_share": share(count["digits"], characters),
        "text_upper_share": share(text.str.count(UPPER), text.str.count(CASED)),
        "text_punctuation": text.str.count(PUNCTUATION),
        "text_exclamations": count["exclamations"],
        "text_non_ascii": count["non_ascii"],
        "text_html_tags": count["html"],
        "text_numbers": count["numbers"],
        "text_bullets": parts["bullet_count"],
        "text_bullet_characters": parts["bullets"].str.len(),
        "text_description_characters": parts["description"].str.len(),
        "text_name_characters": name.str.len(),
        "text_name_words": name_words,
        "text_name_numbers": name.str.count(PATTERNS["numbers"]),
        "text_name_upper_share": share(name.str.count(UPPER), name.str.count(CASED)),
        "text_name_commas": name.str.count(PATTERNS["commas"]),
        "text_name_unique_share": share(unique, name_words),
    }


def _whole_words(words: tuple[str, ...]) -> re.Pattern[str]:
    parts = (r"[\s\-]+".join(re.escape(piece) for piece in word.lower().split()) for word in words)
    return re.compile(rf"(?:^|\W)(?:{'|'.join(parts)})(?:$|\W)", re.IGNORECASE)


def keywords(parts: pd.DataFrame, config: FeaturesConfig) -> dict[str, pd.Series]:
    """Flags and counts of the configured words and the claims."""

    def slug(word: str) -> str:
        return "".join(letter if letter.isalnum() else "_" for letter in word.lower())

    groups = {f"quality_{slug(word)}": (word,) for word in config.quality_keywords}
    groups |= {f"discount_{slug(word)}": (word,) for word in config.discount_keywords}
    groups |= {f"claim_{name}": words for name, words in CLAIMS.items()}
    flags = {name: parts["prose"].str.contains(_whole_words(words)) for name, words in groups.items()}
    counts = {}
    for prefix in ("quality", "discount", "claim"):
        members = [flag for name, flag in flags.items() if name.startswith(f"{prefix}_")]
        counts[f"{prefix}_count"] = sum(members)
        if prefix != "claim":
            counts[f"has_{prefix}"] = counts[f"{prefix}_count"] > 0
    return flags | counts


def words(parts: pd.DataFrame) -> dict[str, pd.Series]:
    """Flavour, form and language."""

    def normalized(texts: pd.Series) -> pd.Series:
        apart = " " + texts.str.lower().str.replace(re.compile(r"[^\w\s\-]+"), " . ", regex=True) + " "
        return apart.str.replace(re.compile(r"[\s\-]+"), " ", regex=True)

    title = normalized(parts["item_name"])
    prose = normalized(parts["prose"].str.slice(0, vocabulary.LANGUAGE_CHARACTERS))

    def first(listed: tuple[str, ...]) -> pd.Series:
        longest_first = sorted(listed, key=lambda word: (-len(word), word))
        return title.str.extract(re.compile(f" ({'|'.join(longest_first)}) "))[0].fillna("")

    spoken = pd.DataFrame({
        language: prose.str.count(re.compile(f"(?= (?:{'|'.join(listed)}) )"))
        for language, listed in vocabulary.LANGUAGES.items()
    })  # fmt: skip
    foreign = spoken.drop(columns="en")
    others = foreign.max(axis=1).where(foreign.max(axis=1) >= 2, 0)
    total = spoken.sum(axis=1)
    return {
        "word_flavours": sum(title.str.contains(f" {word} ", regex=False).astype(int) for word in vocabulary.FLAVOURS),
        "word_forms": sum(title.str.contains(f" {word} ", regex=False).astype(int) for word in vocabulary.FORMS),
        "word_english_share": (spoken["en"] / total.where(total > 0)).fillna(1.0),
        "word_other_language": others > spoken["en"],
        "flavour": first(vocabulary.FLAVOURS),
        "form": first(vocabulary.FORMS),
        "language": foreign.idxmax(axis=1).where(others > spoken["en"], "en"),
    }


def brands(parts: pd.DataFrame, names: BrandNames) -> dict[str, pd.Series]:
    """Brand, sub-brand and where the brand stands."""
    clean = parts["item_name"].str.slice(0, 200).str.lower().str.replace(re.compile("[’']"), "", regex=True)
    clean = clean.str.replace(re.compile(r"[^\w&]+|_+"), " ", regex=True).str.strip()
    clean = clean.str.replace(re.compile(r"^(?:generic|the|by|new) "), "", regex=True)
    listed = clean.str.split()
    starts = [listed.str.slice(0, length).str.join(" ").where(listed.str.len() >= length)
              for length in range(1, LONGEST + 1)]  # fmt: skip

    def longest(known: dict[str, int]) -> pd.Series:
        found = pd.Series(pd.NA, index=clean.index, dtype=object)
        for start in reversed(starts):
            found = found.fillna(start.where(start.isin(known)))
        return found.fillna("")

    start, sub = longest(names.brands), longest(names.beginnings)
    padded = " " + listed.str.join(" ") + " "
    inside = pd.Series("", index=clean.index, dtype=object)
    if names.sure:
        sure = re.compile(" (" + "|".join(re.escape(name) for name in names.sure) + ") ")
        inside = padded.str.extract(sure)[0].fillna("")
    before = [len(text.split(f" {name} ", 1)[0].split()) for text, name in zip(padded, inside, strict=True)]
    position = pd.Series(before, index=clean.index, dtype=float).where(inside != "")
    brand = start.where(start != "", inside)
    return {
        "brand_frequency": np.log1p(brand.map(names.brands).fillna(0).astype(float)),
        "brand_words": brand.str.count(PATTERNS["words"]),
        "brand_known": brand != "",
        "brand_position": position.where(start == "", 0.0),
        "sub_brand_frequency": np.log1p(sub.map(names.beginnings).fillna(0).astype(float)),
        "brand": brand,
        "sub_brand": sub,
    }


def tabular_features(frame: pd.DataFrame, config: FeaturesConfig, names: BrandNames) -> pd.DataFrame:
    """All of them, in the FeatureEngineer's order of families."""
    parts = sections(frame)
    columns = text_statistics(parts) | keywords(parts, config) | words(parts)
    columns |= brands(parts, names)
    return pd.DataFrame({name: np.asarray(values) for name, values in columns.items()})
