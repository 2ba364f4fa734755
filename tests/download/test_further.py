"""Products with several links: the first that can be had counts, and no further one is asked for before it must be."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from pricing.catalogue.reading import read_catalogue_file
from pricing.config.catalogue import CatalogueConfig, ImagesConfig
from pricing.config.columns import ColumnsConfig
from pricing.download.fetch import collect_images, ids_by_link
from pricing.download.images import Images
from pricing.download.lost_images import describe_download
from pricing.download.shards import download_shard, fetch_shard
from pricing.download.sources import ImageSource
from pricing.run.scoring import describe_new_images, fetch_images
from tests.download.fault_server import Fault, FaultServer, jpeg

CONFIG = ImagesConfig(side=32, allow_hosts=("127.0.0.1",), retries=1, backoff_base=0.001, backoff_max=0.002)
GONE, PAGE, DOWN = Fault("status", 404), Fault("body", body=b"<!DOCTYPE html>" * 9), Fault("status", 500)


def catalogue(folder: Path, fields: list[str]) -> Path:
    folder.mkdir()
    ids = [str(number) for number in range(len(fields))]
    pl.DataFrame({"sample_id": ids, "image_link": fields}).write_parquet(folder / "labelled.parquet")
    return folder


def collected(tables: Path, work: Path, source: ImageSource, out: Path) -> tuple[pl.DataFrame, dict]:
    out.mkdir()
    collect_images(tables, CONFIG, source.origin, None, work, source, out)
    return pl.read_parquet(out / "images.parquet"), json.loads((out / "summary.json").read_text())


def shop(server: FaultServer) -> list[str]:
    """Fields of a shop with dead links, in several writings; /shared.jpg is the last way out of two of them."""
    server.always = {"/a1": GONE, "/b1": PAGE, "/b2": GONE, "/c1": GONE, "/c2": DOWN, "/d1": GONE, "/e1": DOWN}
    link = server.url
    return [
        f"{link('/a1')}|{link('/a2')}|{link('/a3')}",
        f"{link('/b1')}\n{link('/b2')}\n{link('/shared')}",
        f"{link('/c1')}, {link('/c2')}",
        link("/d1"),
        json.dumps([link("/e1"), link("/shared")]),
        f"{link('/f1')};{link('/f2')}",
        link("/g1"),
    ]


def test_the_first_link_that_can_be_had_counts(tmp_path: Path) -> None:
    with FaultServer() as server:
        fields = shop(server)
        tables, work, web = catalogue(tmp_path / "tables", fields), tmp_path / "work", ImageSource.web()
        report = fetch_shard(fields, CONFIG, work, source=web)
        assert (report.requested, report.present, report.failed) == (7, 5, {"http_404": 2})
        table, summary = collected(tables, work, web, tmp_path / "out")
        assert summary == {"requested": 7, "present": 5, "failed": {"http_404": 2}}
        found = {row["image_link"]: row for row in table.to_dicts()}
        assert [found[field]["status"] for field in fields] == ["ok", "ok", "failed", "failed", "ok", "ok", "ok"]
        said = ["further link 2", "further link 3", "http_404", "http_404", "further link 2", None, None]
        assert [found[field]["reason"] for field in fields] == said
        # each image is that of its own link
        for field, path in zip(fields, ("/a2", "/shared", None, None, "/shared", "/f1", "/g1"), strict=True):
            alone = tmp_path / f"alone{fields.index(field)}"
            if path is not None:
                assert fetch_shard([server.url(path)], CONFIG, alone, source=web).present == 1
                assert len(list(alone.rglob(Path(found[field]["file"]).name))) == 1
        assert (tmp_path / "out" / "missing.csv").read_text().count("http_404") == 2
        assert all(path not in server.counts() for path in ("/a3", "/f2"))


def test_no_link_is_asked_for_twice_and_a_second_run_asks_for_what_may_pass_alone(tmp_path: Path) -> None:
    with FaultServer() as server:
        fields = shop(server)
        first = fetch_shard(fields, CONFIG, tmp_path, source=ImageSource.web())
        asked = server.counts()
        assert {path for path, count in asked.items() if count > 1} == {"/c2", "/e1"}, "those that were tried again"
        server.requests.clear()
        again = fetch_shard(fields, CONFIG, tmp_path, source=ImageSource.web())
        assert set(server.counts()) == {"/c2", "/e1"}
        assert (again.present, again.failed, again.state) == (first.present, first.failed, first.state)
        # a server that is well again gives the first link's image, and the state says that it is another one
        server.always.clear()
        better = fetch_shard(fields, CONFIG, tmp_path, source=ImageSource.web())
        assert better.present == 6
        assert better.state != first.state


def test_shards_give_what_one_gives_and_tell_of_fields(tmp_path: Path) -> None:
    with FaultServer() as server:
        tables, said, result = catalogue(tmp_path / "tables", shop(server)), [], None
        for shard in range(3):
            result = download_shard(
                tables, shard, 3, result, CONFIG, ImageSource.web(), tmp_path / "work", threads=1, say=said.append
            )
        assert result is not None
        assert (result["requested"], result["present"], result["failed"]) == (7, 5, {"http_404": 2})
        assert {line.split("/")[1].partition(",")[0] for line in said} == {"7"}
        one = download_shard(tables, 0, 1, None, CONFIG, ImageSource.web(), tmp_path / "one", threads=1)
        assert {**one, "state": ""} == {**result, "state": ""}
        shards, _ = collected(tables, tmp_path / "work", ImageSource.web(), tmp_path / "out")
        assert shards.equals(collected(tables, tmp_path / "one", ImageSource.web(), tmp_path / "whole")[0])


def test_a_host_that_gave_further_images_alone_is_not_lost(tmp_path: Path) -> None:
    with FaultServer() as dead, FaultServer() as alive:
        dead.gate = lambda path: GONE
        fields = [f"{dead.url(f'/{number}')}|{alive.url(f'/{number}').replace('127.0.0.1', 'localhost')}"
                  for number in range(3)]  # fmt: skip
        fields.append(dead.url("/alone"))
        config = CONFIG.model_copy(update={"allow_hosts": ("127.0.0.1", "localhost")})
        images = fetch_images(pl.DataFrame({"sample_id": ["1", "2", "3", "4"], "image_link": fields}), config,
                              ImageSource.web(), tmp_path)  # fmt: skip
        assert isinstance(images, Images)
        assert len(images.files()) == 3
        described = describe_new_images(images, config, ImageSource.web())
        assert (described["requested"], described["present"], described["failed"]) == (4, 3, {"http_404": 1})
        assert described["hosts_lost"] == {"127.0.0.1": {"http_404": 1}}
        assert described["fetched"] is not None
        again = describe_download(images.table.head(3), config, "web", tmp_path, {})
        assert again["hosts_lost"] == {}
        assert again["hint"] is None


@pytest.mark.parametrize("kind", ["mirror", "folder"])
def test_mirrors_and_folders_have_further_links_too(kind: str, tmp_path: Path) -> None:
    shop, backup = "https://shop.invalid/I", "https://backup.invalid/J"
    fields = [f"{shop}/a.jpg|{backup}/aa.jpg", f"{shop}/b.jpg\n{backup}/bb.jpg", f"{shop}/c.jpg;{shop}/d.jpg",
              f"{shop}/d.jpg"]  # fmt: skip
    tables, folder = catalogue(tmp_path / "tables", fields), tmp_path / "images"
    folder.mkdir()
    files = {"I/a.jpg": jpeg(1), "J/bb.jpg": jpeg(2), "I/d.jpg": jpeg(3)}
    for name, data in files.items():
        (folder / name.partition("/")[2]).write_bytes(data)
    with FaultServer(image=lambda path: files.get(path.lstrip("/"))) as server:
        source = ImageSource.folder(folder) if kind == "folder" else ImageSource.mirror(server.base)
        ids = ids_by_link(tables) if kind == "folder" else None
        report = fetch_shard(fields, CONFIG, tmp_path / "work", source=source, sample_ids=ids)
        assert (report.present, report.failed) == (4, {})
        table, _ = collected(tables, tmp_path / "work", source, tmp_path / "out")
        assert table.sort("image_link")["reason"].to_list() == [None, "further link 2", "further link 2", None]


def test_a_file_that_further_links_of_several_products_may_mean_is_not_taken(tmp_path: Path) -> None:
    fields = ["https://shop.invalid/1/a.jpg|https://shop.invalid/1/back.jpg",
              "https://shop.invalid/2/a2.jpg|https://shop.invalid/2/back.jpg"]  # fmt: skip
    tables, folder = catalogue(tmp_path / "tables", fields), tmp_path / "images"
    folder.mkdir()
    (folder / "back.jpg").write_bytes(jpeg())
    source, ids = ImageSource.folder(folder), ids_by_link(tables)
    # a shard of one product, which alone would have the name for itself
    report = fetch_shard(fields[:1], CONFIG, tmp_path / "work", source=source, sample_ids=ids)
    assert (report.present, report.failed) == (0, {"not_in_folder": 1})


def test_several_columns_of_links_come_below_each_other(tmp_path: Path) -> None:
    """Main image first; a list of several lines is one column's, and an empty column leaves none."""
    a, b, c = (f"https://shop.example/{name}.jpg" for name in "abc")
    table = pl.DataFrame({
        "sku": ["1", "2", "3", "4"], "name": ["red tea", "green tea", "black tea", "white tea"],
        "main": [a, "", a, ""], "more": [f'[\n  "{b}",\n  "{c}"\n]', b, None, " "],
    })  # fmt: skip
    table.write_csv(tmp_path / "new.csv")
    config = CatalogueConfig(columns=ColumnsConfig(id="sku", title="name", image=("main", "more")))
    frame = read_catalogue_file(tmp_path / "new.csv", labelled=False, config=config).frame
    with FaultServer() as server:
        server.always = {"/a.jpg": GONE, "/b.jpg": GONE}
        source = ImageSource.mirror(server.base)
        images = fetch_images(frame, CONFIG, source, tmp_path / "work")
    assert frame["image_link"].to_list()[1:] == [b, a, None]
    reasons = dict(images.table.select("image_link", "reason").iter_rows())
    assert [reasons[field] for field in frame["image_link"][:3]] == ["further link 3", "http_404", "http_404"]
