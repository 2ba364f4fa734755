"""What a run leaves: the cached step, and what is added in the user's folder."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pricing.configuration import load_config
from pricing.download.images import Images
from pricing.errors import InputError
from pricing.report.page import rebuild_report
from pricing.run import model as run_model
from pricing.run.finish import finish_run
from pricing.run.model import RunModel
from pricing.run.model_folder import read_model_record
from pricing.run.stage_records import describe_networks
from pricing.run.thumbnails import THUMBNAILS
from tests.run.small_run import MEMBERS, REPORT, SmallRun

RECORD = {
    "inputs": {"train": "train.csv", "test": "test.csv"}, "networks": {},
    "stages": [{"name": "gbdt", "label": "gbdt shifted-0", "stage": "gbdt", "lane": "trees", "seconds": 1.5,
                "cached": False, "started": 0.0, "ended": 1.5, "key": "0" * 32, "threads": 1, "peak_rss": 1}],
    "catalogue": {"train": {"rows": 110}, "test": {"rows": 40}},
    "images": {"requested": 150, "present": 75, "failed": {"http_404": 75}},
}  # fmt: skip


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_same_input_same_bytes(small_run: SmallRun, outputs: Path, tmp_path: Path) -> None:
    """However the members' dictionary is ordered: what asked for them first must change nothing."""
    turned = {name: dict(reversed(made.items())) for name, made in reversed(small_run.inputs["members"].items())}
    assert bytes_of(small_run.write(tmp_path / "again", members=turned)) == bytes_of(outputs)


