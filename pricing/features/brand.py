"""Brand: the name a title begins with, learnt from the titles themselves and from no label.

A brand is a run of one to four words that begins at least ``min_count`` titles. One word counts only where it stands
at the beginning in at least a third of the titles that hold it ("organic" begins many titles, but is everywhere);
a longer run counts as the brand only where at least half of the titles that begin with the shorter run go on that way
("celestial" -> "celestial seasonings", but not "mccormick" -> "mccormick ground"). The longest match wins. The longest
frequent beginning, whatever it was before, is the sub-brand ("mccormick grill mates").

A title that begins with none of the names ("Pack of 6 - Pride of India ...", "Ginger Nuts by McVitie's") may hold one
further on: there a name counts only where it is sure, since nearly all titles that hold it begin with it.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from pricing.catalogue.kept_regexes import evaluate, keeping_regexes
from pricing.features.schema import make_columns
from pricing.store.artifacts import read_json
from pricing.store.tables import reading

COLUMNS = (
    *make_columns("brand", ("brand_frequency", "brand_words", "brand_known", "brand_position"),
                  roles={"brand_frequency": "brand_frequency"}),
    *make_columns("sub_brand", ("sub_brand_frequency",)),
    *make_columns("brand", (), ("brand",), roles={"brand": "brand"}, values={"brand": "brand"}),
    *make_columns("sub_brand", (), ("sub_brand",), roles={"sub_brand": "sub_brand"},
                  values={"sub_brand": "product line"}),
)  # fmt: skip
LONGEST = 4
#: of the titles that hold a word, the share that must begin with it
AT_START = 1 / 3
#: of the titles that begin with a name, the share that must go on with a further word
CONTINUES = 1 / 2
#: a name is a brand inside a title, too, where it begins this share of the titles that hold it, and so many of them
SURE, SURE_COUNT = 0.8, 4


@keeping_regexes
def _words(titles: pl.Series) -> pl.Series:
    """Words of each title, lower case, unpunctuated, List(String)."""
    clean = (
        pl.col("title").fill_null("").str.slice(0, 200).str.to_lowercase()
        .str.replace_all("[’']", "")
        .str.replace_all(r"[^\p{L}\p{N}&]+", " ").str.strip_chars()
        .str.replace(r"^(?:generic|the|by|new) ", "")
    )  # fmt: skip
    return evaluate(titles.to_frame("title"), clean.str.extract_all(r"\S+")).alias("words")


def _beginnings(titles: pl.Series) -> pl.DataFrame:
    """``words`` of each title, and ``words_1`` .. ``words_4``, its first ones; null where it is shorter."""
    return (
        _words(titles)
        .to_frame()
        .select(
            "words",
            *(
                pl.when(pl.col("words").list.len() >= length)
                .then(pl.col("words").list.head(length).list.join(" "))
                .alias(f"words_{length}")
                for length in range(1, LONGEST + 1)
            ),
        )
    )


def first_runs(words: list[str]) -> Iterator[str]:
    """The first four words, three, two and one, as one text each."""
    return (" ".join(words[:length]) for length in range(min(len(words), LONGEST), 0, -1))


def _longest(words: list[str], names: dict[str, int]) -> tuple[str, int]:
    """The longest of the names that a title begins with, and its count; "" and 0 where there is none."""
    name = next((name for name in first_runs(words) if name in names), "")
    return name, names.get(name, 0)


def _padded(words: pl.Series) -> pl.Series:
    """Titles as text again, with a blank around every word."""
    return words.to_frame("words").select(text=pl.lit(" ") + pl.col("words").list.join(" ") + pl.lit(" "))["text"]


def _sure(words: pl.Series, brands: dict[str, int]) -> list[str]:
    """Names that hardly stand anywhere but at the beginning."""
    often = {f" {name} ": count for name, count in brands.items() if count >= SURE_COUNT}
    if not often:
        return []
    held = _padded(words).str.extract_many(list(often), overlapping=True).list.unique().explode().drop_nulls()
    anywhere = held.value_counts(name="titles").rows()
    return [name.strip() for name, titles in anywhere if often[name] >= SURE * titles]


class BrandNames:
    """Names learnt from titles.

    Parameters
    ----------
    brands, beginnings : dict of str to int
        Brand names, and all frequent beginnings, with the number of titles that begin with them.
    sure : sequence of str
        Brand names that count inside a title, too.
    """

    def __init__(self, brands: dict[str, int], beginnings: dict[str, int], sure: Sequence[str] = ()) -> None:
        self.brands = brands
        self.beginnings = beginnings
        self.sure = sorted(sure, key=lambda name: (-len(name), name))
        self._sure = frozenset(sure)

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
        return cls(brands, beginnings, _sure(starts["words"], brands))

    def transform(self, titles: pl.Series) -> pl.DataFrame:
        """Brand columns of n titles: `COLUMNS` (Float64; String, "" where unknown)."""
        schema = {"brand": pl.String, "count": pl.Int64, "position": pl.Float64, "sub": pl.String, "subs": pl.Int64}
        rows = [(*self._brand(words), *_longest(words, self.beginnings)) for words in _words(titles).to_list()]
        known = pl.DataFrame(rows, schema, orient="row")
        return known.select(
            brand_frequency=pl.col("count").cast(pl.Float64).log1p(),
            brand_words=pl.when(pl.col("brand") == "").then(0.0)
            .otherwise(pl.col("brand").str.count_matches(" ", literal=True).cast(pl.Float64) + 1),
            brand_known=(pl.col("brand") != "").cast(pl.Float64),
            brand_position="position",
            sub_brand_frequency=pl.col("subs").cast(pl.Float64).log1p(),
            brand="brand",
            sub_brand="sub",
        )  # fmt: skip

    def _brand(self, words: list[str]) -> tuple[str, int, float | None]:
        """Brand of a title, how many titles begin with it, and the number of words before it; "", 0 and None without.

        It is the longest name that the title begins with, else the first sure one inside.
        """
        name, count = _longest(words, self.brands)
        if name:
            return name, count, 0.0
        for place in range(1, len(words)):
            for name in first_runs(words[place:]):
                if name in self._sure:
                    return name, self.brands.get(name, 0), float(place)
        return "", 0, None

    def save(self, path: Path) -> None:
        """Write as JSON."""
        record = {"brands": self.brands, "beginnings": self.beginnings, "sure": self.sure}
        path.write_text(json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "BrandNames":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            The file is missing or holds something else.
        """
        with reading(path, "brand names as JSON"):
            record = read_json(path)
            brands, beginnings = (
                {str(name): int(count) for name, count in record[key].items()} for key in ("brands", "beginnings")
            )
            sure = [str(name) for name in record["sure"]]
        return cls(brands, beginnings, sure)
