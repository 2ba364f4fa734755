"""Brand: the name a title begins with, learnt from the titles themselves and from no label.

A brand is a run of one to four words that begins at least ``min_count`` titles. One word counts only where it stands
at the beginning in at least a third of the titles that hold it ("organic" begins many titles, but is everywhere);
a longer run counts as the brand only where at least half of the titles that begin with the shorter run go on that way
("celestial" -> "celestial seasonings", but not "mccormick" -> "mccormick ground"). The longest match wins. The longest
frequent beginning, whatever it was before, is the sub-brand ("mccormick grill mates").
"""

import json
from pathlib import Path

import polars as pl

from pricing.errors import ArtifactError

__all__ = ["CATEGORICAL", "NUMERIC", "BrandNames"]

NUMERIC = ("brand_frequency", "brand_words", "brand_known", "sub_brand_frequency")
CATEGORICAL = ("brand", "sub_brand")
LONGEST = 4
#: of the titles that hold a word, the share that must begin with it
AT_START = 1 / 3
#: of the titles that begin with a name, the share that must go on with a further word
CONTINUES = 1 / 2


def _beginnings(titles: pl.Series) -> pl.DataFrame:
    """``words_1`` .. ``words_4`` of each title: its first words, lower case, unpunctuated; null where shorter."""
    clean = (
        pl.col("title").fill_null("").str.slice(0, 200).str.to_lowercase()
        .str.replace_all("[’']", "")
        .str.replace_all(r"[^\p{L}\p{N}&]+", " ").str.strip_chars()
        .str.replace(r"^(?:generic|the|by|new) ", "")
    )  # fmt: skip
    words = titles.alias("title").to_frame().select(clean.str.extract_all(r"\S+").alias("words"))
    return words.select(
        "words",
        *(
            pl.when(pl.col("words").list.len() >= length)
            .then(pl.col("words").list.head(length).list.join(" "))
            .alias(f"words_{length}")
            for length in range(1, LONGEST + 1)
        ),
    )


class BrandNames:
    """Names learnt from titles.

    Parameters
    ----------
    brands, beginnings : dict of str to int
        Brand names, and all frequent beginnings, with the number of titles that begin with them.
    """

    def __init__(self, brands: dict[str, int], beginnings: dict[str, int]) -> None:
        self.brands = brands
        self.beginnings = beginnings

    @classmethod
    def fit(cls, titles: pl.Series, min_count: int) -> "BrandNames":
        """Learn from n titles (String)."""
        starts = _beginnings(titles)
        anywhere = (
            starts.select(pl.col("words").list.unique()).explode("words").group_by("words").agg(anywhere=pl.len())
        )
        brands: dict[str, int] = {}
        beginnings: dict[str, int] = {}
        for length in range(1, LONGEST + 1):
            name = f"words_{length}"
            shorter = f"words_{length - 1}" if length > 1 else "words"
            counts = (
                starts.filter(pl.col(name).is_not_null())
                .group_by(name)
                .agg(pl.len().alias("count"), pl.col(shorter).first())
                .filter(pl.col("count") >= min_count)
            )
            if length == 1:
                counts = counts.join(anywhere, left_on=name, right_on="words", how="left")
                is_brand = (pl.col("count") >= AT_START * pl.col("anywhere")) & (pl.col(name).str.len_chars() > 1)
            else:
                parents = pl.DataFrame({shorter: list(beginnings), "parent": list(beginnings.values())},
                                       schema={shorter: pl.String, "parent": pl.Int64})  # fmt: skip
                counts = counts.join(parents, on=shorter, how="left")
                # "red" is no brand but "red bull" may be: a run whose shorter part is no brand stands for itself
                is_brand = pl.col("count") >= CONTINUES * pl.col("parent")
            counts = counts.sort(name)
            beginnings |= dict(zip(counts[name].to_list(), counts["count"].to_list(), strict=True))
            chosen = counts.filter(is_brand)
            brands |= dict(zip(chosen[name].to_list(), chosen["count"].to_list(), strict=True))
        return cls(brands, beginnings)

    def transform(self, titles: pl.Series) -> pl.DataFrame:
        """Brand columns of n titles: `NUMERIC` (Float64) and `CATEGORICAL` (String, "" where unknown)."""
        starts = _beginnings(titles)
        brand, brand_count = self._longest(starts, self.brands)
        sub_brand, sub_count = self._longest(starts, self.beginnings)
        return pl.DataFrame(
            {
                "brand_frequency": brand_count.cast(pl.Float64).log1p(),
                "brand_words": brand.str.count_matches(r"\S+").cast(pl.Float64),
                "brand_known": (brand != "").cast(pl.Float64),
                "sub_brand_frequency": sub_count.cast(pl.Float64).log1p(),
                "brand": brand,
                "sub_brand": sub_brand,
            }
        )

    @staticmethod
    def _longest(starts: pl.DataFrame, names: dict[str, int]) -> tuple[pl.Series, pl.Series]:
        table = pl.DataFrame({"name": list(names), "count": list(names.values())},
                             schema={"name": pl.String, "count": pl.Int64})  # fmt: skip
        found = starts
        for length in range(1, LONGEST + 1):
            found = found.join(
                table.rename({"count": f"count_{length}"}),
                left_on=f"words_{length}", right_on="name", how="left", maintain_order="left",
            )  # fmt: skip
        longest_first = range(LONGEST, 0, -1)
        chosen = found.select(
            pl.coalesce(
                pl.when(pl.col(f"count_{length}").is_not_null()).then(f"words_{length}") for length in longest_first
            ).fill_null("").alias("name"),
            pl.coalesce(f"count_{length}" for length in longest_first).fill_null(0).alias("count"),
        )  # fmt: skip
        return chosen["name"], chosen["count"]

    def save(self, path: Path) -> None:
        """Write as JSON."""
        record = {"brands": self.brands, "beginnings": self.beginnings}
        path.write_text(json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "BrandNames":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            The file is missing or holds something else.
        """
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            tables = [
                {str(name): int(count) for name, count in record[key].items()} for key in ("brands", "beginnings")
            ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{path}: expected brand names as JSON, got {error!r}; rebuild the stage") from None
        return cls(*tables)
