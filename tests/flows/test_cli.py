"""The command as a person meets it: real processes, real files."""

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pricing.catalogue.reading import read_catalogue_file
from pricing.configuration import PricingConfig
from pricing.download.sources import ImageSource
from pricing.metrics.rounding import round_prices
from pricing.run.model import RunModel
from pricing.run.scoring import fetch_images
from pricing.sample.serving import serve_folder
from tests.ensemble.synthetic import make_members
from tests.members.networks.builders import write_image_encoder, write_text_encoder
from tests.store.test_permissions import expected, modes

SMALL = [
    "--set", "folds.n_splits=2", "--set", "members.xgboost.enabled=false", "--set", "members.catboost.enabled=false",
    "--set", "members.lightgbm.rounds=30", "--set", "ensemble.bootstrap=50",
    "--set", "report={dpi = 60, driver_rows = 0}",
    "--set", "members.multimodal={text = {trainable_layers = 1}, training = {epochs = 2, precision = 'bf16'}}",
    "--set", "tuning={trials = 2, n_splits = 2}",
]  # fmt: skip

UMASK = 0o027


def pricing(*arguments: str | Path, server: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command; without a server it must need none."""
    environment = os.environ | {"PREFECT_API_URL": server or "http://127.0.0.1:9/api", "COLUMNS": "200"}
    command = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=280, check=False, umask=UMASK
    )
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def test_bad_input_is_one_line_and_exit_2(tmp_path: Path) -> None:
    train = tmp_path / "train.csv"
    train.write_text("sample_id,catalog_content,image_link,price\n1,Item Name: tea,,free\n", encoding="utf-8")
    done = pricing("run", "--train", train, "--output", tmp_path / "out", check=False)
    assert done.returncode == 2
    assert "train.csv" in done.stderr
    assert "free" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [("run", "--train", "t.csv", "--output", "o", "--set", "folds.kindd=grouped"),
     ("why", "gbdt", "--artifacts", "absent"), ("report", "--run", "absent"),
     ("score", "--run", "absent", "--catalogue", "c.csv", "--output", "p.csv")],
)  # fmt: skip
def test_wrong_requests_exit_2_without_a_traceback(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = pricing(*arguments, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("pricing: ")
    assert "Traceback" not in done.stderr


def test_anybodys_predictions_become_a_priced_submission(tmp_path: Path) -> None:
    members, log_price = make_members(160, 2)
    table = pl.DataFrame({"sample_id": [f"p{i}" for i in range(160)], "a": np.exp(members[:, 0]),
                          "b": np.exp(members[:, 1])})  # fmt: skip
    table[:120].with_columns(price=pl.Series(np.exp(log_price[:120]))).write_csv(tmp_path / "oof.csv")
    table[120:].write_csv(tmp_path / "test.csv")
    bad = (tmp_path / "test.csv").read_text(encoding="utf-8").replace("\np121,", "\np121,-")
    (tmp_path / "test.csv").write_text(bad, encoding="utf-8")
    output = tmp_path / "out"
    done = pricing(
        "ensemble", "--oof", tmp_path / "oof.csv", "--test-predictions", tmp_path / "test.csv", "--output", output,
        "--intervals", "--price-column", "price", "--set", "ensemble.meta_learners=['ridge']",
        "--set", "ensemble.bootstrap=50", "--set", "ensemble.standalone_folds=3",
        "--on-bad-predictions", "clip",
    )  # fmt: skip
    assert "test.csv: column 'a': 1 predictions were not above 0" in done.stdout
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    assert f"nested out-of-fold SMAPE {metrics['stack']['oof_smape']:.2f}" in done.stdout
    assert set(metrics["models"]) == {"a", "b"}
    submission = pl.read_csv(output / "submission.csv")
    assert submission.columns == ["sample_id", "price"]
    assert submission["sample_id"].to_list() == table["sample_id"][120:].to_list()
    beside = pl.read_csv(output / "submission_intervals.csv")
    assert beside.columns == ["sample_id", "price", "low_80", "high_80", "low_95", "high_95"]
    assert beside.select("sample_id", "price").equals(submission)
    # and an analyst may read about them, though no run made them
    pricing("report", "--run", output)
    assert f"{metrics['stack']['oof_smape']:.2f}" in (output / "report.html").read_text(encoding="utf-8")
    assert "1 predictions were not above 0" in (output / "report.html").read_text(encoding="utf-8")
    assert (output / "plots" / "calibration.png").exists()


def test_a_catalogue_becomes_a_priced_submission(tmp_path: Path, prefect_server: str) -> None:
    output, artifacts = tmp_path / "out", tmp_path / "artifacts"
    encoder, eyes = write_text_encoder(tmp_path / "encoder"), write_image_encoder(tmp_path / "eyes")
    arguments = ["demo", "--rows", "120", "--output", output, "--artifacts", artifacts, "--intervals", *SMALL]
    arguments += ["--set", "features.spaces=['words', 'embedding']", "--set", "features.embedding.max_length=48"]
    arguments += ["--set", f"members.multimodal.image.name={eyes}", "--set", "resources.encoder_folds_beside=1"]
    arguments += ["--set", "resources.cores=3", "--set", "resources.trees_share=0.3"]
    arguments += [
        part
        for name in ("members.multimodal.text", "features.embedding")
        for part in ("--set", f"{name}.name={encoder}")
    ]
    done = pricing(*arguments, server=prefect_server)
    submission = (output / "submission.csv").read_bytes()
    run = json.loads((output / "run.json").read_text(encoding="utf-8"))
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    test = pl.read_csv(run["inputs"]["test"], infer_schema=False)
    table = pl.read_csv(output / "submission.csv", schema_overrides={"sample_id": pl.String})
    assert table.columns == ["sample_id", "predicted_price"]
    assert table["sample_id"].to_list() == test["sample_id"].to_list()
    assert (table["predicted_price"] > 0).all()
    assert set(metrics["models"]) == {"ridge", "lightgbm", "sparse_mlp", "multimodal"}
    assert metrics["holdout"]["smape_low"] <= metrics["holdout"]["smape"] <= metrics["holdout"]["smape_high"]
    assert metrics["floor"]["smape"] < metrics["holdout"]["smape"]
    assert "Search for settings" in (output / "report.html").read_text(encoding="utf-8")
    assert (output / "plots" / "search.png").exists()
    started = {stage["label"]: stage["started"] for stage in run["stages"]}
    # it reads no features and must not wait for them
    assert started["encode multimodal"] < started["neural sparse_mlp-0"]
    threads = {stage["label"]: stage["threads"] for stage in run["stages"] if stage["name"] in ("gbdt", "neural")}
    assert threads["gbdt lightgbm-1"] == threads["neural multimodal-1"] == 1, "the last fold takes the trees' cores"
    assert threads["neural multimodal-0"] == threads["neural sparse_mlp-1"] == 2
    network = run["networks"]["multimodal"]
    assert network["precision"] == "bf16"
    assert 0 < network["trainable_parameters"] <= network["parameters"]
    assert run["networks"]["sparse_mlp"]["precision"] == "fp32"

    price = table["predicted_price"]
    facts = {"rows": 40, "min": price.min(), "median": price.median(), "mean": price.mean(), "max": price.max()}
    assert run["submission"] == pytest.approx(facts)
    told = f"40 prices from {price.min():.2f} to {price.max():.2f}, median "
    # of two prices it may end with half a cent, which is shown rounded
    assert float(done.stdout.partition(told)[2].split()[0]) == pytest.approx(price.median(), abs=0.0051)
    for part in ("noise floor", "from the cache", told, "report.html"):
        assert part in done.stdout
    pricing("verify", "--artifacts", artifacts)
    for folder in (output, artifacts):  # whatever library wrote it: a service's user reads it, strangers do not
        assert modes(folder) == expected(UMASK)

    beside = (output / "submission_intervals.csv").read_bytes()
    ends = pl.read_csv(output / "submission_intervals.csv", schema_overrides={"sample_id": pl.String})
    assert ends.columns == ["sample_id", "predicted_price", "low_80", "high_80", "low_95", "high_95"]
    assert ends.select("sample_id", "predicted_price").equals(table)
    order = ("low_95", "low_80", "predicted_price", "high_80", "high_95")
    assert all((ends[a] <= ends[b]).all() for a, b in pairwise(order))
    covered = {level: figures["coverage"] for level, figures in metrics["intervals"].items()}
    assert covered["95"] >= covered["80"] > 40
    assert set(metrics["holdout"]["segments"]) == {"category", "brand_frequency", "image_there", "pack"}
    assert len(pl.read_parquet(output / "evaluation" / "comparables.parquet")) > 0
    # goods that are counted state how much is in them as those do that are weighed
    stated = pl.read_parquet(output / "evaluation" / "products.parquet").filter(pl.col("unit") == "piece")
    assert len(stated) > 0
    assert stated["amount"].is_not_null().all()

    # one text encoder reads for the network and for the comparables, and lies there once, beside the images' one
    assert len(list((output / "model" / "encoders").iterdir())) == 2
    held = pl.read_parquet(output / "evaluation" / "holdout.parquet")["sample_id"]
    assert len(held) > 0

    # the model folder alone prices the run's own test rows exactly as the submission did, in another process; it
    # fetches the images again, as the run did
    shutil.copytree(output / "model", tmp_path / "elsewhere")
    for folder in (output, artifacts / "store", artifacts / "work" / "images", encoder, eyes):
        shutil.rmtree(folder)
    images = Path(run["inputs"]["test"]).parent / "images"
    catalogue, prices = tmp_path / "new.csv", tmp_path / "prices.csv"
    score = ["score", "--run", tmp_path / "elsewhere", "--catalogue", catalogue, "--output", prices]
    score += ["--artifacts", tmp_path / "other"]
    with serve_folder(images) as address:
        test.with_columns(pl.col("image_link").str.replace(r"^.*/", f"{address}/")).write_csv(catalogue)
        done = pricing(*score, "--allow-host", "127.0.0.1", "--intervals")
    assert prices.read_bytes() == submission
    assert (tmp_path / "prices_intervals.csv").read_bytes() == beside
    assert not (tmp_path / "prices_comparables.csv").exists()
    gone = check_missing_are_counted(done.stdout, test, images)

    check_rows_alone(tmp_path / "elsewhere", catalogue, images, tmp_path / "work", table["predicted_price"].to_list())

    # what fails is counted, and costs no other row its price
    (images / gone).unlink()
    # and neither do rows that are no products, once it is asked to go on
    with catalogue.open("a", encoding="utf-8") as file:
        file.write("sample_id,catalog_content,image_link\n,,\n,,\n")
    more = ["--images", images, "--price-column", "price", "--comparables", "3"]
    before = prices.read_bytes()
    refused = pricing(*score, *more, check=False)
    assert refused.returncode == 2
    assert "it is the header again" in refused.stderr
    assert "--on-bad-rows quarantine" in refused.stderr
    assert prices.read_bytes() == before
    done = pricing(*score, *more, "--on-bad-rows", "quarantine")
    assert f"{len(test)} of {len(test) + 1} rows to price are in prices.csv; 1 was left out (the header again 1)" in (
        done.stdout
    )
    assert "2 empty rows skipped" in done.stdout
    assert pl.read_csv(tmp_path / "prices_rejected.csv")["sample_id"].to_list() == ["sample_id"]
    check_missing_are_counted(done.stdout, test, images)
    again = pl.read_csv(prices, infer_schema=False)
    without = test["image_link"].str.ends_with(gone)
    first = pl.read_csv(submission, infer_schema=False).rename({"predicted_price": "price"})
    assert again.filter(~without).equals(first.filter(~without))
    check_comparables(tmp_path / "prices_comparables.csv", pl.read_csv(run["inputs"]["train"]), test, 3, held)


def check_rows_alone(model: Path, catalogue: Path, images: Path, work: Path, written: list[float]) -> None:
    """Unrounded prices and intervals have the same bits for rows in files of 1, 2, 31, 33 and all rows; rounded
    by the model's own decimals, they are the submission's."""
    frame = read_catalogue_file(catalogue, labelled=False).frame
    config = PricingConfig.model_validate(json.loads((model / "config.json").read_text(encoding="utf-8")))
    fetched, run = fetch_images(frame, config.images, ImageSource.folder(images), work), RunModel.load(model)
    whole, *parts = (
        (start, run.predict(frame[start : start + size], fetched))
        for start, size in ((0, len(frame)), (3, 1), (5, 2), (6, 31), (2, 33))
    )
    for start, part in parts:
        rows = slice(start, start + len(part.price))
        assert part.price.tobytes() == whole[1].price[rows].tobytes()
        for name, ends in part.intervals.items():
            assert ends.tobytes() == whole[1].intervals[name][rows].tobytes()
    assert round_prices(whole[1].price, whole[1].decimals).cast(pl.Float64).to_list() == written


def check_missing_are_counted(told: str, priced: pl.DataFrame, images: Path) -> str:
    """The links to no whole image are counted; returns the name of an image that is whole."""
    whole = {}
    for path in images.iterdir():
        try:
            with Image.open(path) as image:
                image.load()
                whole[path.name] = min(image.size) > 1
        except OSError:
            whole[path.name] = False
    names = [link.rsplit("/", 1)[-1] for link in priced["image_link"].drop_nulls().unique(maintain_order=True)]
    missing = sum(not whole.get(name, False) for name in names)
    assert missing > 0
    assert f": {missing} of {len(names)} images failed (" in told
    return next(name for name in names if whole.get(name))


def check_comparables(path: Path, train: pl.DataFrame, priced: pl.DataFrame, count: int, held: pl.Series) -> None:
    """Every priced product has its nearest labelled ones, under the names and prices of the catalogue's own file; no
    hold-out row is among them, as this run has no refit."""
    found = pl.read_csv(path, schema_overrides={"sample_id": pl.String, "comparable": pl.String})
    assert found.columns == ["sample_id", "rank", "comparable", "title", "price", "amount", "unit", "similarity"]
    assert found["sample_id"].unique(maintain_order=True).to_list() == priced["sample_id"].to_list()
    for own in found.partition_by("sample_id"):
        assert own["rank"].to_list() == list(range(1, count + 1))
        assert own["comparable"].n_unique() == count
        assert own["similarity"].is_sorted(descending=True)
    assert not found["comparable"].is_in(held.to_list()).any()
    assert found["similarity"].is_between(0, 1 + 1e-6).all()
    known = found.join(train.with_columns(pl.col("sample_id").cast(pl.String)), left_on="comparable",
                       right_on="sample_id", how="left", maintain_order="left")  # fmt: skip
    assert known["price"].to_list() == known["price_right"].to_list()
    assert all(
        text.startswith(f"Item Name: {title}") for title, text in known.select("title", "catalog_content").rows()
    )
    assert known["amount"].drop_nulls().gt(0).all()
