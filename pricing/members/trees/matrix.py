"""From named columns to the numbers that each boosting library reads.

A table (tabular features and price features side by side) becomes one float32 matrix, numeric columns first, then
categories as codes. The encoder, fitted at training and saved with the model, holds the position of each column and the
code of each value. A new row with an unseen category is read as one with a missing category, by every library alike.

A model may read TF-IDF terms beside the table; then the matrix is sparse. Its tabular cells are all stored, zeros too,
because XGBoost takes a cell that is not stored for a missing value; of a term, that is what its absence should mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.errors import SchemaError, TrainingError
from pricing.features.schema import one_with_role, term_name
from pricing.features.table_values import TableValues, is_numeric
from pricing.metrics.smape import Floats

# 0.2 s, which reading settings need not take
if TYPE_CHECKING:
    from scipy import sparse

    from pricing.features.schema import Column
    from pricing.members.fold_rows import FoldRows, Rows
    from pricing.members.trees.tree_settings import TreeSettings

ID = "sample_id"

Values: TypeAlias = "NDArray[np.float32] | sparse.csr_matrix"
"""Encoded rows, shape (n, p): dense, or sparse where terms stand beside the table."""


@dataclass(frozen=True)
class TableEncoder:
    """The columns and categories that a model was trained with.

    Attributes
    ----------
    numeric : tuple of str
        Numeric columns, in matrix order.
    categorical : tuple of str
        Categorical columns, in matrix order, after the numeric ones.
    categories : dict of str to tuple of str
        For each categorical column its known values; a value's code is its position.
    terms : tuple of int
        Columns of the TF-IDF matrix that are read beside the table, after the categorical columns.
    amount : tuple of str, optional
        Names of the columns of the log amount and of what the amount is of, where the features have both.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    terms: tuple[int, ...] = ()
    amount: tuple[str, str] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table, in matrix order."""
        return self.numeric + self.categorical

    @property
    def names(self) -> tuple[str, ...]:
        """All columns in matrix order, p of them."""
        return self.columns + tuple(term_name(term) for term in self.terms)

    @classmethod
    def fit(
        cls, table: pl.DataFrame, min_rows: int = 1, tfidf: sparse.csr_matrix | None = None, terms: int = 0,
        columns: Sequence[Column] = (),
    ) -> TableEncoder:  # fmt: skip
        """Read the columns' kinds off a training table.

        Parameters
        ----------
        table : DataFrame of shape (n, p), or (n, p + 1) with sample_id
            Text columns are categorical, numbers and booleans numeric.
        min_rows : int
            Minimum number of training rows of a category; a rarer one has no code of its own.
        tfidf : csr_matrix of shape (n, v), optional
            The same rows' terms.
        terms : int
            Number of terms to read: those in most rows, each in two at least.
        columns : sequence of Column
            What the table's columns are, where that is known.

        Raises
        ------
        SchemaError
            A column is neither text nor number, or terms are asked for and not given.
        """
        numeric, categorical, categories = [], [], {}
        for name, dtype in table.schema.items():
            if name == ID:
                continue
            if is_numeric(dtype):
                numeric.append(name)
            elif dtype == pl.String:
                categorical.append(name)
                counts = table[name].drop_nulls().value_counts(name="rows")
                categories[name] = tuple(sorted(counts.filter(pl.col("rows") >= min_rows)[name].to_list()))
            else:
                raise SchemaError(
                    f"feature {name!r} has type {dtype}; expected a number or text, so convert or drop it"
                )
        if not numeric and not categorical:
            raise SchemaError("the training table has no feature column besides sample_id")
        amount, family = one_with_role(columns, "log_amount"), one_with_role(columns, "amount_family")
        both = (amount, family) if amount and family else None
        return cls(tuple(numeric), tuple(categorical), categories, _frequent(tfidf, terms, table.height), both)

    def encode(self, table: pl.DataFrame, tfidf: sparse.csr_matrix | None = None) -> Values:
        """Turn a table into numbers, each row by itself.

        Parameters
        ----------
        table : DataFrame of n rows
            The encoder's columns in any order; sample_id is ignored.
        tfidf : csr_matrix of shape (n, v), optional
            The same rows' terms; not read by an encoder without terms.

        Returns
        -------
        ndarray or csr_matrix of shape (n, p), float32
            Missing and infinite numbers, missing and unseen categories are NaN. Sparse with terms.

        Raises
        ------
        SchemaError
            Columns are missing, unknown or of another kind; names them.
        """
        return self.encode_values(TableValues.of(table), tfidf)

    def encode_values(self, table: TableValues, tfidf: sparse.csr_matrix | None = None) -> Values:
        """Turn rows into numbers, as `encode`."""
        self._check(table)
        values = np.empty((len(table), len(self.columns)), dtype=np.float32)
        with np.errstate(over="ignore"):
            values[:, : len(self.numeric)] = table.select(self.numeric)
        values[~np.isfinite(values)] = np.nan
        for position, name in enumerate(self.categorical, start=len(self.numeric)):
            codes, nan = self._codes[name], float("nan")
            values[:, position] = [codes.get(value, nan) for value in table.texts.get(name, [None] * len(table))]
        return self._beside(values, tfidf) if self.terms else values

    @cached_property
    def _codes(self) -> dict[str, dict[str | None, int]]:
        """Code of each known value, by column."""
        return {name: {value: code for code, value in enumerate(known)} for name, known in self.categories.items()}

    def _beside(self, values: NDArray[np.float32], tfidf: sparse.csr_matrix | None) -> sparse.csr_matrix:
        from scipy import sparse

        rows, width = values.shape
        if tfidf is None or tfidf.shape[0] != rows or tfidf.shape[1] <= max(self.terms):
            found = "none" if tfidf is None else f"{tfidf.shape[0]} x {tfidf.shape[1]}"
            raise SchemaError(
                f"the model reads {len(self.terms)} TF-IDF columns up to {max(self.terms)} of {rows} rows, "
                f"found {found}; give the matrix of the FeatureEngineer saved beside the model"
            )
        indptr = np.arange(0, rows * width + 1, width)
        indices = np.tile(np.arange(width, dtype=np.int32), rows)
        stored = sparse.csr_matrix((values.ravel(), indices, indptr), shape=(rows, width))
        chosen = tfidf[:, list(self.terms)].astype(np.float32)
        return sparse.csr_matrix(sparse.hstack([stored, chosen], format="csr"))

    def _check(self, table: TableValues) -> None:
        """Raise SchemaError unless the table has exactly these columns, whatever their order."""
        found = table.types
        if found == self._usual:
            return
        known = self._kinds
        if found.keys() == known.keys() and all(known[name](kind) for name, kind in found.items()):
            return
        missing = [name for name in self.columns if name not in found]
        unknown = [name for name in found if name not in known]
        other = [f"{name} is {found[name]}" for name in self.columns if name in found and not known[name](found[name])]
        problems = [
            f"{what}: {', '.join(map(str, names[:5]))}{' ...' if len(names) > 5 else ''} ({len(names)})"
            for what, names in (("missing", missing), ("unknown", unknown), ("of another kind", other))
            if names
        ]
        raise SchemaError(
            f"features differ from the {len(self.columns)} that the model was trained with; {'; '.join(problems)}; "
            "build the features with the FeatureEngineer saved beside the model"
        )

    @cached_property
    def _usual(self) -> dict[str, type[pl.DataType]]:
        """The types that features have."""
        return {**dict.fromkeys(self.numeric, pl.Float32), **dict.fromkeys(self.categorical, pl.String)}

    @cached_property
    def _kinds(self) -> dict[str, Callable[[type[pl.DataType]], bool]]:
        """What says whether a column's type is the one expected, by name."""
        return dict.fromkeys(self.numeric, is_numeric) | dict.fromkeys(self.categorical, _is_category)


