"""Which file of a folder is taken for which link."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.config.catalogue import ImagesConfig
from pricing.download.failures import ImageFailure
from pricing.download.fetch import collect_images, ids_by_link
from pricing.download.folder_images import FolderImages
from pricing.download.lost_images import describe_download
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from tests.download.fault_server import jpeg

CONFIG = ImagesConfig(side=32)
SHOP = "https://shop.example/I"


def found(folder: Path, rows: dict[str, str | list[str]], files: list[str]) -> dict[str, str | None]:
    """By link, the file that is taken, or None; the files are made first."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg())
    images = FolderImages(folder, {link: [ids] if isinstance(ids, str) else ids for link, ids in rows.items()})
    taken = {}
    for link in rows:
        try:
            taken[link] = images.file_for(link).relative_to(folder).as_posix()
        except ImageFailure as failure:
            taken[link] = None if failure.reason == "not_in_folder" else failure.reason
    return taken


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "17.jpg", "17.JPG", "17.jpeg", "17.PNG", "17.webp", "17.avif", "a.png", "I/a.jpg",
     "shop.example/I/a.jpg"],
)  # fmt: skip
def test_a_image_is_found_by_its_link_or_its_row(name: str, tmp_path: Path) -> None:
    assert found(tmp_path, {f"{SHOP}/a.jpg": "17"}, [name, "18.jpg", "other.jpg"]) == {f"{SHOP}/a.jpg": name}


@pytest.mark.parametrize("name", ["17", "17.txt", "17.jpg.part", "017.jpg", "A.jpg", "1.7.jpg", "a.jpg.bak", ".jpg"])
def test_other_files_are_not_taken_for_it(name: str, tmp_path: Path) -> None:
    assert found(tmp_path, {f"{SHOP}/a.jpg": "17"}, [name]) == {f"{SHOP}/a.jpg": None}


@pytest.mark.parametrize(
    ("files", "said"),
    [([], "it holds no files"), (["train/17.jpg"], "it holds folders only; give the one"), (["8.jpg"], "1 file, such")],
)
def test_what_the_folder_holds_is_said(files: list[str], said: str, tmp_path: Path) -> None:
    link = f"{SHOP}/a.jpg"
    found(tmp_path, {link: "17"}, files)
    with pytest.raises(ImageFailure, match=said):
        FolderImages(tmp_path, {link: ["17"]}).file_for(link)


@pytest.mark.parametrize(
    ("link", "name"),
    [
        (f"{SHOP}/my%20photo%2B.jpg", "my photo+.jpg"), (f"{SHOP}/my%20photo.jpg", "my%20photo.jpg"),
        (f"{SHOP}/a%CC%88.jpg", "\u00e4.jpg"), (f"{SHOP}/12345?fmt=jpg", "12345.jpg"), ("a.jpg", "a.jpg"),
        ("images/a.jpg", "images/a.jpg"), ("C:\\shop\\a.jpg", "a.jpg"), (f"{SHOP}/a.jpg|{SHOP}/b.jpg", "a.jpg"),
        ("//shop.example/I/a.jpg", "a.jpg"), (f'["{SHOP}/a.jpg"]', "a.jpg"), (f"{SHOP}/a.jpg?w=1&amp;h=2", "a.jpg"),
        (f"{SHOP}/a.JPG", "a.JPG"), (f"{SHOP}/a.JPG", "a.jpg"),
    ],
)  # fmt: skip
def test_links_in_other_writings(link: str, name: str, tmp_path: Path) -> None:
    assert found(tmp_path, {link: []}, [name]) == {link: name}


def test_different_links_never_share_a_file_without_a_word(tmp_path: Path) -> None:
    """Three products whose links end alike; by folders or sample ids they can be told apart."""
    links = {f"https://shop.example/products/540/0{number}/front_en.3.400.jpg": str(number) for number in (4, 5, 6)}
    shared = "front_en.3.400.jpg"
    assert set(found(tmp_path, {**links}, [shared]).values()) == {"ambiguous_file_name"}
    told = found(tmp_path, {**links}, ["5.jpg", f"540/04/{shared}"])
    assert list(told.values()) == [f"540/04/{shared}", "5.jpg", "ambiguous_file_name"]


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (f"{SHOP}/a.jpg", "http://shop.example/I/a.jpg", False),
        (f"{SHOP}/a.jpg", f"{SHOP}/a.jpg?w=300", False),
        (f"{SHOP}/a%20.jpg", f"{SHOP}/a .jpg", False),
        (f"{SHOP}/a.jpg", f"{SHOP}/a.jpg|{SHOP}/b.jpg", False),
        (f"{SHOP}/a.jpg", "https://other.example/I/a.jpg", True),
        (f"{SHOP}/show?id=1", f"{SHOP}/show?id=2", True),
        (f"{SHOP}/1/a.jpg", f"{SHOP}/2/a.jpg", True),
    ],
)
def test_writings_of_one_link_may_share_a_file(first: str, second: str, shared: bool, tmp_path: Path) -> None:
    taken = found(tmp_path, {first: [], second: []}, ["a.jpg", "a .jpg", "show.jpg"])
    assert ("ambiguous_file_name" in taken.values()) == shared
    assert None not in taken.values()


