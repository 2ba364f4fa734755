"""A file of JSON lines as batches of rows: one object per line, its values as they are written."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pricing.catalogue import raw_batch
from pricing.catalogue.csv_scan import not_text, raw_lines
from pricing.catalogue.file_form import FileForm, open_text
from pricing.catalogue.raw_batch import ANY, JOINED, RawBatch, RawTable
from pricing.catalogue.records import MachineNumber, Record, record_batches
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError

_LIST = "a list"
_ADVICE = "write each product as one JSON object on a line of its own"
# so that numbers are what is written: no id becomes 1e+22, and no price 19.900000000000002
_READ = json.JSONDecoder(parse_int=MachineNumber, parse_float=MachineNumber, parse_constant=MachineNumber).decode


class JsonTable(RawTable):
    """A file of JSON lines.

    Its columns are the keys of the first 20,000 rows: exports leave out the keys of what is missing.
    """

    def __init__(self, path: Path, form: FileForm) -> None:
        self._path, self.form, self.name = path, form, str(path)
        names: dict[str, None] = {}
        first: str | None = None
        for line, found in islice(self._lines(), raw_batch.BATCH_ROWS):
            if isinstance(found, dict):
                names.update(dict.fromkeys(found))
            elif not names and first is None:
                first = f"{path}, line {line}: {found[0]}"
                if found[1] == _LIST:
                    break
        if not names:
            raise CatalogueError(first or f"{path}: the file is empty; expected one JSON object per line")
        super().__init__(path, form, list(names))

    def batches(self, wanted: dict[str, str], roles: ColumnsConfig | None) -> Iterator[RawBatch]:
        """As `RawTable.batches`."""
        at_id = next((place for place, name in enumerate(wanted) if name.startswith("id:")), 0)
        places = range(len(wanted))
        yield from record_batches(self.file, self._records(wanted), list(wanted), places, at_id)

    def _records(self, wanted: dict[str, str]) -> Iterator[Record]:
        kinds = [(role.partition(":")[0], name) for role, name in wanted.items()]
        for row, (line, found) in enumerate(self._lines(), start=1):
            if not isinstance(found, dict):
                yield Record(row, line, [], *found)
                continue
            values, problem = [], None
            for role, name in kinds:
                value = found.get(name)
                if not isinstance(value, str):
                    value, nested = _text(value, role)
                    problem = problem or (nested and f"{name} holds {nested}")
                values.append(value)
            if problem:
                yield Record(row, line, values, problem, "nested value")
            elif any(value.strip() for value in values) or any(
                _text(value, ANY)[0].strip() for value in found.values()
            ):
                yield Record(row, line, values)
            else:
                yield Record(row, line, [])

    def _lines(self) -> Iterator[tuple[int, dict[str, Any] | tuple[str, str]]]:
        """Line numbers and objects; instead of an object what is wrong and the kind of it. Blank lines are skipped."""
        with open_text(self._path, self.form) as stream:
            for line, raw in enumerate(raw_lines(stream, self.name, raw_batch.BATCH_CHARACTERS), start=1):
                if raw.strip():
                    yield line, self._read(raw)

    def _read(self, raw: bytes) -> dict[str, Any] | tuple[str, str]:
        try:
            text = raw.decode("utf-8")
            found = _READ(text)
            if "\\ud" in text.lower():
                # half of a character, as the escape of one half
                json.dumps(found, ensure_ascii=False).encode("utf-8")
        except UnicodeError:
            return not_text(self.form.encoding)
        except RecursionError:
            return f"it is nested too deeply; {_ADVICE}", "not JSON"
        except json.JSONDecodeError as error:
            if text.lstrip()[:1] == "[":
                return f"it is not one JSON object (a list begins here); {_ADVICE}", _LIST
            return f"it is not one JSON object ({error.msg} at character {error.pos + 1}); {_ADVICE}", "not JSON"
        if isinstance(found, dict):
            return found
        kind = _LIST if isinstance(found, list) else "a single value"
        return f"it is {kind}, not a JSON object; {_ADVICE}", kind


def _text(value: Any, role: str) -> tuple[str, str | None]:
    """A value as text, and what it holds that no column of its role can."""
    if value is None or isinstance(value, str):
        return value or "", None
    if isinstance(value, bool):
        return str(value).lower(), None
    if role == ANY:
        flat = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return JOINED[ANY].join(value) if flat else json.dumps(value, ensure_ascii=False), None
    if isinstance(value, dict):
        return "", "an object; write its values as columns of their own"
    if role not in JOINED:
        return "", "a list; write one value, or declare the column as text, category or image"
    parts = [one for one in value if one is not None]
    if not all(isinstance(one, str) for one in parts):
        return "", "a list of lists or objects; write a list of texts"
    return JOINED[role].join(parts), None
