"""What a run lost is said in words that a reader can act on."""

import pytest

from pricing.report.run_losses import image_losses, row_losses, run_losses


def told(run: dict) -> list[tuple[str, str]]:
    return [(loss.severity, loss.what) for loss in run_losses(run)]


def images(failed: dict[str, int], requested: int = 200, **more: object) -> dict[str, object]:
    return {"requested": requested, "present": requested - sum(failed.values()), "failed": failed, **more}


@pytest.mark.parametrize(
    "run",
    [
        {}, {"images": None, "catalogue": None, "submission": None}, {"images": images({}), "catalogue": {}},
        {"images": images({}, 0)}, {"images": images({"http_404": 0})},
        {"catalogue": {"train": {"rows": 9, "rejected": 0}, "test": {"rows": 0, "rejected": 0}, "ids_in_both": 3}},
    ],
)  # fmt: skip
def test_nothing_lost_is_nothing_said(run: dict) -> None:
    assert told(run) == []


def test_all_images_failed_is_a_warning_with_reasons_and_what_to_do() -> None:
    """200 of 200 failed, and the end of the run said nothing."""
    hint = "img.example.org could not be reached (dns): set images.proxy"
    lost = images({"dns": 150, "http_404": 50}, hosts_lost={"img.example.org": {"dns": 150}}, hint=hint)
    assert told({"images": lost}) == [
        ("warning", f"All 200 images failed (dns 150, http_404 50): prices rest on texts alone. Each link is in "
         f"missing_images.csv. What to do: {hint}."),
        ("warning", "img.example.org gave none of 150 images (dns 150)."),
    ]  # fmt: skip
    ((severity, what),) = told({"images": images({"timeout": 1}, 1)})
    assert severity == "warning"
    assert what.startswith("The only image failed (timeout 1): prices rest on texts alone.")


def test_the_only_host_is_not_a_second_line() -> None:
    lost = images({"dns": 200}, hosts_lost={"img.example.org": {"dns": 200}}, hint="set images.proxy.")
    ((_, what),) = told({"images": lost})
    assert what.endswith("What to do: set images.proxy.")
    assert len(told({"images": {**lost, "requested": 201}})) == 2


def test_a_few_dead_links_are_a_note() -> None:
    ((severity, what),) = told({"images": images({"http_404": 2, "truncated": 1}, 395)})
    assert severity == "note"
    assert what == "3 of 395 images failed (http_404 2, truncated 1). Each link is in missing_images.csv."
    assert told({"images": images({"http_404": 20})})[0][0] == "note", "a tenth"
    assert told({"images": images({"http_404": 21})})[0][0] == "warning", "more than a tenth"


@pytest.mark.parametrize(
    ("reason", "again"),
    [
        ("http_503", True),
        ("http_500", True),
        ("http_429", True),
        ("timeout", True),
        ("http_404", False),
        ("dns", False),
    ],
)
def test_what_may_pass_is_worth_another_run(reason: str, again: bool) -> None:
    assert ("Run again later" in told({"images": images({reason: 5})})[0][1]) is again


def test_many_reasons_and_hosts_are_counted_and_not_listed() -> None:
    failed = {f"http_{400 + number}": 10 - number for number in range(7)}
    hosts = {f"h{number}.example.org": {"dns": 9 - number} for number in range(6)}
    losses = image_losses(images(failed, hosts_lost=hosts), listed="")
    assert "(http_400 10, http_401 9, http_402 8, http_403 7, others 15)" in losses[0].what
    assert "missing_images.csv" not in losses[0].what
    assert [loss.what for loss in losses[1:]] == [
        "h0.example.org gave none of 9 images (dns 9).", "h1.example.org gave none of 8 images (dns 8).",
        "h2.example.org gave none of 7 images (dns 7).", "3 more hosts gave none of 15 images.",
    ]  # fmt: skip


def test_rows_to_price_that_are_not_in_the_submission_are_a_warning() -> None:
    """38 of 40 rows in submission.csv, exit 0, and no word."""
    counts = {"rows": 38, "rejected": 2, "rejected_reasons": {"sample_id is empty": 1, "duplicate id": 1}}
    assert told({"catalogue": {"test": counts}, "submission": {"rows": 38}}) == [
        ("warning", "38 of 40 rows to price are in submission.csv; 2 were left out (duplicate id 1, sample_id is empty "
         "1). See rejected.csv, correct them and run again."),
    ]  # fmt: skip
    one = {"test": {"rows": 1999, "rejected": 1}}
    assert told({"catalogue": one, "stage": "download"}) == [
        ("warning", "1 of 2,000 rows to price was left out. See rejected.csv, correct it and run again."),
    ]  # fmt: skip
    (loss,) = row_losses(one, prices="prices.csv", rejected="prices_rejected.csv")
    assert loss.what.startswith(
        "1,999 of 2,000 rows to price are in prices.csv; 1 was left out. See prices_rejected.csv"
    )


def test_rows_without_a_price_and_texts_that_were_cut_are_notes() -> None:
    run = {"catalogue": {"train": {"rows": 90, "unpriced": 10, "cut_texts": 1}, "test": {"rows": 5, "cut_texts": 2}}}
    assert told(run) == [
        ("note", "10 training rows have no price: nothing was learnt from them. See unpriced.csv for their prices."),
        ("note", "1 text of train was too long and cut."), ("note", "2 texts of test were too long and cut."),
    ]  # fmt: skip
    assert told({"catalogue": {"train": {"rows": 90, "unpriced": 0, "cut_texts": 0}}}) == []
    one = {"catalogue": {"train": {"rows": 90, "unpriced": 1}}}
    assert told(one)[0][1].endswith("nothing was learnt from it. See unpriced.csv for its price.")
    assert told({**one, "stage": "download"})[0][1].endswith("nothing was learnt from it."), "a stage prices nothing"


def test_values_that_could_not_be_read_are_a_note() -> None:
    read = {"number:rating": {"unread": 1, "commonest": {"soon": 1}}, "price": {"mark": ",", "example": "1,5 -> 1.5"}}
    told_of = told({"catalogue": {"train": {"rows": 90, "read": read}}})
    assert told_of == [
        ("note", "In train: 1 value of column rating is no number and counts as missing: 'soon' 1.")
    ]  # fmt: skip


def test_training_rows_left_out_weigh_by_their_share_and_warnings_come_first() -> None:
    run = {"catalogue": {"train": {"rows": 300, "rejected": 3}, "test": {"rows": 5, "rejected": 1}}}
    few, many = told(run), told({"catalogue": {"train": {"rows": 300, "rejected": 100}}})
    assert [severity for severity, _ in few] == ["warning", "note"]
    assert few[1][1] == "3 of 303 training rows were left out. See rejected.csv."
    assert many == [("warning", "100 of 400 training rows were left out. See rejected.csv.")]
