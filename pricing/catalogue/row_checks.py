"""Judging the values of catalogue rows, and finding ids that repeat, over a file of any length."""

from dataclasses import dataclass

import polars as pl

from pricing.catalogue.raw_batch import RawBatch, Rejected
from pricing.catalogue.roles import GROUP, TIME, composed_text, declared_types, raw_columns, role_name
from pricing.catalogue.typed_values import ValueReader
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import ColumnsConfig

TEXT_CHARACTERS = 1_000_000
"""Maximum number of characters of a product's text; the rest of a longer one (an image written into it) is cut off."""
NO_PRICE = "no price"
"""Kind of the rows that are refused for having no price at all."""

_POSITIVE = "expected a positive number such as 4.99"
_ALONE = f"{_POSITIVE}, with nothing beside it but a currency"
# beyond it squared errors and reports overflow, and no currency goes there
_DEAREST = 1e15
# what spreadsheets and dataframes write where there is no value
_NO_ID = ("nan", "null", "none", "na", "n/a", "#n/a", "<na>", "nat", "#ref!", "#name?", "#value!", "undefined")
# 4.00123E+12 was 4001234567890 before a spreadsheet showed it
_SHORTENED = r"^[0-9][.,][0-9]+E\+[0-9]+$"
_TOTALS = ("total", "totals", "grand total", "subtotal", "sum", "summe", "gesamt")


@dataclass(frozen=True)
class _Fault:
    """What may be wrong with a row: its kind, whether a row has it, what is said of the row."""

    kind: str
    there: pl.Expr
    said: pl.Expr


class RowChecker:
    """Types and checks one batch after another.

    It keeps the ids of the good rows so far and where they stood, some 25 bytes per row, and nothing else.

    Parameters
    ----------
    file : str
        Name of the file, for the rejected rows.
    labelled : bool
        Whether the rows have prices.
    config : CatalogueConfig
        The columns' roles; whether a row of a labelled file without a price is a bad row, or a good one whose price is
        null.
    values : ValueReader
        Types prices, numbers and times.

    Attributes
    ----------
    cut_texts : int
        Rows so far whose text was longer than `TEXT_CHARACTERS` and was cut.
    """

    def __init__(self, file: str, labelled: bool, config: CatalogueConfig, values: ValueReader) -> None:
        self._file = file
        self._values = values
        self._labelled = labelled
        self._roles = config.roles
        self._unpriced_are_good = config.on_unpriced_rows == "price"
        self._seen = pl.DataFrame(schema={"sample_id": pl.String, "first": pl.Int64})
        self.cut_texts = 0

    def check(self, batch: RawBatch) -> tuple[pl.DataFrame, list[Rejected]]:
        """Typed good rows of a batch, and its bad ones with the first reason of each, both in file order."""
        frame = _typed(batch.frame, self._labelled, self._roles, self._values)
        faults = _faults(self._labelled, self._unpriced_are_good, self._roles, self._values.misfit)
        frame = frame.with_columns(
            pl.coalesce(*(pl.when(fault.there).then(fault.said) for fault in faults)).alias("reason"),
            pl.coalesce(*(pl.when(fault.there).then(pl.lit(fault.kind)) for fault in faults)).alias("kind"),
        )
        # a duplicate repeats an id that an earlier usable row has; the first one is the one that stays
        known = self._seen.join(frame.select("sample_id").unique(), on="sample_id", how="semi")
        here = pl.col("row").filter(pl.col("reason").is_null()).min().over("sample_id")
        frame = (
            frame.join(known, on="sample_id", how="left")
            .sort("row")
            .with_columns(pl.coalesce("first", here).alias("first"))
        )
        repeated = pl.col("reason").is_null() & (pl.col("row") > pl.col("first"))
        advice = pl.when(pl.col("sample_id").str.contains(_SHORTENED)).then(
            pl.lit("a spreadsheet has shortened this one, export the column as text")
        ).otherwise(pl.lit("keep one of them"))  # fmt: skip
        said = pl.format("duplicate id, first used in row {}; ids must be unique, {}", "first", advice)
        frame = frame.with_columns(
            pl.when(repeated).then(said).otherwise("reason").alias("reason"),
            pl.when(repeated).then(pl.lit("duplicate id")).otherwise("kind").alias("kind"),
        )
        good, bad = frame.filter(pl.col("reason").is_null()), frame.filter(pl.col("reason").is_not_null())
        self._seen.extend(good.select("sample_id", first="row"))
        self.cut_texts += int(good["cut"].sum())
        rejected = [
            Rejected(self._file, *row) for row in bad.select("row", "line", "sample_id", "reason", "kind").iter_rows()
        ]
        price = [pl.col("number").alias("price")] if self._labelled else []
        return (
            good.select("sample_id", "catalog_content", "image_link", *declared_types(self._roles), *price),
            sorted([*batch.broken, *rejected], key=lambda entry: entry.row),
        )


