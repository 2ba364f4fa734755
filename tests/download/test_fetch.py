"""The download stage's output."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pricing.config.catalogue import ImagesConfig
from pricing.download.fetch import SCHEMA, catalogue_links, collect_images
from pricing.download.shards import download_shard, fetch_shard, shard_of
from pricing.download.sources import ImageSource
from tests.download.fault_server import Fault, FaultServer, jpeg

CONFIG = ImagesConfig(side=32, allow_hosts=("127.0.0.1",), retries=0)


def catalogue(folder: Path, labelled: list[str | None], unlabelled: list[str | None]) -> Path:
    folder.mkdir()
    for name, links in (("labelled", labelled), ("unlabelled", unlabelled)):
        frame = pl.DataFrame({"sample_id": [str(i) for i in range(len(links))], "image_link": links},
                             schema={"sample_id": pl.String, "image_link": pl.String})  # fmt: skip
        frame.write_parquet(folder / f"{name}.parquet")
    return folder


def collected(tables: Path, work: Path, source: ImageSource, out: Path) -> tuple[pl.DataFrame, dict]:
    out.mkdir()
    collect_images(tables, CONFIG, source.origin, None, work, source, out)
    assert sorted(file.name for file in out.iterdir()) == ["images.parquet", "missing.csv", "summary.json"]
    return pl.read_parquet(out / "images.parquet"), json.loads((out / "summary.json").read_text())


def test_each_distinct_link_has_one_row_that_says_what_became_of_it(tmp_path: Path) -> None:
    with FaultServer() as server:
        good, gone, later = (server.url(f"/{name}.jpg") for name in ("b", "a", "c"))
        server.always["/a.jpg"] = Fault("status", 404)
        tables = catalogue(tmp_path / "tables", [good, None, gone, good], [later, "", gone])
        links = catalogue_links(tables)
        assert links == sorted({good, gone, later})
        work = tmp_path / "work"
        fetch_shard([good, gone], CONFIG, work, source=ImageSource.web())
        table, summary = collected(tables, work, ImageSource.web(), tmp_path / "out")
        assert dict(table.schema) == SCHEMA
        assert table["image_link"].to_list() == links
        assert table["status"].to_list() == ["failed", "ok", "missing"]
        assert table["reason"].to_list() == ["http_404", None, "not_fetched"]
        assert summary == {"requested": 3, "present": 1, "failed": {"http_404": 1, "not_fetched": 1}}
        # never a path outside the work folder, and the file is the one described
        (row,) = table.filter(status="ok").to_dicts()
        assert not Path(row["file"]).is_absolute()
        assert (work / row["file"]).stat().st_size > 0
        assert (row["width"], row["height"]) == (32, 24)

        # the same state gives the same bytes, wherever it lies
        again = tmp_path / "again"
        again.mkdir()
        collect_images(tables, CONFIG, ImageSource.web().origin, None, work, ImageSource.web(), again)
        for name in ("images.parquet", "missing.csv", "summary.json"):
            assert (again / name).read_bytes() == (tmp_path / "out" / name).read_bytes()

        # an image that was deleted is not promised
        (work / row["file"]).unlink()
        _, summary = collected(tables, work, ImageSource.web(), tmp_path / "after")
        assert summary["failed"] == {"http_404": 1, "not_fetched": 1, "file_lost": 1}


def test_shards_one_after_the_other_give_what_one_gives(tmp_path: Path) -> None:
    with FaultServer() as server:
        server.always["/3.jpg"] = Fault("body", body=b"<html></html>" * 3)
        links = [server.url(f"/{index}.jpg") for index in range(10)]
        tables = catalogue(tmp_path / "tables", list(links), [])
        for shard in range(3):
            fetch_shard(shard_of(links, shard, 3), CONFIG, tmp_path / "shards", source=ImageSource.web())
        fetch_shard(links, CONFIG, tmp_path / "whole", source=ImageSource.web())
        one, _ = collected(tables, tmp_path / "shards", ImageSource.web(), tmp_path / "one")
        two, summary = collected(tables, tmp_path / "whole", ImageSource.web(), tmp_path / "two")
        assert one.equals(two)
        assert summary == {"requested": 10, "present": 9, "failed": {"not_an_image": 1}}


def test_a_folder_says_what_is_missing_even_where_the_web_had_it(tmp_path: Path) -> None:
    """The output follows from the source that was named, not from what an earlier run happened to fetch."""
    with FaultServer() as server:
        links = [server.url("/a.jpg"), server.url("/b.jpg")]
        tables = catalogue(tmp_path / "tables", list(links), [])
        work = tmp_path / "work"
        fetch_shard(links, CONFIG, work, source=ImageSource.web())
        folder = tmp_path / "images"
        folder.mkdir()
        (folder / "a.jpg").write_bytes(jpeg(9))
        source = ImageSource.folder(folder)
        fetch_shard(links, CONFIG, work, source=source)
        table, summary = collected(tables, work, source, tmp_path / "out")
        assert table["status"].to_list() == ["ok", "missing"]
        assert (tmp_path / "out" / "missing.csv").read_text() == f"image_link,reason\n{links[1]},not_in_folder\n"
        assert summary == {"requested": 2, "present": 1, "failed": {"not_in_folder": 1}}


def test_an_empty_catalogue(tmp_path: Path) -> None:
    tables = catalogue(tmp_path / "tables", [], [None])
    table, summary = collected(tables, tmp_path / "work", ImageSource.web(), tmp_path / "out")
    assert table.height == 0
    assert summary == {"requested": 0, "present": 0, "failed": {}}
    assert shard_of([], 0, 1) == []


@given(count=st.integers(0, 300), shards=st.integers(1, 50))
def test_shards_cover_every_link_once_and_are_of_equal_size(count: int, shards: int) -> None:
    links = [str(index) for index in range(count)]
    cut = [shard_of(links, shard, shards) for shard in range(shards)]
    assert sorted(link for shard in cut for link in shard) == sorted(links)
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


def test_real_images(real_rows: Path, tmp_path: Path) -> None:
    """Every image that came with the real rows is accepted."""
    files = sorted((real_rows / "images").iterdir())
    links = [f"https://example.invalid/I/{file.name}" for file in files[:150]]
    report = fetch_shard(links, CONFIG, tmp_path, source=ImageSource.folder(real_rows / "images"))
    assert report.failed == {}


def test_the_steps_of_a_download_take_turns_and_tell_how_far_all_are(tmp_path: Path) -> None:
    with FaultServer() as server:
        server.always["/3.jpg"] = Fault("status", 404)
        links = [server.url(f"/{index}.jpg") for index in range(10)]
        tables = catalogue(tmp_path / "tables", list(links[:6]), list(links[6:]))
        result, said = None, []
        for shard in range(3):
            result = download_shard(
                tables, shard, 3, result, CONFIG, ImageSource.web(), tmp_path / "work", threads=1, say=said.append
            )
        assert result is not None
        assert (result["requested"], result["present"], result["failed"]) == (10, 9, {"http_404": 1})
        assert [line.split(" ")[1].rstrip(",") for line in said][-1] == "10/10"
        again = download_shard(tables, 0, 1, None, CONFIG, ImageSource.web(), tmp_path / "work", threads=1)
        assert again == result
