"""When prices must be made again."""

from pathlib import Path

from pricing.run.repricing import is_priced, prices_key, remember_prices


def test_prices_hold_until_what_they_are_made_of_changes(tmp_path: Path) -> None:
    model, catalogue, output = tmp_path / "run", tmp_path / "new.csv", tmp_path / "prices.csv"
    (model / "model" / "ensemble").mkdir(parents=True)
    weights = model / "model" / "ensemble" / "weights.json"
    weights.write_text("[1]")
    catalogue.write_text("a")
    output.write_text("1.0")
    settings = {"intervals": True}

    def key() -> str:
        return prices_key(model, catalogue, settings)

    first = key()
    assert not is_priced(output, first), "never priced"
    remember_prices(output, first)
    assert is_priced(output, key())
    assert (tmp_path / "prices_priced.json").is_file()
    # what lies beside the model is no part of it, and neither is where it lies
    (model / "report.html").write_text("new")
    model = model.rename(tmp_path / "moved")
    assert is_priced(output, key())
    weights = model / "model" / "ensemble" / "weights.json"
    for path in (catalogue, weights, output):
        before = path.read_text()
        path.write_text("changed")
        assert not is_priced(output, key()), path
        path.write_text(before)
    assert not is_priced(output, prices_key(model, catalogue, {"intervals": False}))
    assert is_priced(output, key())
    output.unlink()
    assert not is_priced(output, key()), "gone"


def test_a_damaged_record_costs_a_pricing_and_no_run(tmp_path: Path) -> None:
    output = tmp_path / "prices.csv"
    output.write_text("1.0")
    (tmp_path / "prices_priced.json").write_text("{")
    assert not is_priced(output, "0" * 32)