def test_everything_that_others_read_is_there(small_run: SmallRun, outputs: Path) -> None:
    left = set(bytes_of(outputs))
    assert {"metrics.json", "submission.csv", "submission_intervals.csv", "missing_images.csv", "model/model.json",
            "evaluation/products.parquet", "plots/predictions.png", "parts/plots/predictions.png"} <= left  # fmt: skip
    assert not left & {"run.json", "report.html", "model/config.json", "rejected.csv", "unpriced.csv"}
    record = json.loads((outputs / "model" / "model.json").read_text())
    folds = ["fold_0", "fold_1", "fold_2", "refit"]
    assert record["members"] == {"ridge": folds, "shifted": folds}
    assert record["price_features"] == folds
    metrics = json.loads((outputs / "metrics.json").read_text())
    assert set(metrics["models"]) == {"ridge", "shifted"}
    assert metrics["holdout"]["segments"]["pack"]
    assert metrics["holdout"]["latest"]["since"] == "2025-11-01"
    assert metrics["trust"] == json.loads((outputs / "model" / "trust.json").read_text())
    assert {"model/drift/reference.json", "model/drift/values.parquet"} <= left
    assert metrics["rounding"]["decimals"] == record["decimals"] == 2
    with (outputs / "submission.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["sample_id"] for row in csv.DictReader(stream)] == small_run.frame["sample_id"].to_list()
    # small images of the worst errors and of the products that they are like
    shown = {path.stem for path in (outputs / "evaluation" / "images").iterdir()}
    similar = pl.read_parquet(outputs / "evaluation" / "comparables.parquet")
    assert shown
    assert shown <= {*similar["sample_id"], *similar["comparable_id"]}


def test_importances_say_in_words_what_each_feature_is(small_run: SmallRun, tmp_path: Path) -> None:
    """As the schema has them, price features and single terms too; what a member made for itself has no words."""
    made = Path(shutil.copytree(small_run.inputs["members"]["shifted"]["fold_0"], tmp_path / "member"))
    features = ["price_words_best", "ipq_pack", "tfidf_0", "its own"]
    pl.DataFrame({"feature": features, "importance": [0.4, 0.3, 0.2, 0.1]}).write_parquet(made / "importance.parquet")
    members = {"ridge": small_run.inputs["members"]["ridge"], "shifted": {"fold_0": made}}
    table = pl.read_parquet(small_run.write(tmp_path / "out", members=members) / "evaluation" / "importance.parquet")
    assert table["feature"].to_list() == features
    term = json.loads((small_run.inputs["features"] / "engineer" / "terms.json").read_text())["words"][0]
    assert table["words"].to_list() == [
        "what the best comparable costs, moved to this amount (compared by words)",
        "units in the pack", f'how much the text says "{term}"', "",
    ]  # fmt: skip


def test_the_currency_and_the_marks_of_numbers_go_with_the_model(
    small_run: SmallRun, outputs: Path, tmp_path: Path
) -> None:
    catalogue = Path(shutil.copytree(small_run.inputs["catalogue"], tmp_path / "catalogue"))
    summary = json.loads((catalogue / "summary.json").read_text())
    summary["train"]["marks"] = {"number:rating": ","}
    (catalogue / "summary.json").write_text(json.dumps(summary | {"currency": "EUR"}))
    out = small_run.write(tmp_path / "out", catalogue=catalogue)
    record, plain = read_model_record(out / "model"), read_model_record(outputs / "model")
    assert (record.currency, record.marks) == ("EUR", {"number:rating": ","})
    assert (plain.currency, plain.marks) == ("", {})
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics.pop("currency") == "EUR"
    assert metrics == json.loads((outputs / "metrics.json").read_text())
    assert (out / "submission.csv").read_bytes() == (outputs / "submission.csv").read_bytes()


def test_trust_is_fitted_out_of_fold_and_reported_on_the_hold_out(small_run: SmallRun, outputs: Path) -> None:
    metrics = json.loads((outputs / "metrics.json").read_text())
    oof, holdout = (pl.read_parquet(small_run.inputs["ensemble"] / f"{name}.parquet") for name in ("oof", "holdout"))
    rule, table = metrics["trust"], metrics["holdout"]["trust"]
    assert rule["rows"] == oof.height
    smape = 200 * (pl.col("price") - pl.col("stack")).abs() / (pl.col("price") + pl.col("stack"))
    assert rule["mean"] == pytest.approx(oof.select(smape.mean()).item())
    nearest = []
    for fold in range(3):
        found = pl.read_parquet(small_run.inputs["price_features"][f"fold_{fold}"] / "labelled.parquet")
        own = found.join(oof.filter(pl.col("fold") == fold), on="sample_id", how="semi")
        nearest.append(own.select(1 - pl.mean_horizontal(pl.col("^price_[a-z]+_similarity$").cast(pl.Float64))))
    assert rule["distance"]["mean"] == pytest.approx(pl.concat(nearest).to_series().mean())
    # the hold-out's own comparables: the nearest products that the first fold learnt from
    price = pl.read_parquet(small_run.inputs["price_features"]["fold_0"] / "labelled.parquet")
    spaces = [name for name in price.columns if re.fullmatch("price_[a-z]+_similarity", name)]
    near = price.select("sample_id", near=pl.mean_horizontal(pl.col(spaces).cast(pl.Float64)))
    rows = holdout.join(near, on="sample_id", how="left", maintain_order="left").with_columns(
        smape=smape, expected=rule["mean"] + rule["width"]["slope"] * ((pl.col("high_80") / pl.col("low_80")).log()
        - rule["width"]["mean"]) + rule["distance"]["slope"] * (1 - pl.col("near") - rule["distance"]["mean"]),
        width=(pl.col("high_80") / pl.col("low_80")).log(), distance=1 - pl.col("near"),
    )  # fmt: skip
    far, beyond = (pl.any_horizontal(pl.col(name) > rule[name][worst] for name in ("width", "distance"))
                   for worst in ("far", "beyond"))  # fmt: skip
    low, fair = beyond | (pl.col("expected") >= rule["low"]), far | (pl.col("expected") > rule["high"])
    level = pl.when(low).then(pl.lit("low")).when(fair).then(pl.lit("fair")).otherwise(pl.lit("high"))
    rows = rows.with_columns(trust=level)
    assert [row["trust"] for row in table] == ["high", "fair", "low"]
    for row in table:
        of = rows.filter(pl.col("trust") == row["trust"])
        assert row["rows"] == of.height
        assert row["smape"] == (pytest.approx(of["smape"].mean()) if of.height else None)


def test_the_test_rows_are_judged_as_the_model_judges_them(
    small_run: SmallRun, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run reads tables of its steps, and scoring the texts: both have to come to the same words."""
    monkeypatch.setattr(run_model, "member_classes", lambda: MEMBERS)
    table = pl.read_parquet(small_run.inputs["images"] / "images.parquet")
    images = Images(table, small_run.inputs["image_folder"])
    scored = RunModel.load(outputs / "model", 1).predict(small_run.frame, images, drift=True)
    written = pl.read_csv(outputs / "submission_trust.csv")
    assert written.columns == ["sample_id", "trust", "reason"]
    assert written["sample_id"].equals(small_run.frame["sample_id"])
    assert written.drop("sample_id").equals(scored.trust)
    drift = json.loads((outputs / "submission_drift.json").read_text())
    assert scored.drift is not None
    assert drift["rows"] == small_run.frame.height
    assert drift["nearest"].pop("mean") == pytest.approx(scored.drift["nearest"].pop("mean"))
    assert drift == scored.drift


def test_rows_without_a_price_are_not_among_those_judged(small_run: SmallRun, tmp_path: Path) -> None:
    catalogue = Path(shutil.copytree(small_run.inputs["catalogue"], tmp_path / "catalogue"))
    small_run.frame.tail(4).select("sample_id").write_parquet(catalogue / "unpriced.parquet")
    out = small_run.write(tmp_path / "out", catalogue=catalogue)
    judged = pl.read_csv(out / "submission_trust.csv")["sample_id"]
    assert judged.equals(pl.read_csv(out / "submission.csv")["sample_id"])
    assert judged.equals(small_run.frame["sample_id"][:-4])
    assert json.loads((out / "submission_drift.json").read_text())["rows"] == len(judged)


def test_the_refit_comes_last_and_folds_are_in_the_order_of_their_numbers(small_run: SmallRun, tmp_path: Path) -> None:
    """Prices are averaged in this order, and a sum in another order has another last bit."""
    made = small_run.inputs["members"]["ridge"]
    many = {"refit": made["refit"], **{f"fold_{number}": made["fold_0"] for number in (11, 2, 10, 1, 0)}}
    out = small_run.write(tmp_path / "out", members={"ridge": many})
    record = json.loads((out / "model" / "model.json").read_text())
    assert record["members"]["ridge"] == ["fold_0", "fold_1", "fold_2", "fold_10", "fold_11", "refit"]


def test_a_run_without_test_file_and_images(small_run: SmallRun, tmp_path: Path) -> None:
    inputs = dict(small_run.inputs)
    for name in ("catalogue", "ensemble"):
        inputs[name] = Path(shutil.copytree(inputs[name], tmp_path / name))
    summary = json.loads((inputs["catalogue"] / "summary.json").read_text())
    summary["test"]["rows"] = 0
    for path in (inputs["catalogue"] / "unlabelled.parquet", inputs["ensemble"] / "test.parquet"):
        pl.read_parquet(path).head(0).write_parquet(path)
    (inputs["catalogue"] / "summary.json").write_text(json.dumps(summary))
    out = small_run.write(tmp_path / "without", **{**inputs, "images": None})
    assert not [*out.glob("submission*")]
    assert not (out / "missing_images.csv").exists()
    assert not (out / "evaluation" / "images").exists()
    assert not (out / "model" / THUMBNAILS).exists()
    assert pl.read_parquet(out / "evaluation" / "products.parquet")["image"].null_count() == 110
    # a file of which every row was left out is a file all the same
    summary["test"]["rejected"] = 3
    (inputs["catalogue"] / "summary.json").write_text(json.dumps(summary))
    report = REPORT.model_copy(update={"thumbnails": False})
    out = small_run.write(tmp_path / "rejected", **{**inputs, "report": report})
    assert not (out / "model" / THUMBNAILS).exists()
    assert (out / "submission.csv").read_text() == "sample_id,predicted_price\n"
    assert not (out / "submission_trust.csv").exists()


def test_what_belongs_to_one_run_is_added_in_the_users_folder(outputs: Path, tmp_path: Path) -> None:
    config, output = load_config("demo"), tmp_path / "out"
    made = finish_run(outputs, output, config, RECORD, {"trees": 1, "networks": 1})
    run = json.loads((output / "run.json").read_text())
    assert run == made["run"]
    assert json.loads((output / "metrics.json").read_text()) == made["metrics"]
    assert run["threads"] == {"trees": 1, "networks": 1}
    assert run["stages"] == RECORD["stages"]
    assert run["submission"]["rows"] == 40
    assert run["unpriced"] is None
    assert set(run["hashes"]) == {"catalogue", "ensemble"}
    assert {"polars", "numpy", "lightgbm", "torch", "prefect", "python"} <= set(run["versions"])
    assert json.loads((output / "model" / "config.json").read_text()) == run["config"] == config.model_dump(mode="json")
    added = {"run.json", "report.html", "model/config.json"}
    left, kept = bytes_of(output), bytes_of(outputs)
    assert set(left) == added | {name for name in kept if not name.startswith(("parts/", "artifact.json"))}
    assert all(left[name] == kept[name] for name in set(left) - added)
    page = (output / "report.html").read_text()
    assert "Trust in single prices" in page
    # of under twenty products no figure is shown
    shown = [row["smape"] for row in made["metrics"]["holdout"]["trust"] if row["rows"] >= 20]
    assert ("Here the error does not fall with trust:" in page) == (shown != sorted(shown))
    assert f"Trust is high where at most {made['metrics']['trust']['high']:.1f} is expected" in page
    assert "the latest 20 %, from 2025-11-01 on (3 rows without a time are learnt from)" in page
    assert page.count("data:image/png") == len(list((outputs / "parts" / "plots").iterdir()))
    # and again, as `pricing report` does it
    (output / "report.html").unlink()
    (output / "plots" / "predictions.png").unlink()
    run["config"]["report"] = {"dpi": 50, "worst": 3}
    (output / "run.json").write_text(json.dumps(run))
    assert rebuild_report(output) == output / "report.html"
    assert (output / "plots" / "predictions.png").read_bytes() == kept["plots/predictions.png"]
    assert (output / "report.html").read_text().count("data:image/png") == page.count("data:image/png")


def test_a_folder_of_the_users_is_refused_and_a_stage_has_no_report(outputs: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match="nothing was touched"):
        finish_run(outputs, tmp_path, load_config("demo"), RECORD, {})
    with pytest.raises(InputError, match="is no run folder"):
        rebuild_report(tmp_path)
    (tmp_path / "run.json").write_text('{"stage": "gbdt"}')
    with pytest.raises(InputError, match="holds the stage gbdt alone"):
        rebuild_report(tmp_path)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([{"member": "trees"}], None),
        ([{"precision": "fp32", "parameters": 7}, {"precision": "bf16", "parameters": 9, "lora_share": 0.5}],
         {"precision": "bf16, fp32", "parameters": 9, "trainable_parameters": None, "lora_share": 0.5}),
    ],
)  # fmt: skip
def test_networks_are_described(tmp_path: Path, records: list[dict[str, Any]], expected: dict[str, Any] | None) -> None:
    for number, record in enumerate(records):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "member.json").write_text(json.dumps(record))
    found = describe_networks({"m": {f"fold_{number}": tmp_path / str(number) for number in range(len(records))}})
    assert found == ({} if expected is None else {"m": expected})
