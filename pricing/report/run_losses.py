"""What a run lost on its way: images that failed, rows that were left out; one sentence each, with what to do.

The terminal, the report's first screen and Prefect's artifact say the same words, all of them from run.json.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pricing.catalogue.reading_words import unread_words

Severity = Literal["warning", "note"]

_WARN_SHARE = 0.1
"""A tenth of the images or of the training rows is more than dead links and typing errors take."""
_SHOWN_REASONS = 4
_SHOWN_HOSTS = 3
_LATER = frozenset({"body_cut_short", "connection_lost", "http_408", "http_425", "http_429", "not_fetched", "timeout"})
"""Reasons that may be gone the next time, beside every http_5xx."""


@dataclass(frozen=True)
class Loss:
    """One thing that was lost.

    Attributes
    ----------
    severity : str
        ``warning``: prices are missing, or are made of much less than was asked for. ``note``: worth knowing.
    what : str
        A sentence or two: count, reasons, what to do.
    """

    severity: Severity
    what: str


def run_losses(run: Mapping[str, Any], named: Callable[[str], str] = str) -> list[Loss]:
    """What a run lost, warnings first; an empty list where it lost nothing.

    Parameters
    ----------
    run : mapping
        run.json of a run or of one stage; any part may be missing.
    named : callable
        What a reason why an image failed is called; by default as missing_images.csv has it.
    """
    found = row_losses(run.get("catalogue") or {}, priced="stage" not in run)
    found += image_losses(run.get("images") or {}, named=named)
    return sorted(found, key=lambda loss: loss.severity != "warning")


def row_losses(catalogue: Mapping[str, Any], *, priced: bool = True, prices: str = "submission.csv",
               rejected: str = "rejected.csv") -> list[Loss]:  # fmt: skip
    """What a catalogue's files lost.

    Parameters
    ----------
    catalogue : mapping
        ``test`` and ``train``, each with ``rows`` (good ones), ``rejected`` and, where they are known,
        ``rejected_reasons`` (reason to count), ``unpriced`` (training rows without a price, which are priced) and
        ``cut_texts`` (rows whose text was too long) and ``read`` (columns whose values could not all be read).
    priced : bool
        Whether there are prices of the good rows; a single stage makes none.
    prices, rejected : str
        What the files of the prices and of the rows left out are called.
    """
    found = []
    rows, lost, reasons = _part(catalogue, "test")
    if lost:
        total = rows + lost
        what = (
            f"{rows:,} of {total:,} rows to price are in {prices}; {lost:,} {_were(lost)} left out{reasons}"
            if priced
            else f"{lost:,} of {total:,} rows to price {_were(lost)} left out{reasons}"
        )
        found.append(Loss("warning", f"{what}. See {rejected}, correct {_them(lost)} and run again."))
    rows, lost, reasons = _part(catalogue, "train")
    if lost:
        what = f"{lost:,} of {rows + lost:,} training rows {_were(lost)} left out{reasons}. See {rejected}."
        found.append(Loss("warning" if lost > _WARN_SHARE * (rows + lost) else "note", what))
    counts = {part: catalogue[part] for part in ("train", "test") if isinstance(catalogue.get(part), Mapping)}
    if unpriced := int(counts.get("train", {}).get("unpriced") or 0):
        what = "1 training row has" if unpriced == 1 else f"{unpriced:,} training rows have"
        what += f" no price: nothing was learnt from {_them(unpriced)}."
        if priced:
            what += f" See unpriced.csv for {'its price' if unpriced == 1 else 'their prices'}."
        found.append(Loss("note", what))
    for part, known in counts.items():
        found += [Loss("note", f"In {part}: {words}") for words in unread_words(known.get("read") or {})]
        if cut := int(known.get("cut_texts") or 0):
            found.append(
                Loss("note", f"{cut:,} {'text' if cut == 1 else 'texts'} of {part} {_were(cut)} too long and cut.")
            )
    return found


def image_losses(
    images: Mapping[str, Any], *, listed: str = "missing_images.csv", named: Callable[[str], str] = str
) -> list[Loss]:
    """What was lost of the images: a sentence on all of them, and one for each host that gave none.

    Parameters
    ----------
    images : mapping
        ``requested``, ``present``, ``failed`` (reason to count) and, where they are known, ``hosts_lost`` (host to its
        counts by reason) and ``hint`` (what to do about the largest loss).
    listed : str
        What the file that names each of them is called; "" where there is none.
    named : callable
        As in `run_losses`.
    """
    failed = _counts(images.get("failed"))
    lost = sum(failed.values())
    requested = max(int(images.get("requested") or 0), lost)
    if not lost:
        return []
    if lost == requested:
        which = "The only image" if lost == 1 else f"All {lost:,} images"
        what = f"{which} failed{_reasons(failed, named)}: prices rest on texts alone."
    else:
        what = f"{lost:,} of {requested:,} images failed{_reasons(failed, named)}."
    if listed:
        what += f" Each link is in {listed}."
    if hint := images.get("hint"):
        what += f" What to do: {str(hint).rstrip('.')}."
    elif any(reason in _LATER or reason.startswith("http_5") for reason in failed):
        what += " Run again later: only what is missing is fetched."
    found = [Loss("warning" if lost > _WARN_SHARE * requested else "note", what)]
    hosts = {str(host): _counts(counts) for host, counts in (images.get("hosts_lost") or {}).items()}
    if len(hosts) == 1 and lost == requested == sum(sum(counts.values()) for counts in hosts.values()):
        # the host of all of them says nothing new
        return found
    largest = sorted(hosts.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    for host, counts in largest[:_SHOWN_HOSTS]:
        found.append(Loss("warning", f"{host} gave none of {sum(counts.values()):,} images{_reasons(counts, named)}."))
    if more := largest[_SHOWN_HOSTS:]:
        count, hosts_word = sum(sum(counts.values()) for _, counts in more), "host" if len(more) == 1 else "hosts"
        found.append(Loss("warning", f"{len(more):,} more {hosts_word} gave none of {count:,} images."))
    return found


def _part(catalogue: Mapping[str, Any], part: str) -> tuple[int, int, str]:
    """Good rows, rows left out, and the reasons in brackets."""
    counts = catalogue.get(part)
    if not isinstance(counts, Mapping):
        return 0, 0, ""
    reasons = _reasons(_counts(counts.get("rejected_reasons")))
    return int(counts.get("rows") or 0), int(counts.get("rejected") or 0), reasons


def _counts(record: Any) -> dict[str, int]:
    """Reason to count, as far as the record has some."""
    return {str(name): int(count) for name, count in (record or {}).items() if count}


def _reasons(counts: Mapping[str, int], named: Callable[[str], str] = str) -> str:
    """`` (http_404 70, truncated 30)``, the commonest first; "" where no reason is known."""
    if not counts:
        return ""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{named(reason)} {count:,}" for reason, count in ordered[:_SHOWN_REASONS]]
    if rest := ordered[_SHOWN_REASONS:]:
        shown.append(f"others {sum(count for _, count in rest):,}")
    return f" ({', '.join(shown)})"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _them(count: int) -> str:
    return "it" if count == 1 else "them"
