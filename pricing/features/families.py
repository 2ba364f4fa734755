"""Families of features that are read off a product's text and its declared columns: named columns, without a price."""

from collections.abc import Iterator

import polars as pl

from pricing.config.columns import ColumnsConfig
from pricing.config.features import FeaturesConfig
from pricing.errors import SchemaError
from pricing.features import brand, quantity, text_statistics, words
from pricing.features.brand import BrandNames
from pricing.features.declared_columns import DeclaredColumns
from pricing.features.keywords import keyword_columns, keyword_features
from pricing.features.schema import Column
from pricing.features.sections import split_sections

#: rows in work at a time: a row's features depend on its own text alone, and memory on this
CHUNK = 50_000


class TextFamilies:
    """Quantities, statistics, keywords, words, brands and declared columns of n products.

    Parameters
    ----------
    config : FeaturesConfig
        Keywords.
    columns : ColumnsConfig
        Roles of the catalogue's columns.
    """

    def __init__(self, config: FeaturesConfig, columns: ColumnsConfig) -> None:
        self.config = config
        self.brands: BrandNames | None = None
        self.declared = DeclaredColumns(columns)

    @property
    def family_columns(self) -> tuple[Column, ...]:
        """The columns that `tabular_features` makes."""
        return (
            *quantity.COLUMNS,
            *text_statistics.COLUMNS,
            *keyword_columns(self.config.quality_keywords, self.config.discount_keywords),
            *words.COLUMNS,
            *brand.COLUMNS,
            *self.declared.columns,
        )

    # each takes sections (see split_sections), n rows in, n rows out

    def extract_ipq_features(self, sections: pl.DataFrame) -> pl.DataFrame:
        """Item pack quantity: see `pricing.features.quantity.quantity_features`."""
        return quantity.quantity_features(sections)

    def extract_text_statistics(self, sections: pl.DataFrame) -> pl.DataFrame:
        """Lengths, shares and counts: see `pricing.features.text_statistics.text_statistics`."""
        return text_statistics.text_statistics(sections)

    def extract_keyword_features(self, sections: pl.DataFrame) -> pl.DataFrame:
        """Quality words, discount words, claims: see `pricing.features.keywords.keyword_features`."""
        return keyword_features(sections, self.config.quality_keywords, self.config.discount_keywords)

    def extract_word_features(self, sections: pl.DataFrame) -> pl.DataFrame:
        """Flavour, form, language: see `pricing.features.words.word_features`."""
        return words.word_features(sections)

    def extract_brand_features(self, sections: pl.DataFrame) -> pl.DataFrame:
        """Brand and sub-brand: see `pricing.features.brand.BrandNames`."""
        if self.brands is None:
            raise SchemaError("this FeatureEngineer knows no brand names yet; call fit or load first")
        return self.brands.transform(sections["item_name"])

    def tabular_features(self, frame: pl.DataFrame) -> pl.DataFrame:
        """All families that are read off the text itself, side by side: n rows, without the SVD.

        Parameters
        ----------
        frame : DataFrame
            n rows with ``catalog_content``; `CHUNK` of them are in work at a time, which bounds the memory.
        """
        return pl.concat([self._tabular(self._sections(chunk)) for chunk in chunks(frame)], how="vertical")

    def _sections(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Parts of the texts, and declared columns with the terms of their categories."""
        sections = split_texts(frame)
        if not self.declared.columns:
            return sections
        declared = self.declared.transform(frame)
        sections = self.declared.state_amounts(sections, frame)
        sections = sections.hstack(declared)
        if not self.declared.roles.category:
            return sections
        return sections.with_columns(self.declared.terms(declared).alias("category_terms"))

    def _tabular(self, sections: pl.DataFrame) -> pl.DataFrame:
        families = (
            self.extract_ipq_features,
            self.extract_text_statistics,
            self.extract_keyword_features,
            self.extract_word_features,
            self.extract_brand_features,
        )
        declared = sections.select(column.name for column in self.declared.columns)
        return pl.concat([*(family(sections) for family in families), declared], how="horizontal")


def chunks(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows, `CHUNK` at a time; one empty piece of no rows."""
    return (frame.slice(start, CHUNK) for start in range(0, max(frame.height, 1), CHUNK))


def split_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """Parts of the texts of n rows of the catalogue, as `split_sections`."""
    if "catalog_content" not in frame.columns:
        raise SchemaError(f"got columns {frame.columns}, expected catalog_content")
    return split_sections(frame)
