"""The HTTP service over real sockets: prices, bad products, limits, keys."""

import io
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pricing import Pricer
from pricing.errors import SchemaError
from pricing.serve.observing import JsonFormatter
from pricing.serve.serve_settings import ServeSettings
from pricing.serve.served_model import ServedModel
from tests.run.small_run import SmallRun
from tests.serve.conftest import Served

ServeWith = Callable[[ServeSettings], AbstractContextManager[Served]]
COLUMNS = ["price", "low_80", "high_80", "low_95", "high_95", "trust", "reason"]


@pytest.fixture(scope="module")
def expected(model_folder: Path, small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """What a Pricer says of the small run's products."""
    pricer = Pricer.load(model_folder, {"images.enabled": False}, tmp_path_factory.mktemp("artifacts"))
    return pricer.predict(small_run.frame, intervals=True, trust=True)


def ask(served: Served, products: list[Any], **more: Any) -> Any:
    answer = served.client.post("/price", json={"products": products, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_prices_are_the_pricers_to_the_last_bit(served: Served, small_run: SmallRun, expected: pl.DataFrame) -> None:
    answer = ask(served, small_run.frame.to_dicts())
    assert answer["model"] == served.holder.current.name
    found = pl.DataFrame(answer["prices"])
    assert found["id"].to_list() == expected["sample_id"].to_list()
    assert found.select(COLUMNS).equals(expected.select(COLUMNS))
    alone = ask(served, [small_run.frame.row(3, named=True)])["prices"][0]
    assert alone["price"] == expected["price"][3]


def test_requests_side_by_side_give_what_they_give_alone(
    served: Served, small_run: SmallRun, expected: pl.DataFrame
) -> None:
    products = small_run.frame.to_dicts()[:16]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda product: ask(served, [product])["prices"][0]["price"], products))
    assert found == expected["price"].to_list()[:16]


def test_a_bad_product_stands_in_its_place_among_good_ones(
    served: Served, small_run: SmallRun, expected: pl.DataFrame
) -> None:
    good = small_run.frame.to_dicts()[:3]
    products = [
        good[0], "no object", good[1], {"sample_id": "total"}, {"sample_id": 7, "catalog_content": {"a": 1}},
        {**good[2], "catalog_content": "x" * 6000}, good[0], good[2],
    ]  # fmt: skip
    prices = ask(served, products)["prices"]
    told = {place: price["error"] for place, price in enumerate(prices) if "error" in price}
    words = {1: "expected an object", 3: "it is a total", 4: "an object; write its values as columns",
             5: "at most 5,000 are read", 6: "duplicate id, first used in row 1"}  # fmt: skip
    assert set(told) == set(words)
    assert {place: word for place, word in words.items() if word not in told[place]} == {}
    assert [price["id"] for price in prices[:5]] == [good[0]["sample_id"], "#2", good[1]["sample_id"], "total", "7"]
    assert [prices[place]["price"] for place in (0, 2, 7)] == expected["price"].to_list()[:3]


def test_nothing_that_can_be_priced_is_an_answer_too(served: Served) -> None:
    prices = ask(served, [{"sample_id": "total"}, 1])["prices"]
    assert [price["id"] for price in prices] == ["total", "#2"]
    assert all("error" in price for price in prices)


def test_a_product_needs_no_id_and_an_unknown_column_is_named(served: Served) -> None:
    answer = ask(served, [{"catalog_content": "Item Name: Green Tea"}, {"catalog_content": "Oats", "colour": "red"}])
    assert [price["id"] for price in answer["prices"]] == ["#1", "#2"]
    assert all(price["price"] > 0 for price in answer["prices"])
    assert answer["unused_columns"] == ["colour"]


def test_comparables(served: Served, small_run: SmallRun) -> None:
    price = ask(served, small_run.frame.to_dicts()[:1], comparables=2)["prices"][0]
    assert len(price["comparables"]) == 2
    assert set(price["comparables"][0]) == {"id", "title", "price", "similarity"}
    similarity = [one["similarity"] for one in price["comparables"]]
    assert similarity == sorted(similarity, reverse=True)


def test_explanations_are_the_pricers_and_add_up(
    served: Served, small_run: SmallRun, model_folder: Path, tmp_path: Path
) -> None:
    products = small_run.frame.to_dicts()[:2]
    prices = ask(served, [products[0], 3, products[1]], explain=True)["prices"]
    pricer = Pricer.load(model_folder, {"images.enabled": False}, tmp_path)
    expected = pricer.explain(small_run.frame.head(2))
    columns = ["item", "log_contribution", "percent", "money"]
    for price in (prices[0], prices[2]):
        part = expected.filter(pl.col("sample_id") == price["id"])
        assert price["why"] == part.select(columns).to_dicts()
        assert (price["base"], price["explained_exactly"]) == (part["base"][0], part["exact"][0])
        added = sum(one["log_contribution"] for one in price["why"])
        assert added == pytest.approx(np.log(price["price"] / price["base"]), abs=1e-9)
    assert "why" not in ask(served, products)["prices"][0]


def test_a_model_that_cannot_explain_says_so(model_folder: Path) -> None:
    model = replace(ServedModel.load(model_folder, ServeSettings()), explainer=None)
    with pytest.raises(SchemaError, match="kept no rows to explain with"):
        model.price([{"catalog_content": "tea"}], explain=True)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ('{"products": []}', 422, "products: "),
        ('{"products": [{}], "comparables": 51}', 422, "comparables: "),
        ('{"products": [{}], "explain": 1}', 422, "explain: "),
        ('{"products": [{}], "currency": "EUR"}', 422, "currency: "),
        ('{"products": [', 422, "JSON"),
        (json.dumps({"products": [{}] * 51}), 413, "51 products; at most 50"),
        (json.dumps({"products": [{"a": "b" * 200_000}]}), 413, "larger than 200,000 bytes"),
    ],
)
def test_what_cannot_be_priced_is_refused_with_a_reason(served: Served, body: str, status: int, said: str) -> None:
    answer = served.client.post("/price", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(served: Served) -> None:
    parts = (b"x" * 50_000 for _ in range(1000))
    try:
        answer = served.client.post("/price/file", content=parts)
    except httpx.WriteError:
        return  # the server closed the connection while the client was still writing
    assert answer.status_code == 413


def test_another_type_is_refused(served: Served) -> None:
    """A page of another site can send text/plain to a loopback port without asking."""
    answer = served.client.post("/price", content='{"products": [{}]}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    assert served.client.post("/price/file", files={"file": b"a,b"}).status_code == 415


def test_a_csv_file_is_priced_in_place(served: Served, small_run: SmallRun, expected: pl.DataFrame) -> None:
    frame = small_run.frame
    rows = pl.concat([frame.head(2), frame.head(1), frame.slice(2)])
    answer = served.client.post("/price/file", content=rows.write_csv().encode(), headers={"Content-Type": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    found = pl.read_csv(io.BytesIO(answer.content))
    assert found["id"].to_list() == rows["sample_id"].to_list()
    assert "duplicate id" in found["error"][2]
    good = found.filter(pl.col("error").is_null())
    assert good.select(COLUMNS).equals(expected.select(COLUMNS))


def test_a_parquet_file_is_priced(served: Served, small_run: SmallRun, expected: pl.DataFrame) -> None:
    body = io.BytesIO()
    small_run.frame.write_parquet(body)
    answer = served.client.post("/price/file", content=body.getvalue())
    found = pl.read_parquet(io.BytesIO(answer.content))
    assert found.select(COLUMNS).equals(expected.select(COLUMNS))
    assert answer.headers["x-model"] == served.holder.current.name


def test_a_parquet_file_that_swells_is_refused(served: Served) -> None:
    """4 KB on the wire, 5 MB in memory."""
    body = io.BytesIO()
    pl.DataFrame({"sample_id": [str(number) for number in range(50)], "catalog_content": ["x" * 100_000] * 50}
                 ).write_parquet(body)  # fmt: skip
    answer = served.client.post("/price/file", content=body.getvalue())
    assert (answer.status_code, "are more than 4,000,000 bytes" in answer.text) == (413, True)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 422, "the file is empty"),
        (b"a,b\n1,2\n", 422, "missing columns sample_id"),
        (b"PAR1 and no more", 422, "is not a readable Parquet file"),
        (b"sample_id,catalog_content\n" + b"".join(b"%d,tea\n" % number for number in range(51)), 413, "more than 50"),
    ],
)
def test_a_file_that_cannot_be_priced_is_refused_before_the_first_price(
    served: Served, body: bytes, status: int, said: str
) -> None:
    answer = served.client.post("/price/file", content=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert "/tmp" not in answer.text


def test_formulas_are_escaped_in_files_where_the_operator_says_so(serve_with: ServeWith) -> None:
    body = b"sample_id,catalog_content\n=1+1,tea\n"
    with serve_with(ServeSettings(excel_safe=True, workers=1)) as served:
        assert pl.read_csv(served.client.post("/price/file", content=body).content)["id"].to_list() == ["'=1+1"]


def test_a_key_is_asked_for_where_there_is_one(serve_with: ServeWith) -> None:
    with serve_with(ServeSettings(key="open sesame", workers=1)) as served:
        client = served.client
        for headers in ({}, {"X-API-Key": "open"}, {b"X-API-Key": "\u00e9".encode()}):
            assert client.post("/price", json={"products": [{}]}, headers=headers).status_code == 401
            assert client.get("/model", headers=headers).status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get("/model", headers={"X-API-Key": "open sesame"}).status_code == 200
        assert [client.get(path).status_code for path in ("/health", "/ready", "/openapi.json")] == [200, 200, 200]


class Gate:
    """Holds predictions back until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.open = threading.Semaphore(0), threading.Event()
        price = ServedModel.price

        def held(model: ServedModel, *args: Any) -> Any:
            self.entered.release()
            assert self.open.wait(60)
            return price(model, *args)

        monkeypatch.setattr(ServedModel, "price", held)


def test_too_much_at_a_time_is_sent_away_and_not_forgotten(
    serve_with: ServeWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, product = Gate(monkeypatch), {"products": [{"catalog_content": "tea"}]}
    with serve_with(ServeSettings(workers=1, in_flight=2)) as served, ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(served.client.post, "/price", json=product) for _ in range(2)]
        assert gate.entered.acquire(timeout=60)
        while served.client.get("/ready").status_code != 503:
            pass  # the second one is on its way
        refused = served.client.post("/price", json=product)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert served.client.get("/health").status_code == 200
        gate.open.set()
        assert [one.result().status_code for one in waiting] == [200, 200]
        assert served.client.post("/price", json=product).status_code == 200


def test_work_that_takes_too_long_is_given_up_but_keeps_its_place(
    serve_with: ServeWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, product = Gate(monkeypatch), {"products": [{"catalog_content": "tea"}]}
    with serve_with(ServeSettings(workers=1, in_flight=1, seconds=0.3)) as served:
        answer = served.client.post("/price", json=product)
        assert (answer.status_code, "longer than 0.3 s" in answer.text) == (503, True)
        assert served.client.post("/price", json=product).status_code == 429
        gate.open.set()
        while served.client.get("/ready").status_code != 200:
            pass  # until the thread is done


def test_the_card_says_what_the_model_learnt_from(served: Served) -> None:
    card = served.client.get("/model").json()
    assert card["model"] == served.holder.current.name
    assert card["columns"] == {"id": ["sample_id"], "text": ["catalog_content"], "image": ["image_link"]}
    assert card["error"]["of"] == "out_of_fold"
    assert card["error"]["rows"] == card["learnt_from"]["rows"] > 50
    assert set(card["members"]) == {"ridge", "shifted"}
    assert card["images"] == "not fetched"


def test_a_runs_folder_tells_its_holdout(outputs: Path, served_members: None, model_folder: Path) -> None:
    run = model_folder.parent / "run"
    run.mkdir()
    (run / "model").symlink_to(model_folder)
    (run / "metrics.json").write_text((outputs / "metrics.json").read_text())
    (run / "run.json").write_text(json.dumps({"inputs": {"train": "/a/train.csv"}, "stages": [{"ended": 0.5}]}))
    card = ServedModel.load(run, ServeSettings()).card
    held = json.loads((outputs / "metrics.json").read_text())["holdout"]
    assert (card["error"]["of"], card["error"]["smape"]) == ("holdout", held["smape"])
    assert (card["learnt_from"]["file"], card["trained"]) == ("train.csv", "1970-01-01T00:00:00+00:00")


def test_the_description_has_examples_and_no_outside_page(served: Served) -> None:
    told = served.client.get("/openapi.json").json()
    assert {"/price", "/price/file", "/model", "/thumbnail", "/metrics", "/health", "/ready"} == set(told["paths"])
    schema = told["paths"]["/price"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    example = schema["examples"][0]
    assert len(ask(served, example["products"], comparables=example["comparables"])["prices"]) == 1
    assert {"429", "413", "422"} <= set(told["paths"]["/price"]["post"]["responses"])
    assert served.client.get("/docs").status_code == 404


def test_figures_for_prometheus(served: Served) -> None:
    def figures() -> dict[str, float]:
        text = served.client.get("/metrics").text
        return {f"{sample.name} {sorted(sample.labels.values())}": sample.value
                for family in text_string_to_metric_families(text) for sample in family.samples}  # fmt: skip

    served.client.get("/model")
    before = figures()
    ask(served, [{"catalog_content": "tea"}, 3])
    served.client.get("/nowhere/at/all")
    after = figures()
    for name, more in (
        ("pricing_products_total ['priced']", 1), ("pricing_products_total ['refused']", 1),
        ("pricing_requests_total ['/price', '200']", 1), ("pricing_requests_total ['404', 'other']", 1),
    ):  # fmt: skip
        assert after[name] - before.get(name, 0) == more, name
    assert after[f"pricing_model_info ['{served.holder.current.name}']"] == 1
    assert "pricing_in_flight []" in after


def test_a_request_is_known_by_its_id_and_its_products_stay_out_of_the_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "pricing.serve"):
        body = {"products": [{"catalog_content": "secret recipe"}]}
        answer = served.client.post("/price", json=body, headers={"X-Request-ID": "abc-1"})
        odd = served.client.get("/model", headers={"X-Request-ID": 'a" b'})
    assert answer.headers["x-request-id"] == "abc-1"
    assert odd.headers["x-request-id"] != 'a" b'
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    line = next(line for line in lines if line.get("request_id") == "abc-1")
    assert (line["path"], line["status"], line["level"]) == ("/price", 200, "info")
    assert "secret" not in caplog.text
