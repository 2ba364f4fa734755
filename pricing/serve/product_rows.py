"""Products of a JSON request as checked rows: read as a file of JSON lines is, so that the prices are the same."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from pricing.catalogue.raw_batch import Rejected
from pricing.catalogue.reading import ReadingNotes, catalogue_schema, stream_catalogue_file
from pricing.catalogue.written_numbers import Mark
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError

_ID_SHOWN = 100
"""Characters of an id that an error repeats."""
_EXACT = 2**53
"""Below it a double that is whole is a whole number: pandas turns a column of them with a gap into doubles."""


@dataclass(frozen=True)
class ProductRows:
    """n products of a request.

    Attributes
    ----------
    frame : DataFrame
        The m products that can be priced, as `pricing.catalogue.reading.catalogue_schema`, in their order.
    places : list of int
        Place of each of its rows among the n products.
    errors : dict of int to tuple of str
        Place of each other product to its id and what is wrong with it.
    unused : list of str
        Columns that no role names.
    """

    frame: pl.DataFrame
    places: list[int]
    errors: dict[int, tuple[str, str]]
    unused: list[str]


def read_product_rows(
    products: Sequence[Any], config: CatalogueConfig, marks: Mapping[str, Mark], max_text: int
) -> ProductRows:
    """Check n products.

    Parameters
    ----------
    products : sequence
        What the request holds, one JSON value per product. A product without an id is called by its place: #1, #2.
    config : CatalogueConfig
        Roles of the columns; bad rows must be quarantined.
    marks : mapping of str to str
        As in `pricing.catalogue.reading.read_catalogue_file`.
    max_text : int
        Maximum number of characters of a product.

    Returns
    -------
    ProductRows
    """
    lines: dict[int, str] = {}
    errors: dict[int, tuple[str, str]] = {}
    for place, product in enumerate(products):
        called = f"#{place + 1}"
        if not isinstance(product, dict):
            errors[place] = called, f"is of type {type(product).__name__}; expected an object of columns and values"
            continue
        row = _row(product, called, config.roles)
        line = json.dumps(row, ensure_ascii=False)
        if len(line) > max_text:
            shown = str(row[config.roles.id])[:_ID_SHOWN]
            errors[place] = shown, f"has {len(line):,} characters; at most {max_text:,} are read, shorten its texts"
        else:
            lines[place] = line
    unused: dict[str, None] = {}
    with TemporaryDirectory(prefix="pricing-") as folder:
        reader = _Reader(Path(folder) / "products.jsonl", config, marks, unused)
        frame, places = reader.read(lines, errors)
    return ProductRows(frame, places, errors, list(unused))


def _row(product: dict[str, Any], called: str, roles: ColumnsConfig) -> dict[str, Any]:
    """A product with an id and a text, which the reading asks for, and whole numbers without a decimal point."""
    row = {
        name: int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value
        for name, value in product.items()
    }
    if row.get(roles.id) in (None, ""):
        row[roles.id] = called
    texts = [*([roles.title] if roles.title else []), *roles.text]
    return row if any(name in row for name in texts) else {**row, texts[0]: ""}


@dataclass(frozen=True)
class _Reader:
    path: Path
    config: CatalogueConfig
    marks: Mapping[str, Mark]
    unused: dict[str, None]
    """Filled with what no role names."""

    def read(
        self, lines: Mapping[int, str], errors: dict[int, tuple[str, str]]
    ) -> tuple[pl.DataFrame, list[int]]:  # fmt: skip
        """Good rows with their places; what is wrong with the others goes into ``errors``."""
        none = pl.DataFrame(schema=catalogue_schema(self.config, labelled=False))
        if not lines:
            return none, []
        frames, rejected, notes = [none], list[Rejected](), ReadingNotes()
        # half of a character is that product's error, not the request's
        self.path.write_bytes("\n".join(lines.values()).encode("utf-8", "surrogatepass"))
        try:
            for good, bad in stream_catalogue_file(
                self.path, labelled=False, config=self.config, notes=notes, marks=self.marks
            ):
                frames.append(good)
                rejected += bad
        except CatalogueError as error:
            if len(rejected) < len(lines):
                return self._each(lines, errors, error)
        self.unused.update(dict.fromkeys(notes.unused_columns))
        places = list(lines)
        for entry in rejected:
            errors[places[entry.row - 1]] = entry.sample_id[:_ID_SHOWN], entry.reason
        return pl.concat(frames), [place for place in places if place not in errors]

    def _each(
        self, lines: Mapping[int, str], errors: dict[int, tuple[str, str]], error: CatalogueError
    ) -> tuple[pl.DataFrame, list[int]]:
        """Read each product by itself: what cannot be read of one is no fault of the others."""
        if len(lines) == 1:
            place, line = next(iter(lines.items()))
            said = str(error).removeprefix(f"{self.path}: ")
            errors[place] = str(json.loads(line)[self.config.roles.id])[:_ID_SHOWN], said
            return self.read({}, errors)
        parts = [self.read({place: line}, errors) for place, line in lines.items()]
        return pl.concat([frame for frame, _ in parts]), [place for _, places in parts for place in places]
