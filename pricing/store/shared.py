"""Outputs in a storage that several machines share: files first, the record last, and the first record counts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pricing.errors import ArtifactError
from pricing.store.references import RECORD, damage_of, parse_record
from pricing.store.remote import BLOBS, Remote

OUTPUTS = "store"


class SharedOutputs:
    """The outputs behind an address, in the layout of `pricing.store.remote`.

    Parameters
    ----------
    remote : Remote
        The storage.
    """

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def read(self, stage: str, key: str) -> bytes | None:
        """Return the content of an output's record; None where there is no output."""
        return self.remote.read(f"{OUTPUTS}/{stage}/{key}/{RECORD}")

    def publish(self, folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
        """Upload an output unless there is one under its key.

        Parameters
        ----------
        folder : Path
            The output with its record.
        record : mapping
            The record, parsed.

        Returns
        -------
        dict
            The record that counts, parsed: of several workers' the first.
        """
        made = record["reference"]
        content, name = (folder / RECORD).read_bytes(), f"{OUTPUTS}/{made.stage}/{made.key}/{RECORD}"
        there = self._readable(name)
        if there is not None:
            return there
        files = _names(record)
        self.remote.put({remote: folder / file for file, remote in files.items()})
        if not self.remote.create(name, content):
            there = self._readable(name)
            if there is not None:
                if there["reference"].digest != made.digest:
                    self.remote.remove(files.values())
                return there
            # torn, by a writer that was killed
            self.remote.write(name, content)
        return parse_record(content, name)

    def _readable(self, name: str) -> dict[str, Any] | None:
        content = self.remote.read(name)
        try:
            return parse_record(content, name) if content else None
        except ArtifactError:
            return None

    def fetch(self, record: Mapping[str, Any], folder: Path) -> bool:
        """Download an output and its record into an empty folder; whether it is whole."""
        made = record["reference"]
        try:
            self.remote.get({remote: folder / file for file, remote in _names(record).items()})
        except FileNotFoundError:
            return False
        if damage_of(folder, record["files"]):
            return False
        kept = {**record, "reference": made.model_dump(mode="json")}
        (folder / RECORD).write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return True

    def withdraw(self, stage: str, key: str) -> None:
        """Remove the record of an output that is not whole, so that the next one who needs it makes it."""
        self.remote.remove([f"{OUTPUTS}/{stage}/{key}/{RECORD}"])

    def has_blobs(self, names: Sequence[str]) -> bool:
        """Whether all blobs that a record names are there."""
        return not names or self.remote.sizes(BLOBS).keys() >= {f"{BLOBS}/{name}" for name in names}

    def contents(self, stage: str | None = None) -> Iterator[tuple[str, bytes]]:
        """Yield where a record lies and what it holds, for all outputs or those of a stage."""
        for name in self.remote.sizes(f"{OUTPUTS}/{stage}" if stage else OUTPUTS):
            if name.endswith(f"/{RECORD}") and (content := self.remote.read(name)):
                yield name.removesuffix(f"/{RECORD}"), content

    def verify(self) -> dict[str, list[str]]:
        """Return outputs with what is wrong in each; every object is read."""
        problems: dict[str, list[str]] = {}
        for where, content in self.contents():
            output = where.removeprefix(f"{OUTPUTS}/")
            try:
                record = parse_record(content, output)
            except ArtifactError as error:
                problems[output] = [str(error)]
                continue
            found = []
            for file, name in _names(record).items():
                try:
                    if self.remote.digest(name) != record["files"][file][1]:
                        found.append(f"{file}: content changed")
                except FileNotFoundError:
                    found.append(f"{file}: missing")
            if not self.has_blobs(record["blobs"]):
                found.append("images: shards are missing")
            if found:
                problems[output] = found
        return problems

    def prune(self, keep: set[str]) -> tuple[int, int]:
        """Remove outputs whose key is not in ``keep``, and blobs that no output names any more.

        Returns
        -------
        tuple of int
            Number of outputs removed, and bytes.
        """
        sizes = self.remote.sizes(OUTPUTS)
        gone = {name: size for name, size in sizes.items() if name.split("/")[2] not in keep}
        # first the records: without them the rest is no output
        self.remote.remove(sorted(gone, key=lambda name: not name.endswith(f"/{RECORD}")))
        named = {blob for where, content in self.contents() for blob in parse_record(content, where)["blobs"]}
        blobs = {name: size for name, size in self.remote.sizes(BLOBS).items()
                 if name.removeprefix(f"{BLOBS}/") not in named}  # fmt: skip
        self.remote.remove(blobs)
        outputs = {tuple(name.split("/")[1:3]) for name in gone}
        return len(outputs), sum(gone.values()) + sum(blobs.values())


def _names(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the object of every file of an output."""
    made = record["reference"]
    return {file: f"{OUTPUTS}/{made.stage}/{made.key}/{made.digest[:16]}/{file}" for file in record["files"]}
