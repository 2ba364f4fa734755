"""What a file's values were read as, in sentences: the log, the terminal and the report say the same words."""

from collections.abc import Mapping
from typing import Any

from pricing.catalogue.written_numbers import MARK_NAMES

Read = Mapping[str, Mapping[str, Any]]


def reading_words(read: Read) -> list[str]:
    """Say how columns were read that hold more than plain numbers, a sentence each.

    Parameters
    ----------
    read : mapping of str to mapping
        Column by role to its notes, as `pricing.catalogue.typed_values.ValueReader.notes` gives them.

    Examples
    --------
    >>> reading_words({"price": {"mark": ",", "by": "'5,9 €' (row 1)", "currency": "EUR", "example": "5,9 € -> 5.9"}})
    ["Prices are in EUR and were read with a decimal comma, as '5,9 €' (row 1) shows: 5,9 € -> 5.9."]
    """
    return [said for column, notes in read.items() for said in [_column(column, notes), *_rows(column, notes)] if said]


def unread_words(read: Read) -> list[str]:
    """Say which values could not be read and count as missing, a sentence for each column that has some."""
    said = []
    for column, notes in read.items():
        if count := int(notes.get("unread") or 0):
            # a record on disk has lost their order
            ordered = sorted(notes.get("commonest", {}).items(), key=lambda item: (-item[1], item[0]))
            commonest = ", ".join(f"{value!r} {times:,}" for value, times in ordered)
            what = "time" if column.startswith("time:") else "number"
            verbs = f"value of column {_name(column)} is no {what} and counts"
            if count > 1:
                verbs = f"values of column {_name(column)} are no {what}s and count"
            said.append(f"{count:,} {verbs} as missing: {commonest}.")
    return said


def _column(column: str, notes: Mapping[str, Any]) -> str:
    facts, by = [], notes.get("by")
    how = ", as the settings declare" if by == "declared" else f", as {by} shows" if by else ""
    if currency := notes.get("currency"):
        facts.append(f"are in {currency}")
    if mark := notes.get("mark"):
        facts.append(f"were read with a decimal {MARK_NAMES[mark]}{how}")
    elif "example" in notes:
        facts.append("were read as whole numbers")
    if first := notes.get("first"):
        facts.append(f"have the {first} first{how}")
    if not facts:
        return ""
    whose = "Prices" if column == "price" else f"Values of column {_name(column)}"
    said = f"{whose} {' and '.join(facts)}" + (f": {notes['example']}." if "example" in notes else ".")
    if bare := int(notes.get("without_currency") or 0):
        names = "names no currency and is" if bare == 1 else "name no currency and are"
        said += f" {bare:,} of them {names} taken for {currency} too."
    return said


def _rows(column: str, notes: Mapping[str, Any]) -> list[str]:
    """What `pricing.catalogue.shop_rows` found in a column."""
    said, name = [], _name(column)
    if count := int(notes.get("formulas") or 0):
        were = "value of column {} is Excel's text formula and was" if count == 1 else (
            "values of column {} are Excel's text formulas and were")  # fmt: skip
        said.append(f"{count:,} {were.format(name)} read as the text: {notes['formula']}.")
    if currencies := notes.get("currencies"):
        # a record on disk has lost their order
        ordered = sorted(currencies.items(), key=lambda item: (-item[1], item[0]))
        shown = ", ".join(f"{code} in {_counted(count)}" for code, count in ordered)
        said.append(f"Column {name} names {len(ordered)} currencies ({shown}), and prices were read as if of one; keep "
                    "the rows of one, or convert them.")  # fmt: skip
    if count := int(notes.get("completed") or 0):
        said.append(f"{_counted(count)} without {name} took what they lack of title, texts, categories and images from "
                    f"the row above of the same {notes['group']}.")  # fmt: skip
    if count := int(notes.get("untitled") or 0):
        advice = ""
        if not notes.get("group"):
            such = f"perhaps {likely}" if (likely := notes.get("likely")) else "the one that they share with it"
            advice = f" If they are variants of the row above, declare a column as group, {such}."
        said.append(f"{_counted(count)} {'has' if count == 1 else 'have'} no {name}.{advice}")
    return said


def _counted(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _name(column: str) -> str:
    return column.partition(":")[2] or column