def test_an_id_that_two_rows_have_names_no_image(tmp_path: Path) -> None:
    """Ids are unique in a file, not over train and test."""
    taken = found(tmp_path, {f"{SHOP}/a.jpg": ["1", "2"], f"{SHOP}/b.jpg": "1"}, ["1.jpg", "2.jpg"])
    assert list(taken.values()) == ["2.jpg", "ambiguous_file_name"]


@given(st.text(max_size=30) | st.sampled_from(["../secret", "/etc/passwd", "..", "a\0b", "x/../../secret", "C:secret"]))
@settings(max_examples=60)
def test_no_link_and_no_id_reaches_outside_the_folder(text: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        outside, folder = Path(place), Path(place, "images")
        (folder / "deep").mkdir(parents=True)
        (folder / "inside.jpg").write_bytes(jpeg())
        for name in ("secret", "secret.jpg"):
            (outside / name).write_bytes(jpeg(1))
        links = {f"{SHOP}/{text}": [text], text: [text], f"{SHOP}/%2E%2E%2Fsecret.jpg": ["../secret"]}
        images = FolderImages(folder, links)
        for link in links:
            try:
                file = images.file_for(link)
            except ImageFailure:
                continue
            assert file.resolve().is_relative_to(folder.resolve())


def test_the_download_stage_says_what_was_looked_for(tmp_path: Path) -> None:
    rows = pl.read_csv(Path(__file__).parent / "cases" / "images_by_id.csv", schema_overrides={"sample_id": pl.String})
    tables, folder, out = (tmp_path / name for name in ("tables", "images", "out"))
    for path in (tables, folder, out):
        path.mkdir()
    rows.write_parquet(tables / "labelled.parquet")
    for index, name in enumerate(["1.jpg", "2.jpg", "3.jpg", "front_en.3.400.jpg"]):
        (folder / name).write_bytes(jpeg(index))
    source, ids = ImageSource.folder(folder), ids_by_link(tables)
    assert list(ids.values()) == [["1"], ["2"], ["3"], ["4"], ["5"], ["6"]]
    half = list(ids)[:4]
    # a shard judges by all links of the catalogue: alone, the fourth would have the shared name for itself
    report = fetch_shard(half, CONFIG, tmp_path / "work", source=source, sample_ids=ids)
    assert (report.present, report.failed) == (3, {"ambiguous_file_name": 1})
    fetch_shard(list(ids)[4:], CONFIG, tmp_path / "work", source=source, sample_ids=ids)
    collect_images(tables, CONFIG, source.origin, None, tmp_path / "work", source, out)
    summary = json.loads((out / "summary.json").read_text())
    assert summary == {"requested": 6, "present": 3, "failed": {"ambiguous_file_name": 3}}
    hint = describe_download(pl.read_parquet(out / "images.parquet"), CONFIG, source.origin, tmp_path / "work", {})[
        "hint"
    ]
    assert "front_en.3.400.jpg" in hint
    assert "sample_id (4.*)" in hint
    # another name for it is seen, and what was found is not read again
    (folder / "front_en.3.400.jpg").rename(folder / "4.jpg")
    again = fetch_shard(list(ids), CONFIG, tmp_path / "work", source=source, sample_ids=ids)
    assert (again.present, again.reused, again.failed) == (4, 3, {"not_in_folder": 2})
    collect_images(tables, CONFIG, source.origin, None, tmp_path / "work", source, out)
    hint = describe_download(pl.read_parquet(out / "images.parquet"), CONFIG, source.origin, tmp_path / "work", {})[
        "hint"
    ]
    assert "neither 'front_en.3.400.jpg' (last part of the link) nor 5.* (sample_id)" in hint
    assert "it holds 4 files, such as 1.jpg" in hint


def test_rows_without_a_link_are_pointed_to_the_files_named_after_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tables, folder, out = (tmp_path / name for name in ("tables", "images", "out"))
    for path in (tables, folder, out):
        path.mkdir()
    (folder / "7.jpg").write_bytes(jpeg())
    source = ImageSource.folder(folder)
    for link, present, warned in ((None, 0, True), ("7.jpg", 1, False)):
        caplog.clear()
        rows = {"sample_id": ["7", "8"], "image_link": [link, None]}
        pl.DataFrame(rows, schema_overrides={"image_link": pl.String}).write_parquet(tables / "unlabelled.parquet")
        fetch_shard([link] if link else [], CONFIG, tmp_path / "work", source=source, sample_ids=ids_by_link(tables))
        collect_images(tables, CONFIG, source.origin, None, tmp_path / "work", source, out)
        assert json.loads((out / "summary.json").read_text())["present"] == present
        assert ("2 rows have no image_link, so 1 images" in caplog.text) == warned
