"""How many products of a category that a model has never seen are called unlike anything learnt.

    python benchmarks/out_of_scope.py [CATALOGUE.csv] [--columns FILE] [--category COLUMN] [--rows N] [--quick]
                                      [--foreign OTHER.csv [--foreign-columns FILE]] [--cache DIR] [--floor 60]

The five largest categories are held out of features and novelty, one at a time; of the other rows 15 % of the
near-duplicate groups are held out too, as ordinary new rows. A path's category is its first level. Without COLUMN, rows
are clustered into 20 categories by the words of their texts. Nothing but features is fitted, no price is read.

With COLUMN every category is held out twice: as the roles have it, where its value is one that no other row has; and
without the column, where the other columns and the texts alone can tell.

``--foreign`` asks instead for products of another shop, 500 of them as texts, with 15 % of the catalogue held out.

Without a catalogue the generated sample is taken. ``--quick`` compares words alone, without the sentence encoder, and
``--cache`` is a folder of embeddings that are known. It ends with 1 where the categories' mean is below ``--floor`` or
more than 7.5 % of the ordinary rows are flagged.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.cluster import MiniBatchKMeans
from sklearn.feature_extraction.text import TfidfVectorizer

from pricing import Pricer
from pricing.catalogue.duplicates import duplicate_groups
from pricing.catalogue.table_input import read_products
from pricing.config.columns import ColumnsConfig
from pricing.configuration import read_columns
from pricing.features.engineer import FeatureEngineer
from pricing.run.novelty import Novelty
from pricing.sample.generate import generate_sample

HELD, CLUSTERS, ORDINARY, MOST, FOREIGN = 5, 20, 0.15, 7.5, 500


def main() -> None:
    """Hold out category by category."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogue", nargs="?", type=Path)
    parser.add_argument("--columns", type=Path)
    parser.add_argument("--category")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--foreign", type=Path)
    parser.add_argument("--foreign-columns", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--floor", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = options.catalogue
        if path is None:
            path = generate_sample(Path(name) / "sample", options.rows or 1500, 1, images=False).train
        raw = pl.read_csv(path, infer_schema=False, n_rows=options.rows)
        roles = read_roles(options.columns)
        variants = {"with the column" if options.category else "texts": roles}
        if options.category and roles is not None:
            kept = tuple(column for column in roles.category if column != options.category)
            variants["without the column"] = roles.model_copy(update={"category": kept})
        print(f"{raw.height} rows")
        print(f"{'':<20}{'category':<26}{'rows':>6}{'flagged %':>11}{'ordinary %':>12}", flush=True)
        means = []
        for variant, columns in variants.items():
            figures = measure(variant, raw, columns, options)
            means.append(np.mean(figures, axis=0))
            print(f"{variant:<20}{'mean':<26}{'':>6}{means[-1][0]:>11.1f}{means[-1][1]:>12.1f}", flush=True)
    if means[0][0] < options.floor or means[0][1] > MOST:
        sys.exit(f"expected {options.floor:.0f} % flagged where at most {MOST} % of ordinary rows are")


def read_roles(path: Path | None) -> ColumnsConfig | None:
    """Roles of a catalogue's columns; None for the challenge's."""
    return None if path is None else ColumnsConfig.model_validate(read_columns(path))


def measure(
    variant: str, raw: pl.DataFrame, roles: ColumnsConfig | None, options: argparse.Namespace
) -> list[tuple[float, float]]:
    """Percentages of held-out and of ordinary rows that are flagged, by category."""
    spaces = ["words"] if options.quick else ["words", "embedding"]
    config = Pricer("cpu", {"features.spaces": spaces, "features.tfidf.svd_components": 2}, roles).config
    frame = read_products(raw, config.catalogue).frame
    groups = duplicate_groups(frame).rank("dense").cast(pl.Int64).to_numpy() - 1
    category = find_categories(raw, frame, options.category)
    if options.foreign:
        others = pl.read_csv(options.foreign, infer_schema=False).sample(FOREIGN, seed=0)
        catalogue = Pricer("cpu", {}, read_roles(options.foreign_columns)).config.catalogue
        strangers = read_products(others, catalogue).frame.select(frame.columns)
        strangers = strangers.with_columns(sample_id=pl.format("foreign {}", "sample_id"))
        frame, groups = pl.concat([frame, strangers]), np.concatenate([groups, np.arange(FOREIGN) + groups.max() + 1])
        category = np.concatenate([np.full(len(category), "own"), np.full(FOREIGN, "foreign")])
    largest = pl.Series(category).value_counts().sort(["count", ""], descending=[True, False])[""].head(HELD)
    largest = largest.filter(largest != "own")
    new = (np.random.default_rng(0).random(groups.max() + 1) < ORDINARY)[groups]
    figures = []
    for name in largest:
        held = category == name
        other = ~np.isin(groups, groups[held])
        parts = [frame.filter(pl.Series(rows)) for rows in (other & ~new, held, other & new)]
        engineer = FeatureEngineer(config.features, 0, 1, options.cache, config.catalogue.roles).fit(parts[0])
        learnt = groups[other & ~new]
        indexed = engineer.index_labelled(parts[0], learnt)
        novelty = Novelty.fit(parts[0]["catalog_content"], indexed, learnt, np.ones(len(learnt), dtype=bool))
        found = [
            100 * novelty.judge(part["catalog_content"], engineer.transform(part)).is_not_null().mean()
            for part in parts[1:]
        ]
        figures.append((found[0], found[1]))
        print(f"{variant:<20}{name[:25]:<26}{held.sum():>6}{found[0]:>11.1f}{found[1]:>12.1f}", flush=True)
    return figures


def find_categories(raw: pl.DataFrame, frame: pl.DataFrame, column: str | None) -> np.ndarray:
    """Category of each row, (n,) of str: a path's first level, or the three heaviest words of a cluster."""
    if column is not None:
        return raw[column].fill_null("").str.split("/").list.first().str.strip_chars().to_numpy()
    vectoriser = TfidfVectorizer(min_df=5, max_df=0.3, stop_words="english", token_pattern=r"[a-z]{3,}")
    matrix = vectoriser.fit_transform(frame["catalog_content"].fill_null("").str.to_lowercase().to_list())
    made = MiniBatchKMeans(CLUSTERS, random_state=0, n_init=3).fit(matrix)
    words = vectoriser.get_feature_names_out()
    names = [" ".join(words[np.argsort(-centre)[:3]]) for centre in made.cluster_centers_]
    return np.array(names)[made.labels_]


if __name__ == "__main__":
    main()
