"""Excel's text formula: ``="000123"`` in a CSV file keeps the zeros of ``000123``, which is what it stands for."""

import polars as pl

_FORMULA = r'^\s*="((?:[^"]|"")*)"\s*$'


def without_formulas(values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return values without the formula around them, and the places of those that had one.

    Parameters
    ----------
    values : Series of shape (n,)
        Those of another type than String are returned as they are.

    Returns
    -------
    values : Series of shape (n,)
    places : Series, UInt32

    Examples
    --------
    >>> values, places = without_formulas(pl.Series(['="007"', "008", None]))
    >>> values.to_list(), places.to_list()
    (['007', '008', None], [0])
    """
    if values.dtype != pl.String:
        return values, pl.Series(dtype=pl.UInt32)
    places = values.str.contains(_FORMULA).fill_null(False).arg_true()
    if places.is_empty():
        return values, places
    written = values.gather(places).str.extract(_FORMULA).str.replace_all('""', '"', literal=True)
    return values.clone().scatter(places, written), places
