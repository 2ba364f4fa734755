"""A proposal of roles as the TOML file that ``--columns`` takes."""

import json
import re
import shlex
from pathlib import Path

from pricing.catalogue.propose import Proposal
from pricing.catalogue.propose_rules import ProposedColumn
from pricing.config.columns import CHALLENGE

_ONE = ("id", "price", "title", "group", "time")
_ORDER = ("id", "price", "title", "text", "category", "number", "amount", "image", "group", "time", "ignore")
_WIDTH = 100
"""Characters of a line; a longer list is written one column per line."""


def proposal_toml(proposal: Proposal, source: str) -> str:
    """Write a proposal as TOML; what is doubtful, and why a column is ignored, stands beside it as a comment.

    Parameters
    ----------
    proposal : Proposal
    source : str
        What the table is called.
    """
    lines = [f"# Roles of the columns of {_one_line(source)}, as `pricing columns` proposes them."]
    for role in _ORDER:
        columns = proposal.of(role)
        if not columns:
            lines += [f'# {role} = ""  # {proposal.lacking[role]}'] if role in proposal.lacking else []
        elif role in _ONE:
            lines.append(f"{role} = {_quoted(columns[0].facts.name)}{_comment(columns[0])}")
        elif role == "amount":
            pairs = ", ".join(f"{_key(column.facts.name)} = {_quoted(column.unit)}" for column in columns)
            lines += [f"# unsure of {column.facts.name}: {column.unsure}" for column in columns if column.unsure]
            lines.append(f"amount = {{{pairs}}}")
        else:
            lines += _list(role, columns)
    return "\n".join(lines) + "\n"


def undeclared(proposal: Proposal, source: str) -> str:
    """Say what the columns of a table seem to be that has neither the challenge's columns nor declared roles.

    Parameters
    ----------
    proposal : Proposal
    source : str
        Path of the file, or what the table is called.
    """
    file, written = shlex.quote(source), proposal_toml(proposal, Path(source).name)
    commands = (
        f"  pricing columns {file} --output columns.toml\n"
        f"  pricing run --train {file} --columns columns.toml --output DIR\n\n"
    )
    return (
        f"{source}: the columns that are read by default ({', '.join(CHALLENGE.named())}) are not there, and no roles "
        f"are declared for its own. By names and values they seem to be:\n\n{written}\n"
        f"Look these roles over and go on with them:\n\n{commands if Path(source).is_file() else ''}"
        '  Pricer(columns="columns.toml")  # in Python, or a dict; in a configuration: the section catalogue.columns'
    )


def _list(role: str, columns: list[ProposedColumn]) -> list[str]:
    line = f"{role} = [{', '.join(_quoted(column.facts.name) for column in columns)}]"
    if len(line) <= _WIDTH and not any(_comment(column) for column in columns):
        return [line]
    return [f"{role} = [", *(f"    {_quoted(column.facts.name)},{_comment(column)}" for column in columns), "]"]


def _comment(column: ProposedColumn) -> str:
    said = f"unsure: {column.unsure}" if column.unsure else column.why
    return f"  # {_one_line(said)}" if said else ""


def _one_line(text: str) -> str:
    """Text as it may stand in a comment: control characters may not."""
    return re.sub(r"[\x00-\x08\x0a-\x1f\x7f]", " ", text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)