def _typed(frame: pl.DataFrame, labelled: bool, roles: ColumnsConfig, values: ValueReader) -> pl.DataFrame:
    """The catalogue's columns of raw ones; what was read of the price beside it."""
    there = frame.columns
    missing = [pl.lit(None, pl.String).alias(name) for name in raw_columns(roles, labelled) if name not in there]
    frame = values.read(frame.with_columns(missing))
    links = [pl.col(role_name("image", column)).str.strip_chars() for column in roles.image]
    if len(links) > 1:
        # a list of several lines stays one column's
        links = [one.str.replace_all(r"[\r\n]+", " ") for one in links]
    written = [pl.when(one != "").then(one) for one in links]
    link = pl.concat_str(*written, separator="\n", ignore_nulls=True) if written else pl.lit("")
    declared = {name: _declared(name, dtype, roles) for name, dtype in declared_types(roles).items()}
    frame = frame.select(
        "row", "line",
        pl.col(role_name("id", roles.id)).str.strip_chars().alias("sample_id"),
        composed_text(roles).alias("catalog_content"),
        pl.when(link == "").then(None).otherwise(link).cast(pl.String).alias("image_link"),
        *(value.alias(name) for name, value in declared.items()),
        *([pl.col(role_name("price", roles.price)).alias("price"), pl.col("number", "unpriced", "misfit")]
          if labelled else []),
    ).with_columns((pl.col("catalog_content").str.len_chars() > TEXT_CHARACTERS).alias("cut"))  # fmt: skip
    if frame["cut"].any():
        frame = frame.with_columns(pl.col("catalog_content").str.slice(0, TEXT_CHARACTERS))
    return frame


def _faults(labelled: bool, unpriced_are_good: bool, roles: ColumnsConfig, misfit: str) -> list[_Fault]:
    """What may be wrong with a row, the first thing first."""
    name = pl.col("sample_id").str.strip_chars("\ufeff\" '").str.to_lowercase()
    text = pl.col("catalog_content").str.strip_chars("\ufeff\" '").str.to_lowercase()
    nothing_else = (text == "") & pl.col("image_link").is_null()
    shown_id = roles.id.replace("{", "{{").replace("}", "}}")
    headers = [column.lower() for column in roles.named()]
    faults = [
        _Fault("the header again", (name == roles.id.lower()) | (name.is_in(headers) & text.is_in(headers)),
               pl.lit("it is the header again; remove the row")),
        _Fault("Excel's sep= line", name.str.contains(r"^sep\s*=.?$") & nothing_else,
               pl.lit("it is Excel's sep= line; remove the row")),
        _Fault("a total", name.str.strip_chars(" :").is_in(_TOTALS) & nothing_else,
               pl.lit("it is a total, and no product; remove the row")),
        _Fault("no sample_id", pl.col("sample_id") == "", pl.lit(f"{roles.id} is empty; give each product an id")),
        _Fault("no sample_id", name.is_in(_NO_ID),
               pl.format(f"{shown_id} {{}} stands for no value; give each product an id", "sample_id")),
    ]  # fmt: skip
    if labelled:
        shown, value, advice = pl.col("price").cast(pl.String).fill_null(""), pl.col("number"), pl.lit(_POSITIVE)
        unpriced = pl.col("unpriced") & ~pl.lit(unpriced_are_good)
        there = ~pl.col("unpriced")
        empty = pl.when(shown.str.strip_chars() == "").then(pl.lit("empty")).otherwise(shown)
        faults += [
            _Fault(NO_PRICE, unpriced, pl.format("price is {}; {}", empty, advice)),
            _Fault("price of the other decimal mark", pl.col("misfit"),
                   pl.concat_str(pl.lit("price "), shown, pl.lit(f" {misfit}"))),
            _Fault("price is not a number", there & value.is_null(),
                   pl.format("price {} is not a number; {}", shown, pl.lit(_ALONE))),
            _Fault("price is not finite", ~value.is_finite(), pl.format("price {} is not finite; {}", shown, advice)),
            _Fault("price is not positive", value <= 0, pl.format("price {} is not positive; {}", shown, advice)),
            _Fault("price is above 1e15", value > _DEAREST, pl.format("price {} is above 1e15; {}", shown, advice)),
        ]  # fmt: skip
    return faults


def _declared(name: str, dtype: pl.DataType, roles: ColumnsConfig) -> pl.Expr:
    """A declared column's values, of the raw ones."""
    if name == GROUP:
        return pl.col(role_name("group", str(roles.group))).cast(pl.String).fill_null("").str.strip_chars()
    value = pl.col(name)
    return value if name == TIME or dtype == pl.Float64() else value.cast(pl.String).fill_null("").str.strip_chars()
