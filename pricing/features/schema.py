"""What a column of features is: the one schema that features, members, kernel, report and documents read."""

from dataclasses import dataclass
from typing import Literal

NUMBER: Literal["number"] = "number"
CATEGORY: Literal["category"] = "category"


@dataclass(frozen=True)
class Column:
    """One column of a table of features.

    Attributes
    ----------
    name : str
        Name in the table.
    kind : {"number", "category"}
        Float32, a missing value NaN; or String, a missing value the empty string.
    family : str
        What made it, such as quantity, text, brand, svd, declared, comparables.
    role : str
        What it says, where others need to know: amount, total, pack, family of the amount, category, brand ...;
        empty for most.
    words : str
        What it is, in the words of somebody who did not make it.
    """

    name: str
    kind: Literal["number", "category"]
    family: str
    role: str = ""
    words: str = ""
