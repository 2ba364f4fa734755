"""Feature engineering: what is computed from the text, and what is fitted on prices inside the fold."""

from typing import Literal

from pydantic import Field

from pricing.config.base import Section


class TfidfConfig(Section):
    """Word and character n-grams."""

    word_ngrams: tuple[int, int] = (1, 2)
    """Shortest and longest word n-gram of the whole text."""
    word_max_features: int = Field(60_000, ge=0)
    """Vocabulary of the whole text; 0 switches the block off."""
    word_weight: float = Field(1.0, gt=0)
    """Length of the whole-text word vector."""
    title_ngrams: tuple[int, int] = (1, 2)
    """Shortest and longest word n-gram of the title."""
    title_max_features: int = Field(60_000, ge=0)
    """Vocabulary of the titles; 0 switches the block off."""
    title_weight: float = Field(1.0, gt=0)
    """Length of the title's word vector."""
    char_ngrams: tuple[int, int] = (3, 5)
    """Shortest and longest character n-gram of the title, inside word boundaries."""
    char_max_features: int = Field(100_000, ge=0)
    """Character vocabulary; 0 switches the block off."""
    char_weight: float = Field(1.0, gt=0)
    """Length of the title's character vector."""
    category_weight: float = Field(1.0, gt=0)
    """Length of the vector of declared categories; read only where categories are declared."""
    min_df: int = Field(2, ge=1)
    """Documents that must hold a term."""
    max_characters: int = Field(20_000, ge=100)
    """Characters of a text that are read."""
    svd_components: int = Field(64, ge=0, le=1024)
    """Truncated SVD of the TF-IDF for the trees; 0 switches it off."""


class EmbeddingConfig(Section):
    """The sentence encoder behind the space ``embedding``."""

    name: str = "all-MiniLM-L6-v2"
    """A local folder, an installed weight package (all-MiniLM-L6-v2, all-mpnet-base-v2) or a hub model."""
    max_length: int = Field(128, ge=8, le=2048)
    """Tokens a text is truncated to."""
    batch: int = Field(32, ge=1)
    """Texts a batch; a text's last bits depend on it."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the encoder's products; auto takes bf16 where the processor has instructions for it (avx512_bf16, amx), else
    fp32. bf16 then is 1.8 times as fast and keeps 99.5 % of the 20 nearest; without them a product takes 170 times as
    long. Dynamic int8 is 1.3 times faster yet and keeps 72 %."""


class PriceFeaturesConfig(Section):
    """Features that read prices; fitted inside the fold, by inner folds."""

    ridge_alpha: float = Field(3.0, gt=0)
    """L2 penalty of the ridge on TF-IDF whose out-of-fold prediction is a feature and a member."""
    ridge_tabular_weight: float = Field(0.2, ge=0)
    """Scale of the standardised tabular numbers and one-hot categories beside the TF-IDF; 0 leaves them out."""
    ridge_interaction_weight: float = Field(0.7, ge=0)
    """Scale of the terms times amount and pack count; 0 leaves them out."""
    inner_folds: int = Field(5, ge=2, le=20)
    """Inner folds for features of the training rows."""
    neighbours: int = Field(30, ge=0, le=100)
    """Comparables whose log prices are summarised, in each space; 0 switches them off."""
    neighbour_sharpness: float = Field(10.0, gt=0)
    """Neighbours weigh exp(sharpness * cosine)."""
    price_elasticity: float = Field(0.65, ge=0, le=2)
    """A comparable's log price is brought to the row's amount with this power."""
    amount_bandwidth: float = Field(0.7, gt=0)
    """Comparables of another amount weigh exp(-|difference of log amounts| / this)."""
    brand_prior: float = Field(5.0, gt=0)
    """Rows of the overall mean that are mixed into a brand's mean log price."""


class FeaturesConfig(Section):
    """The FeatureEngineer."""

    tfidf: TfidfConfig = TfidfConfig()
    """TF-IDF settings."""
    quality_keywords: tuple[str, ...] = (
        "premium", "luxury", "gourmet", "organic", "natural", "artisan", "handmade", "professional",
        "imported", "deluxe", "reserve", "aged", "grass fed", "wild caught", "fresh", "pure", "authentic",
    )  # fmt: skip
    """Words that point at a higher price."""
    discount_keywords: tuple[str, ...] = (
        "value", "budget", "economy", "sale", "discount", "bulk", "wholesale", "cheap", "saver", "family size",
        "clearance", "deal",
    )  # fmt: skip
    """Words that point at a lower price or a lower price a unit."""
    brand_min_count: int = Field(3, ge=1)
    """Products a name must lead to count as a known brand."""
    spaces: tuple[Literal["words", "characters", "embedding"], ...] = ("words", "characters")
    """Spaces in which comparables are searched; ``embedding`` runs a sentence encoder over all texts, once."""
    embedding: EmbeddingConfig = EmbeddingConfig()
    """The sentence encoder; read only where ``spaces`` has ``embedding``."""
    price: PriceFeaturesConfig = PriceFeaturesConfig()
    """Price-reading features."""
