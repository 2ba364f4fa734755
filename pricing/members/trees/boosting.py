"""The boosting libraries on one fold of a table: the pipeline's members, for a notebook."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from pricing.errors import ConfigError, TrainingError
from pricing.features.load import ID, FeatureSchema, FeatureSet
from pricing.features.schema import make_columns
from pricing.members.fold_rows import FoldInputs, FoldRows, Rows
from pricing.members.registry import member_classes
from pricing.members.trees.boosted import BoostedMember
from pricing.members.trees.tree_settings import TreeSettings
from pricing.metrics.smape import Floats, smape_of_logs


@dataclass(frozen=True)
class GBDTResult:
    """One library on one fold.

    Attributes
    ----------
    member : BoostedMember
        The trained member.
    predicted : dict of str to ndarray of shape (rows of the part,), float64
        Log prices of the rows of each part but ``train``.
    smape : float or None
        Of the part ``valid``, in percent; None without one.
    """

    member: BoostedMember
    predicted: dict[str, Floats]
    smape: float | None


def train_gbdt_models(
    table: pl.DataFrame,
    log_price: Floats,
    parts: Mapping[str, NDArray[np.bool_]],
    settings: Mapping[str, TreeSettings] | None = None,
    *,
    tfidf: sparse.csr_matrix | None = None,
    seed: int = 0,
    threads: int = 1,
    rounds: int | None = None,
) -> dict[str, GBDTResult]:
    """Train boosting libraries on one fold.

    Parameters
    ----------
    table : DataFrame of n rows
        Features: numbers, or text columns for categories; sample_id is ignored.
    log_price : ndarray of shape (n,), float64
        Natural log of the price.
    parts : mapping of str to ndarray of shape (n,), bool
        ``train``: rows to learn from. ``valid``: rows to stop on; without them ``rounds`` is needed. Any other part is
        only predicted.
    settings : mapping of str to TreeSettings, optional
        The members to train, by name; every boosting library with its defaults where it is not given.
    tfidf : csr_matrix of shape (n, v), optional
        Terms beside the table, for libraries whose settings read some.
    seed, threads : int
        The same pair gives the same predictions.
    rounds : int, optional
        Number of boosting rounds where there is no part to stop on.

    Returns
    -------
    dict of str to GBDTResult
        By member, in the order of the settings.

    Raises
    ------
    ConfigError
        A member is no boosting library.
    TrainingError
        Lengths differ, no row to learn from, neither ``valid`` nor ``rounds``, or features that never vary.

    Examples
    --------
    >>> import numpy as np, polars as pl
    >>> from pricing.members.lightgbm import LightGBMSettings
    >>> table = pl.DataFrame({"grams": np.arange(1.0, 41.0), "brand": ["a", "b"] * 20})
    >>> even = np.arange(40) % 2 == 0
    >>> parts, settings = {"train": even, "valid": ~even}, {"lightgbm": LightGBMSettings()}
    >>> result = train_gbdt_models(table, np.log(table["grams"].to_numpy()), parts, settings)
    >>> result["lightgbm"].predicted["valid"].shape
    (20,)
    """
    lengths = {name: len(mask) for name, mask in parts.items()}
    if {table.height, *lengths.values()} != {len(log_price)}:
        raise TrainingError(
            f"{table.height} rows of features, {len(log_price)} prices, parts of {lengths} rows; expected equal numbers"
        )
    if "train" not in parts or not parts["train"].any():
        raise TrainingError(f"no row to learn from in the parts {', '.join(parts) or 'given'}; give a part train")
    known = {name: member for name, member in member_classes().items() if issubclass(member, BoostedMember)}
    if settings is None:
        settings = {name: member.Settings() for name, member in known.items()}
    for name in settings:
        if name not in known:
            raise ConfigError(f"no boosting library {name!r}; there are {', '.join(known)}")
    rows = {
        part: table_rows(table.filter(pl.Series(mask)), log_price[mask], None if tfidf is None else tfidf[mask])
        for part, mask in parts.items()
    }
    fold = FoldRows(None, FoldInputs(Path(), Path(), Path()), rows)
    found = {}
    for name, own in settings.items():
        member = known[name](own, seed=seed, threads=threads).fit(fold, rounds=rounds)
        predicted = {part: member.predict(chosen) for part, chosen in rows.items() if part != "train"}
        smape = smape_of_logs(predicted["valid"], rows["valid"].log_price) if "valid" in rows else None
        found[name] = GBDTResult(member, predicted, smape)
    return found


# a table's own names for what `amount_exponent` reads
_ROLES = {"ipq_log_amount": "log_amount", "ipq_family": "amount_family"}


def table_rows(table: pl.DataFrame, log_price: Floats | None = None, tfidf: sparse.csr_matrix | None = None) -> Rows:
    """Return n rows as the members read them, from a table that is not a folder of features.

    Parameters
    ----------
    table : DataFrame of n rows
        Features; rows are numbered where it has no sample_id. ``ipq_log_amount`` and ``ipq_family`` say how much of a
        product there is.
    log_price : ndarray of shape (n,), optional
    tfidf : csr_matrix of shape (n, v), optional
    """
    ids = table[ID] if ID in table.columns else pl.Series(ID, range(table.height)).cast(pl.String)
    table = table.drop(ID, strict=False)
    text = tuple(name for name, dtype in table.schema.items() if dtype == pl.String)
    terms = sparse.csr_matrix((0, 0), dtype=np.float32) if tfidf is None else tfidf
    numbers = (name for name in table.columns if name not in text)
    schema = FeatureSchema(make_columns("table", numbers, text, roles=_ROLES), terms.shape[1])
    frame = ids.to_frame() if log_price is None else pl.DataFrame({ID: ids, "log_price": log_price})
    return Rows(frame, FeatureSet(ids, table, terms, schema), pl.DataFrame(), np.empty(0))
