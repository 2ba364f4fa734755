"""`pricing columns`: propose what a table's columns are. Starts no Prefect."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from pricing.catalogue.propose import HEAD_ROWS, Proposal, propose_roles
from pricing.catalogue.propose_rules import ProposedColumn
from pricing.catalogue.propose_toml import proposal_toml
from pricing.catalogue.raw_table import open_table
from pricing.command.options import Setting
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import CHALLENGE
from pricing.configuration import load_config
from pricing.errors import InputError
from pricing.run.output_folder import check_file

app = typer.Typer()
result = Console(markup=False, highlight=False, soft_wrap=True)  # the TOML alone, so that it can be piped into a file
told = Console(stderr=True, markup=False, highlight=False)
_TYPES = {
    "number": "number", "price": "price", "amount": "amount", "date": "date", "link": "link", "file": "image file",
    "path": "path", "text": "text", "empty": "",
}  # fmt: skip


@app.command()
def columns(
    catalogue: Annotated[Path, typer.Argument(help="Catalogue file of any shop.")],
    output: Annotated[Path | None, typer.Option(help="New TOML file for the roles, which --columns takes.")] = None,
    setting: Setting = None,
) -> None:
    """Propose what the columns of a catalogue are, as the TOML file that --columns takes."""
    if output:
        check_file(output)
        if output.exists():
            raise InputError(f"--output {output}: is there already; give another name, or remove it")
    config = load_config("cpu", setting).catalogue if setting else CatalogueConfig()
    table = open_table(catalogue, config)
    head = table.head(HEAD_ROWS)
    proposal = propose_roles(head, config)
    if proposal.is_challenge:
        result.print(f"{catalogue}: has the columns that are read by default ({', '.join(CHALLENGE.named())}); no "
                     "columns file is needed")  # fmt: skip
        return
    told.print(f"{table.file}: {table.form}; its first {head.height:,} rows", soft_wrap=True)
    told.print(_shown(proposal))
    for column in proposal.columns:
        if column.unsure:
            told.print(Text.assemble((f"{column.facts.name}: ", "bold yellow"), column.unsure))
    for name in dict.fromkeys(name for name in table.columns if table.columns.count(name) > 1):
        told.print(Text.assemble((f"{name}: ", "bold yellow"), "stands more than once in the header; keep one of them"))
    for role, said in proposal.lacking.items():
        told.print(Text.assemble((f"{role}: ", "bold red"), said))
    written = proposal_toml(proposal, table.file)
    if output:
        output.write_text(written, encoding="utf-8")
    else:
        told.print()
        result.print(
            Syntax("", "toml", theme="ansi_dark").highlight(written) if result.is_terminal else written, end=""
        )
    kept = shlex.quote(str(output or "columns.toml"))
    keep = f"written to {output}" if output else f"keep it with --output {kept}"
    told.print(f"\nLook it over ({keep}), then go on:", soft_wrap=True)
    told.print(f"  pricing run --train {shlex.quote(str(catalogue))} --columns {kept} --output DIR", soft_wrap=True)


def _shown(proposal: Proposal) -> Table:
    """The proposal as a table as wide as the terminal."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, collapse_padding=True)
    table.add_column("column", no_wrap=True, max_width=28, style="bold")
    table.add_column("role", no_wrap=True)
    table.add_column("type", no_wrap=True)
    table.add_column("distinct", justify="right", no_wrap=True)
    table.add_column("missing", justify="right", no_wrap=True)
    table.add_column("example", no_wrap=True, ratio=1, min_width=8, style="dim")
    for column in proposal.columns:
        facts = column.facts
        kind = "image link" if facts.image and facts.kind == "link" else _TYPES[facts.kind]
        kind = f"whole {kind}" if facts.whole and kind == "number" else kind
        missing = f"{facts.missing_share:.0%}" if facts.missing_share >= 0.005 else "<1%"
        example = Text(column.why, style="italic") if column.why else Text(_one_line(facts.example))
        table.add_row(
            _one_line(facts.name), _role(column), kind, f"{facts.distinct:,}",
            missing if facts.filled < facts.rows else "", example,
        )  # fmt: skip
    return table


def _role(column: ProposedColumn) -> Text:
    said = f"{column.role} ({column.unit})" if column.unit else column.role
    style = "dim" if column.role == "ignore" else "yellow" if column.unsure else "green"
    return Text(f"{said} ?" if column.unsure else said, style=style)


def _one_line(text: str) -> str:
    return " ".join(text.split())
