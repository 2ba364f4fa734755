"""Why a stage ran again, in words: what differs between the key parts of two of its outputs.

A digest says nothing to a person. An input that another stage made is followed to what changed there; a file is told
by its name, a setting by its key and its two values, code by its module.
"""

import re
import time
from collections.abc import Mapping
from typing import Any

from pricing.errors import InputError
from pricing.store.artifacts import ArtifactStore
from pricing.store.stages import Stage

Record = Mapping[str, Any]

SECTIONS = {"price_features": "features.price", "fetch": "images"}
"""Section of the configuration that a step reads, where it has another name than the step."""
_WORDS = {
    "fetched.present": "images that are there", "fetched.requested": "images asked for",
    "fetched.state": "images' contents", "floor.smape": "noise floor", "origin": "images come from",
}  # fmt: skip
"""What other arguments of stages mean."""
_WIDTH = 60
"""Longest value shown whole, in characters."""
_MODULES = 6
"""Maximum number of modules that are named; with more, a release has changed."""


def tell_why(store: ArtifactStore, stage: Stage) -> list[str]:
    """Say why a stage's steps ran again: the last output of each against the one before it in the same slot.

    Raises
    ------
    InputError
        The store has no output of the stage.
    """
    records = store.outputs(stage)
    if not records:
        known = sorted({record["reference"].stage for record in store.outputs()})
        raise InputError(f"no output of the stage {stage} in {store.place}; there are {', '.join(known) or 'none'}")
    lines = []
    for name in dict.fromkeys(record["reference"].name for record in records):
        of = [record for record in records if record["reference"].name == name]
        last = of[-1]
        before = [record for record in of[:-1] if record["reference"].slot == last["reference"].slot]
        label = last["reference"].label
        if not before:
            lines.append(f"{label}: made once, {_time(last)}; nothing to compare with")
            continue
        lines.append(f"{label}: made {_time(last)}, before that {_time(before[-1])}")
        found = explain(store, before[-1], last) or ["nothing differs: the earlier output was missing or damaged"]
        lines += [f"  {line}" for line in found]
    return lines


def _time(record: Record) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["reference"].ended))


def explain(store: ArtifactStore, before: Record, after: Record) -> list[str]:
    """Say what differs between two outputs of one stage.

    Parameters
    ----------
    store : ArtifactStore
        Where the outputs that they read are looked up.
    before, after : mapping
        Records as `ArtifactStore.outputs` gives them.

    Returns
    -------
    list of str
        One line per difference. Lines below an input are indented by two blanks per level: they say why it differs.
    """
    return _Explanation(store).of(before, after)


