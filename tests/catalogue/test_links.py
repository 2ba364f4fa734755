"""Links as catalogues hold them: what is read out of a field, and what goes out for it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.catalogue.duplicates import duplicate_groups
from pricing.catalogue.links import complete, first_link, request_url, split_links, tidy_links
from pricing.config.catalogue import ImagesConfig
from pricing.download.failures import ImageFailure
from pricing.download.hosts import HostRules
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from tests.download.fault_server import Fault, FaultServer

A, B = "https://shop.example/a.jpg", "https://shop.example/b.jpg"


@pytest.mark.parametrize(
    "field",
    [
        f"{A}|{B}", f"{A} | {B}", f"{A};{B}", f"{A},{B}", f"{A}, {B}", f"{A} {B}", f"{A}\n{B}", f"{A}\r\n{B}",
        f"{A}\t{B}", f"{A};;{B}", f'["{A}","{B}"]', f'["{A}", "{B}"]'.replace("/", "\\/"), f"['{A}', '{B}']",
        f"('{A}', '{B}')", f"[{A}, {B}]", f'"{A}","{B}"', f"'{A}' '{B}'", f"<{A}> <{B}>", f" {A} , {B} , ",
        f'[{{"src": "{A}", "alt": "tea"}}, {{"src": "{B}", "alt": "more tea"}}]', f"Main: {A} {B}",
        f'<img src="{A}"><img src="{B}">', f"{A}^{B}", f"{A}~{B}", f"{A} > {B}", f"{A}；{B}", f"{A}、{B}",
        f"{A}<br>{B}", f"{A}<br />{B}", f"{A}\\n{B}", f"{A} 1x, {B} 2x", f"{A} 300w, {B} 600w", f"{A} / {B}",
    ],
)  # fmt: skip
def test_of_several_links_the_first_is_taken(field: str) -> None:
    assert first_link(field) == A
    assert len(split_links(field)) == 2


@pytest.mark.parametrize(
    ("field", "links"),
    [
        (A, [A]),
        (f"{A}|{A}", [A]),
        ("//shop.example/a.jpg|//shop.example/b.jpg", ["//shop.example/a.jpg", "//shop.example/b.jpg"]),
        ("shop.example/a.jpg, shop.example/b.jpg", ["shop.example/a.jpg", "shop.example/b.jpg"]),
        ("127.0.0.1:80/a.jpg|127.0.0.1:80/b.jpg", ["127.0.0.1:80/a.jpg", "127.0.0.1:80/b.jpg"]),
        ("a.jpg|b.jpg", ["a.jpg", "b.jpg"]),
        ('["a.jpg", "b.jpg"]', ["a.jpg", "b.jpg"]),
        (f'"{A}"', [A]), (f"'{A}'", [A]), (f"<{A}>", [A]), (f"“{A}”", [A]), (f"({A})", [A]), (f'""{A}""', [A]),
        (f"{A},", [A]), (f"{A}|", [A]), (f"|{A}", [A]), (f"\ufeff{A}\u200b", [A]), (f"{A}\tfront view", [A]),
        (f'=IMAGE("{A}")', [A]), (f"![tea]({A})", [A]), (f'<img alt="tea" src="{A}">', [A]),
        ("https:&#x2F;&#x2F;shop.example&#x2F;a.jpg", [A]),
        ("https://shop.example/a.jpg?w=1&amp;h=2", ["https://shop.example/a.jpg?w=1&h=2"]),
        ("https://shop.example/a.jpg?w=1&amp;amp;h=2", ["https://shop.example/a.jpg?w=1&h=2"]),
        ("[]", []), ('[""]', []), ("()", []), ("", []), ("  ", []), ("|", []),
    ],
)  # fmt: skip
def test_what_a_field_holds(field: str, links: list[str]) -> None:
    assert split_links(field) == links


@pytest.mark.parametrize(
    "link",
    [
        "https://cdn.example/w_300,h_200,c_fill/a.jpg",
        "https://cdn.example/image/fetch/w_300,h_200/https://shop.example/a.jpg",
        "https://proxy.example/?url=https://shop.example/a.jpg&w=1,2",
        "https://proxy.example/?files=a.jpg|b.jpg",
        "https://shop.example/a;v=1/b.jpg", "https://shop.example/a,//b.jpg", "https://shop.example/photo(1)",
        "https://shop.example/a_[1].jpg", "https://shop.example/it's.jpg", "https://shop.example/my photo.jpg",
        "https://shop.example/a.jpg?a=1&copy=2&reg=3&lt=4", "HTTP://SHOP.EXAMPLE/A.JPG", "ftp://shop.example/a.jpg",
        "data:image/png;base64,AAAA", "images/a.jpg", "my photo, front.jpg", "https://shop.example/a{1}.jpg",
        "https://bücher.example/ä.jpg", "http://[::1]:80/a.jpg", "https://shop.example/~https/a.jpg",
        "https://web.example/web/2020id_/https://shop.example/a.jpg", "https://shop.example/a.jpg 2", "a::b/c.jpg",
    ],
)  # fmt: skip
def test_one_link_stays_one_and_as_it_is(link: str) -> None:
    assert split_links(link) == [link]


@pytest.mark.parametrize(
    ("link", "asked"),
    [
        ("http://h.example/sig%27n.jpg", None),
        ("http://h.example/it's.jpg", None),
        ("http://h.example/a%2Fb%20c%e4%C3%A4.jpg?x=%2f+%2B&y=%20", None),
        ("https://b.s3.amazonaws.com/a%2Bb.jpg?X-Amz-Credential=AK%2F2026%2Fus&X-Amz-Signature=0aF%3D", None),
        ("https://d.cloudfront.net/a.jpg?Policy=eyJ_-~__&Signature=aB~c-d__&Key-Pair-Id=K1", None),
        ("http://h.example/a:b@c!$&'()*+,;=~[].jpg?/?", None),
        ("http://h.example/my photo.jpg", "http://h.example/my%20photo.jpg"),
        ("http://h.example/100%.jpg", "http://h.example/100%25.jpg"),
        ("http://h.example/50%off%zz%4.jpg", "http://h.example/50%25off%25zz%254.jpg"),
        ("http://h.example/ä.jpg?ü=ß", "http://h.example/%C3%A4.jpg?%C3%BC=%C3%9F"),
        ('http://h.example/a"<>\\^`{|}.jpg', "http://h.example/a%22%3C%3E%5C%5E%60%7B%7C%7D.jpg"),
        ("http://bücher.example/a%27.jpg", "http://xn--bcher-kva.example/a%27.jpg"),
        ("HTTP://H.example:8080/a%27.jpg", "http://H.example:8080/a%27.jpg"),
        ("http://h.example/a/../b%2F.jpg", "http://h.example/b%2F.jpg"),
        ("http://h.example?w=1", "http://h.example/?w=1"),
        ("//h.example/a.jpg", "https://h.example/a.jpg"),
        ("h.example/a.jpg", "https://h.example/a.jpg"),
        ("www.h.example/my photo.jpg", "https://www.h.example/my%20photo.jpg"),
        ("127.0.0.1:8471/a.jpg", "https://127.0.0.1:8471/a.jpg"),
        ("localhost/a.jpg", "https://localhost/a.jpg"),
        ("[::1]:80/a.jpg", "https://[::1]:80/a.jpg"),
    ],
)
def test_what_is_asked_for_a_link(link: str, asked: str | None) -> None:
    assert str(request_url(complete(first_link(link)))) == (asked or link)


@pytest.mark.parametrize(
    "link",
    [
        "images/a.jpg", "a.jpg", "/images/a.jpg", "photo.jpg/large", "C:\\images\\a.jpg", "file:///etc/passwd",
        "ftp://h.example/a.jpg", "data:image/png;base64,AAAA", "javascript:alert(1)", "nan", "user@h.example/a.jpg",
        "http://me:secret@h.example/a.jpg", "http://my host/a.jpg", "http://", "http:///a.jpg", "http://h:99999/a.jpg",
        "http://127.1/a.jpg", "http://2130706433/a.jpg", "http://0x7f000001/a.jpg", "http://a.localhost/a.jpg",
        "//169.254.169.254/latest", "10.0.0.1/a.jpg", '["http://10.0.0.1/a.jpg"]', "http://h.example\x00/a.jpg",
    ],
)  # fmt: skip
def test_what_is_no_address_or_must_not_be_asked_is_refused(link: str) -> None:
    with pytest.raises(ImageFailure) as caught:
        HostRules().check_url(complete(first_link(link)))
    assert caught.value.reason in ("forbidden_scheme", "forbidden_address", "bad_url")


LEGAL = st.lists(st.sampled_from([*"abzAZ09-._~:/?#[]@!$'()*+,;=", "%27", "%2f", "%20", "%E4"])).map("".join)
"""What RFC 3986 allows behind the host, without the ampersand of entities."""


@given(rest=LEGAL, host=st.sampled_from(["h", "shop.example", "shop.example:8080", "203.0.113.7"]))
def test_a_legal_link_is_one_link_and_goes_out_byte_for_byte(rest: str, host: str) -> None:
    link = f"https://{host}/{rest}"
    dots = re.search(r"/\.\.?([/?#]|$)", link)  # are resolved
    another = re.search(r"[|;,]['(\[]*(https?://|//|www\.)", rest)
    left_over = re.search(r"\.jpg[,;']+$", rest)
    if dots or another or left_over:
        return
    assert split_links(link) == [link]
    asked = request_url(link)
    assert f"{asked.scheme}://{asked.raw_authority}{asked.raw_path_qs}" == re.sub(
        r"^([^?]*)\?$", r"\1", link.partition("#")[0]
    )


@given(path=st.text(min_size=1, max_size=30).filter(lambda text: text.isprintable()))
def test_whatever_a_path_holds_what_goes_out_is_ascii_and_means_the_same(path: str) -> None:
    link = "https://shop.example/" + path.replace("?", "").replace("#", "").replace(".", "-")
    asked = str(request_url(link))
    assert re.fullmatch(r"[!-~]+", asked)
    assert not re.search(r"%(?![0-9A-Fa-f]{2})", asked)
    assert unquote(asked) == unquote(link)
    assert str(request_url(asked)) == asked


WRAPPERS = st.sampled_from(
    ["{}", ' "{}" ', "'{}'", "<{}>", '["{}"]', "['{}']", "[{}]", "({})", '{{"url": "{}"}}', "{},"]
)


@given(
    names=st.lists(st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True), min_size=1, max_size=4, unique=True),
    separator=st.sampled_from(["|", ";", ",", ", ", " ", "\n", " | "]),
    start=st.sampled_from(["https://shop.example/", "//shop.example/", "shop.example/", "HTTP://shop.example/x,y/"]),
    wrapper=WRAPPERS,
)
def test_links_are_found_in_any_clothes(names: list[str], separator: str, start: str, wrapper: str) -> None:
    links = [f"{start}{name}.jpg" for name in names]
    assert split_links(wrapper.format(separator.join(links))) == links


@given(st.text(max_size=60) | st.text(st.sampled_from("[]{}()\"'<>|;, /:.ahtps&#\n"), max_size=60))
def test_any_field_gives_links_and_no_exception(field: str) -> None:
    assert all(link and link == link.strip(" \t\r\n") for link in split_links(field))
    column, several = tidy_links(pl.Series("image_link", [field, None, A]))
    assert column.to_list() == [first_link(field) or None, None, A]
    assert several == (len(split_links(field)) > 1)


@given(
    names=st.lists(st.sampled_from(["a", "b", "w_300,h_2/c", "d?x=1", "e", ""]), min_size=1, max_size=4),
    separators=st.lists(st.sampled_from(["|", " ; ", ",", ", ", "\n", "\n\n", " ", "|,"]), min_size=4, max_size=4),
)
def test_a_column_is_read_as_its_fields_are(names: list[str], separators: list[str]) -> None:
    links = [f"https://shop.example/{name}.jpg" for name in names]
    field = "".join(separator + link for separator, link in zip(["", *separators], links, strict=False))
    column, several = tidy_links(pl.Series("image_link", [field, B, None, field]))
    assert column.to_list() == [first_link(field), B, None, first_link(field)]
    assert split_links(field) == list(dict.fromkeys(links))
    assert several == 2 * (len(set(names)) > 1)


@pytest.mark.parametrize(
    "field",
    [f'["{A}", "{B}"]\nC', f'C\n["{A}", "{B}"]', f"{A}|{B}\nC", f"('{A}', '{B}')\nC", f'[ "{A}",  "{B}" ]\nC',
     f'["{A}"]\n["{B}", "C"]', f'<img src="{A}">\n{B}\nC'],
)  # fmt: skip
def test_columns_below_each_other_may_each_be_a_list(field: str) -> None:
    assert sorted(split_links(field.replace("C", "https://shop.example/c.jpg"))) == [A, B, "https://shop.example/c.jpg"]


def test_a_column_without_links_of_any_type() -> None:
    assert tidy_links(pl.Series("image_link", [None, None]))[0].to_list() == [None, None]


def test_long_fields_take_no_long_time() -> None:
    for piece in (",", "|", " | ", "[", '["', "a.", "//", "&amp;", "<", "(", "'", "x;y,"):
        first_link(piece * 20_000)


def test_rows_that_show_one_image_belong_together_however_the_link_is_written() -> None:
    fields = [A, A.removeprefix("https:"), f"{A}|{B}", json.dumps([A]), A.replace("https", "http"), B]
    frame = pl.DataFrame({
        "sample_id": [str(index) for index in range(6)],
        "catalog_content": [f"Item Name: green tea {'abcdef'[index] * 8}" for index in range(6)],
        "image_link": fields,
    })  # fmt: skip
    groups = duplicate_groups(frame).to_list()
    assert len(set(groups[:5])) == 1
    assert groups[5] != groups[0]


CONFIG = ImagesConfig(side=32, backoff_base=0.001, backoff_max=0.002, retries=1, allow_hosts=("127.0.0.1",))


def test_the_links_of_real_catalogues_are_had(tmp_path: Path) -> None:
    """A shop over plain http, in the writings of several feeds; each is asked for once, under exactly its path."""
    with FaultServer() as server:
        host = f"127.0.0.1:{server.port}"
        links = {
            f"http://{host}/a.jpg": "/a.jpg",
            f"//{host}/b.jpg": "/b.jpg",
            f"{host}/c.jpg": "/c.jpg",
            f"http://{host}/d.jpg|http://{host}/e.jpg": "/d.jpg",
            f"http://{host}/sig%27n.jpg": "/sig%27n.jpg",
            f"http://{host}/f.jpg?w=1&amp;h=2": "/f.jpg?w=1&h=2",
            f"http://{host}/my photo 100%.jpg": "/my%20photo%20100%25.jpg",
            f"['//{host}/g.jpg', '//{host}/h.jpg']": "/g.jpg",
            f"HTTP://{host}/%2Fi.jpg": "/%2Fi.jpg",
        }
        report = fetch_shard(list(links), CONFIG, tmp_path, source=ImageSource.web())
        assert (report.present, report.failed) == (len(links), {})
        assert sorted(server.raw_paths) == sorted(links.values())


def test_a_link_without_a_scheme_is_asked_by_http_where_https_is_not_served(tmp_path: Path) -> None:
    with FaultServer() as server:
        links = [f"//127.0.0.1:{server.port}/{index}.jpg" for index in range(60)]
        links += [f"127.0.0.1:{server.port}/{index}.png" for index in range(60)]
        config = CONFIG.model_copy(update={"breaker_seconds": 0.02})
        report = fetch_shard(links, config, tmp_path, source=ImageSource.web())
        assert (report.present, report.failed) == (120, {})
        assert len(server.raw_paths) == 120


def test_a_link_that_names_https_is_not_asked_by_http(tmp_path: Path) -> None:
    with FaultServer() as server:
        report = fetch_shard([f"https://127.0.0.1:{server.port}/a.jpg"], CONFIG, tmp_path, source=ImageSource.web())
        assert (report.present, server.raw_paths) == (0, [])


def test_a_redirect_goes_where_it_says_byte_for_byte(tmp_path: Path) -> None:
    with FaultServer() as server:
        targets = {"/1.jpg": "/sig%27n%2F.jpg?x=%20+", "/2.jpg": "my photo.jpg", "/3.jpg": "x/../%7Ey.jpg"}
        for path, target in targets.items():
            server.always[path] = Fault("redirect", headers={"Location": target})
        report = fetch_shard([server.url(path) for path in targets], CONFIG, tmp_path, source=ImageSource.web())
        assert report.present == 3
        assert set(server.raw_paths) - set(targets) == {"/sig%27n%2F.jpg?x=%20+", "/my%20photo.jpg", "/%7Ey.jpg"}


def test_a_mirror_is_asked_for_the_same_bytes(tmp_path: Path) -> None:
    with FaultServer() as server:
        source = ImageSource.mirror(server.base)
        links = ["//shop.example/a%27.jpg", "shop.example/b c.jpg", "https://shop.example/d.jpg|https://shop.example/e"]
        assert fetch_shard(links, CONFIG, tmp_path, source=source).present == 3
        assert sorted(server.raw_paths) == ["/a%27.jpg", "/b%20c.jpg", "/d.jpg"]
