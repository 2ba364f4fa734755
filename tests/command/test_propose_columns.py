"""`pricing columns`, and what a run says of a file whose columns nobody declared: from a shop's file to its roles."""

import gzip
import tomllib
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from flows import cli
from pricing import CatalogueError, InputError, Pricer
from pricing.catalogue.raw_rows import open_catalogue
from pricing.config.catalogue import CatalogueConfig
from pricing.configuration import load_config, read_columns
from pricing.errors import ConfigError

ROLES = {
    "id": "Artikelnummer", "price": "Preis", "title": "Bezeichnung", "category": ["Marke"],
    "amount": {"Gewicht_kg": "kg"}, "ignore": ["Streichpreis"],
}  # fmt: skip


def pricing(*arguments: str | Path, width: int = 100) -> Result:
    return CliRunner(env={"COLUMNS": str(width), "LINES": "50"}).invoke(
        cli.app, [str(argument) for argument in arguments], catch_exceptions=False
    )


def shop() -> pl.DataFrame:
    names = ("Kessel", "Lampe", "Tisch", "Stuhl", "Becher")
    return pl.DataFrame({
        "Artikelnummer": [f"{row:05}" for row in range(40)],
        "Bezeichnung": [f"[Eiche] {names[row % 5]} Nummer {row}" for row in range(40)],
        "Marke": [("Acme", "Bolt")[row % 2] for row in range(40)],
        "Gewicht_kg": [f"{1 + row * 7 % 11},5" for row in range(40)],
        "Preis": [f"{10 + row * 13 % 37},99 €" for row in range(40)],
        "Streichpreis": [f"{20 + row * 17 % 31},99 €" for row in range(40)],
    })  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    shop().write_csv(tmp_path / "my shop.csv", separator=";")
    return tmp_path / "my shop.csv"


def test_the_roles_alone_go_to_the_output_and_the_table_beside_it(file: Path) -> None:
    done = pricing("columns", file, width=80)
    assert tomllib.loads(done.stdout) == ROLES
    lines = done.stderr.splitlines()
    assert lines[0] == "my shop.csv: CSV, separated by semicolons, UTF-8; its first 40 rows"
    assert lines[2].split() == ["column", "role", "type", "distinct", "missing", "example"]
    assert next(line for line in lines if "Bezeichnung" in line).split()[1:4] == ["title", "text", "40"]
    assert "[Eiche]" in done.stderr, "brackets are no markup"
    shown = [line for line in lines[1:] if "pricing run" not in line]
    assert max(map(len, shown)) <= 80, "no wider than the terminal"
    assert f"--train '{file}' --columns columns.toml" in done.stderr


def test_a_file_is_written_once_and_is_what_the_option_takes(file: Path, tmp_path: Path) -> None:
    written = tmp_path / "columns.toml"
    done = pricing("columns", file, "--output", written)
    assert done.stdout == ""
    assert load_config("demo", {"catalogue.columns": read_columns(written)}).catalogue.roles.id == "Artikelnummer"
    written.write_text("mine")
    with pytest.raises(InputError, match=r"columns\.toml: is there already"):
        pricing("columns", file, "--output", written)
    assert written.read_text() == "mine"


def test_files_of_other_forms(tmp_path: Path) -> None:
    text = shop().write_csv()
    (tmp_path / "shop.csv.gz").write_bytes(gzip.compress(text.encode()))
    shop().write_parquet(tmp_path / "shop.parquet")
    (tmp_path / "old.csv").write_bytes(text.encode("cp1252"))
    for arguments in (["shop.csv.gz"], ["shop.parquet"], ["old.csv", "--set", "catalogue.encoding=cp1252"]):
        assert tomllib.loads(pricing("columns", tmp_path / arguments[0], *arguments[1:]).stdout) == ROLES


def test_the_challenges_columns_need_no_file(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("sample_id,catalog_content,image_link,price\n1,Item Name: Tea,,4.5\n")
    done = pricing("columns", tmp_path / "train.csv")
    assert "no columns file is needed" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("command", [["run"], ["stage", "features"]])
def test_a_run_on_an_undeclared_file_ends_with_the_proposal(file: Path, tmp_path: Path, command: list[str]) -> None:
    with pytest.raises(CatalogueError) as refused:
        pricing(*command, "--train", file, "--output", tmp_path / "out", "--artifacts", tmp_path / "artifacts")
    said = str(refused.value)
    assert refused.value.exit_code == 2
    assert said.startswith(f"{file}: the columns that are read by default (sample_id, ")
    assert tomllib.loads(said.split("seem to be:")[1].split("Look these")[0]) == ROLES
    assert f"pricing columns '{file}' --output columns.toml" in said
    assert f"pricing run --train '{file}' --columns columns.toml" in said
    assert not (tmp_path / "out").exists()


def test_a_table_too(tmp_path: Path) -> None:
    pricer = Pricer("demo", artifacts=tmp_path)
    for given in (shop(), shop().to_pandas(), shop().to_arrow()):
        with pytest.raises(CatalogueError, match=r'(?s)the table: .*id = "Artikelnummer".*Pricer\(columns=') as refused:
            pricer.fit(given)
        assert "pricing run" not in str(refused.value), "there is no file to give"
    lacking = shop().rename({"Artikelnummer": "sample_id", "Bezeichnung": "catalog_content"})
    with pytest.raises(CatalogueError, match="missing columns price"):
        pricer.fit(lacking)


def test_a_file_to_price_is_no_reason_to_propose(file: Path) -> None:
    with pytest.raises(CatalogueError, match="missing columns sample_id, catalog_content"):
        open_catalogue(file, False, CatalogueConfig())


def test_deployments_take_roles_in_their_parameters() -> None:
    from prefect.utilities.schema_tools import validate

    from flows.pipeline import price_catalogue

    columns = {"id": "sku", "title": "name", "amount": {"net.weight": "kg"}}
    parameters = {"train": "t.csv", "output": "o", "overrides": {"catalogue.columns": columns}}
    validate(parameters, price_catalogue.parameters.model_dump(), raise_on_error=True)
    given = price_catalogue.validate_parameters(parameters)
    assert load_config("demo", given["overrides"]).catalogue.roles.amount == {"net.weight": "kg"}
    with pytest.raises(ConfigError, match=r"catalogue\.columns\.titel: unknown key; did you mean title"):
        load_config("demo", {"catalogue.columns": {**columns, "titel": "name"}})


def test_a_name_that_stands_twice_in_the_header_is_said(tmp_path: Path) -> None:
    rows = "".join(f"{row},cup {row},a,{row}.50,b\n" for row in range(9))
    (tmp_path / "shop.csv").write_text(f"sku,title,brand,price,brand\n{rows}", encoding="utf-8")
    assert (
        "brand: stands more than once in the header; keep one of them"
        in pricing("columns", tmp_path / "shop.csv").stderr
    )


def test_rows_that_cannot_be_read_are_no_empty_columns(tmp_path: Path) -> None:
    rows = "".join(f"{row},Tür {row},{row}.50 €\n" for row in range(9))
    (tmp_path / "shop.csv").write_bytes(f"sku,title,price\n{rows}".encode("cp1252"))
    with pytest.raises(
        CatalogueError, match=r'9 of the first rows cannot be read, .* or set catalogue.encoding="cp1252"'
    ):
        pricing("columns", tmp_path / "shop.csv")
    told = pricing("columns", tmp_path / "shop.csv", "--set", "catalogue.encoding=cp1252")
    assert tomllib.loads(told.stdout) == {"id": "sku", "price": "price", "title": "title"}