class _Explanation:
    """The lines; what was said once is not said again further down."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.said: set[str] = set()

    def of(self, before: Record, after: Record) -> list[str]:
        old, new = before["parts"], after["parts"]
        lines: list[str] = []
        for name in sorted({*old.get("inputs", {}), *new.get("inputs", {})}):
            lines += self._input(name, old.get("inputs", {}).get(name), new.get("inputs", {}).get(name), before, after)
        lines += self._code(old.get("code", {}), new.get("code", {}))
        versions = old.get("versions", {}), new.get("versions", {})
        for name in sorted({*versions[0], *versions[1]}):
            label = "Python" if name == "python" else f"library {name}"
            lines += self._pair(label, versions[0].get(name), versions[1].get(name))
        return lines

    def _input(self, name: str, old: Any, new: Any, before: Record, after: Record) -> list[str]:
        if old == new:
            return []
        either = [value for value in (old, new) if value is not None]
        if all(_is_output(value) for value in either):
            return self._output(old, new)
        if all(_is_file(value) for value in either):
            return self._file(name, before, after)
        if all(isinstance(value, Mapping) for value in either):
            names = sorted({key for value in either for key in value})
            pairs = [(f"{name}.{key}", (old or {}).get(key), (new or {}).get(key)) for key in names]
        elif all(isinstance(value, list) and any(map(_is_output, value)) for value in either):
            longest = max(map(len, either))
            padded = [[*(value or []), *[None] * (longest - len(value or []))] for value in (old, new)]
            pairs = [(name, one, other) for one, other in zip(*padded, strict=True)]
        else:
            return self._pair(setting_label(after["reference"].name, after["reference"].slot, name), old, new)
        return [line for key, one, other in pairs for line in self._input(key, one, other, before, after)]

    def _output(self, old: Any, new: Any) -> list[str]:
        """An output of another stage, and below it why that one differs."""
        stage = (new or old)["stage"]
        made = [self._made(value) for value in (old, new)]
        label = next((record["reference"].label for record in reversed(made) if record), stage)
        if old is None or new is None:
            return self._say(f"{label}: {'not read before' if old is None else 'no longer read'}")
        if made[0] is None or made[1] is None:
            return self._say(f"another output of {label}; the store no longer has {'both' if not any(made) else 'one'}")
        line = f"another output of {label}"
        if not self._say(line):
            return []
        if made[0]["parts"] == made[1]["parts"]:
            return [f"{line}: made again from the same inputs, with another outcome"]
        below = self.of(made[0], made[1])
        # all its reasons have been said
        return [line, *(f"  {one}" for one in below)] if below else []

    def _made(self, value: Any) -> Record | None:
        if value is None:
            return None
        found = [record for record in self.store.outputs(value["stage"])
                 if record["reference"].digest == value["digest"]]  # fmt: skip
        return found[-1] if found else None

    def _file(self, name: str, before: Record, after: Record) -> list[str]:
        there = [name in record["parts"]["inputs"] and record["parts"]["inputs"][name] for record in (before, after)]
        paths = [record.get("sources", {}).get(name) for record in (before, after)]
        if not all(there):
            change = f"none -> {paths[1] or 'one'}" if there[1] else f"{paths[0] or 'one'} -> none"
            return self._say(f"{name} file: {change}")
        if None in paths:
            return self._say(f"another {name} file")
        if paths[0] == paths[1]:
            return self._say(f"{name} file: {paths[1]} has other content")
        return self._say(f"another {name} file: {paths[0]} -> {paths[1]}")

    def _code(self, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
        lines = []
        for told, names in (
            ("code changed", [name for name in new if name in old and new[name] != old[name]]),
            ("code added", [name for name in new if name not in old]),
            ("code gone", [name for name in old if name not in new]),
        ):
            if names:
                more = f" and {len(names) - _MODULES} more modules" if len(names) > _MODULES else ""
                lines += self._say(f"{told}: {', '.join(sorted(names)[:_MODULES])}{more}")
        return lines

    def _pair(self, label: str, old: Any, new: Any) -> list[str]:
        if old == new:
            return []
        if _is_digest(old) or _is_digest(new):
            return self._say(f"{label}: others than before")
        return self._say(f"{label}: {_short(old)} -> {_short(new)}")

    def _say(self, line: str) -> list[str]:
        if line in self.said:
            return []
        self.said.add(line)
        return [line]


def _is_output(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"stage", "digest"}


def _is_file(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"file"}


def setting_label(step: str, slot: str, name: str) -> str:
    """Return a step's argument in words; a setting by its key, as `--set` takes it.

    Parameters
    ----------
    step, slot : str
        Of the step.
    name : str
        The argument and, behind points, what in it.
    """
    first, _, rest = name.partition(".")
    if first == "config":
        return f"setting {'.'.join(part for part in (SECTIONS.get(step, step), rest) if part)}"
    # of the member that the slot names
    if first == "settings":
        return f"setting {'.'.join(part for part in ('members', slot.rpartition('-')[0] or slot, rest) if part)}"
    if first == "columns":
        return f"setting catalogue.{name}"
    if first in ("folds", "holdout", "seed", "tuning", "report", "submission"):
        return f"setting {name}"
    if name.startswith("fetched.failed."):
        return f"images that failed with {rest.removeprefix('failed.')}"
    return _WORDS.get(name, name)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32,}", value) is not None


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