@dataclass(frozen=True)
class Matrix:
    """Encoded rows and, for learning, their labels.

    Attributes
    ----------
    values : ndarray or csr_matrix of shape (n, p), float32
        As `TableEncoder.encode` gives them.
    labels : ndarray of shape (n,), float64
        Log prices.
    """

    values: Values
    labels: Floats

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class EncodedFold:
    """What a fold's models learn from, and what stops or judges them.

    Attributes
    ----------
    encoder : TableEncoder
        Fitted on the rows of ``train``.
    train : Matrix
    valid : Matrix or None
        None in the refit.
    """

    encoder: TableEncoder
    train: Matrix
    valid: Matrix | None

    @classmethod
    def encode(cls, rows: FoldRows, settings: TreeSettings) -> EncodedFold:
        """Fit an encoder on the ``train`` rows, and encode them and the ``valid`` rows."""
        table = rows.train.table()
        encoder = TableEncoder.fit(
            table, settings.min_category_rows, rows.train.features.tfidf, settings.terms, rows.train.columns
        )

        def matrix(part: Rows) -> Matrix:
            return Matrix(encoder.encode(part.table(), part.features.tfidf), part.log_price)

        return cls(encoder, matrix(rows.train), None if rows.valid is None else matrix(rows.valid))


def check_learnable(train: Matrix, valid: Matrix | None) -> None:
    """Refuse rows from which nothing can be learnt, before a library fails in its own words.

    Raises
    ------
    TrainingError
        Fewer than two rows, no validation rows, labels that are not finite, or not one feature that varies.
    """
    if len(train) < 2:
        raise TrainingError(f"{len(train)} training rows; boosting needs at least 2, so use fewer folds or more rows")
    if valid is not None and len(valid) == 0:
        raise TrainingError("the fold has no validation rows; use fewer folds or more rows")
    for name, part in (("training", train), ("validation", valid)):
        if part is not None and not np.isfinite(part.labels).all():
            row = int(np.flatnonzero(~np.isfinite(part.labels))[0])
            raise TrainingError(f"log price {part.labels[row]} in {name} row {row}; prices must be positive and finite")
    if not (_varies(train.values)).any():
        raise TrainingError(
            f"none of {train.values.shape[1]} features varies over {len(train)} training rows; "
            "there is nothing to split on"
        )


