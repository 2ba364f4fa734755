"""Mixtures of products: what a mixer says is what the member says of rows that are put together by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from pricing.explain.mixing import Groups, make_mixer
from pricing.features.load import FeatureSet
from pricing.features.price_features import PriceFeatures
from pricing.members.column_mlp import ColumnMLPMember, ColumnMLPSettings
from pricing.members.contract import Member
from pricing.members.fold_rows import FoldInputs, FoldRows, Rows
from pricing.members.gaussian_process import GaussianProcessMember, GaussianProcessSettings
from pricing.members.ridge import Ridge, RidgeSettings
from pricing.members.sparse_mlp import SparseMLPMember, SparseMLPSettings
from tests.features.conftest import Products

COUNT = 4
MEMBERS: list[Member] = [
    SparseMLPMember(SparseMLPSettings(hidden=(12, 6), batch_size=16, seeds=2, epochs=1, output_dropout=0.1)),
    ColumnMLPMember(ColumnMLPSettings(hidden=(12, 6), batch_size=16, seeds=2, epochs=1)),
    GaussianProcessMember(GaussianProcessSettings(steps=2, landmarks=60, passes=1)),
]


@pytest.fixture(scope="module")
def rows(features: FeatureSet, products: Products) -> Rows:
    """With price features, and vectors in the place of embeddings."""
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(len(features), 5)).astype(np.float32)
    parts = rng.normal(size=(len(features), 2, 5)).astype(np.float32)
    whole, parts = (array / np.linalg.norm(array, axis=-1, keepdims=True) for array in (whole, parts))
    schema = replace(features.schema, embedding=5, parts=("title", "description"))
    read = replace(features, embedding=whole, parts=parts, schema=schema)
    priced = PriceFeatures().fit(read, products.log_price, products.groups)
    table = priced.out_of_fold()
    frame = products.frame.with_columns(log_price=pl.Series(products.log_price))
    price, ridge = table.drop("sample_id", "ridge"), table["price_ridge"].to_numpy().astype(np.float64)
    return Rows(frame, read, price, ridge, price_columns=priced.columns)


def at_random(rows: Rows) -> Groups:
    """Columns and terms of any of the groups."""
    rng = np.random.default_rng(1)
    columns = {name: int(rng.integers(COUNT)) for name in rows.table().columns}
    terms = rng.integers(COUNT, size=rows.features.tfidf.shape[1])
    shares = sparse.csr_matrix((np.ones(len(terms)), (np.arange(len(terms)), terms)), shape=(len(terms), COUNT))
    return Groups(columns, shares, 2, {"title": 0, "description": 3})


def by_hand(row: Rows, other: Rows, inside: np.ndarray, groups: Groups) -> Rows:
    """One product with what is outside of another one."""

    def pick(table: pl.DataFrame, rest: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame([(table if inside[groups.columns[name]] else rest)[name] for name in table.columns])

    ours, theirs = row.features, other.features
    kept = np.asarray(groups.terms @ inside).ravel()
    terms = sparse.csr_matrix(ours.tfidf.multiply(kept) + theirs.tfidf.multiply(1 - kept), dtype=np.float32)
    terms.eliminate_zeros()
    embedding = ours.embedding if inside[groups.text] else theirs.embedding
    assert ours.parts is not None
    assert theirs.parts is not None
    chosen = np.array([inside[groups.parts[part]] for part in ours.schema.parts])
    parts = np.where(chosen[None, :, None], ours.parts, theirs.parts)
    made = replace(ours, tabular=pick(ours.tabular, theirs.tabular), tfidf=terms, embedding=embedding, parts=parts)
    return replace(row, features=made, price=pick(row.price, other.price))


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_mixtures_are_what_the_member_says_of_rows_put_together(member: Member, rows: Rows) -> None:
    fold = FoldRows(None, FoldInputs(Path(), Path(), Path()), {"train": rows})
    if member.name == "sparse_mlp":
        fold = replace(fold, roles={"train": replace(rows, price=pl.DataFrame(), price_columns=())})
    member.fit(fold)
    groups, seen = at_random(rows), fold.train
    products, start = (seen.take(np.isin(np.arange(len(seen)), some)) for some in ([3, 40], [7, 11, 90]))
    mixer = make_mixer(member, start, groups)
    assert mixer is not None
    assert mixer.read.all()
    coalitions = np.array([[place >> group & 1 for group in range(COUNT)] for place in range(2**COUNT)], dtype=bool)
    found = mixer.values(products, coalitions)
    for number in range(len(products)):
        product = products.take(np.arange(len(products)) == number)
        for place, inside in enumerate(coalitions):
            others = (start.take(np.arange(len(start)) == other) for other in range(len(start)))
            said = [member.predict(by_hand(product, other, inside, groups))[0] for other in others]
            assert found[number, place] == pytest.approx(np.mean(said), abs=2e-5)


def test_a_member_that_tells_its_contributions_needs_no_mixer(rows: Rows) -> None:
    assert make_mixer(Ridge(RidgeSettings()), rows, at_random(rows)) is None