def _varies(values: Values) -> NDArray[np.bool_]:
    """Which columns hold two different values, a missing one being a value; shape (p,)."""
    if not isinstance(values, np.ndarray):
        # cells that are not stored are zeros; NaN is replaced by a value that no feature has
        known = values.copy()
        known.data = np.where(np.isnan(known.data), np.finfo(np.float32).max, known.data)
        differs: NDArray[np.bool_] = (known.max(axis=0) != known.min(axis=0)).toarray().ravel()
        return differs
    missing = np.isnan(values)
    lowest = np.where(missing, np.inf, values).min(axis=0)
    highest = np.where(missing, -np.inf, values).max(axis=0)
    varies: NDArray[np.bool_] = (lowest < highest) | (missing.any(axis=0) & ~missing.all(axis=0))
    return varies


def _frequent(tfidf: sparse.csr_matrix | None, terms: int, rows: int) -> tuple[int, ...]:
    """The columns stored in most rows, by number."""
    if not terms:
        return ()
    if tfidf is None or tfidf.shape[0] != rows:
        found = "none" if tfidf is None else f"{tfidf.shape[0]} rows of them"
        raise SchemaError(
            f"{terms} TF-IDF terms of {rows} rows are asked for, found {found}; give both of the same rows"
        )
    counts = np.bincount(tfidf.indices, minlength=tfidf.shape[1])
    order = np.lexsort((np.arange(len(counts)), -counts))[:terms]
    return tuple(sorted(int(term) for term in order if counts[term] >= 2))


def _is_category(dtype: type[pl.DataType]) -> bool:
    return dtype in (pl.String, pl.Null)
