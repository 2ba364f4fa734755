"""What counts as a whole image, and what is stored of it (plan property 4)."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pricing.config.catalogue import ImagesConfig
from pricing.download.failures import ImageFailure
from pricing.download.verification import check_head, prepare, read_size, sniff_format

CONFIG = ImagesConfig(side=64, quality=95)


def noise(size: tuple[int, int] = (90, 60), mode: str = "RGB") -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    small = np.random.default_rng(0).integers(0, 256, (6, 9, channels), dtype=np.uint8)
    return Image.fromarray(small.squeeze(), mode=None).resize(size) if channels != 4 else _four(small, size, mode)


def _four(small: np.ndarray, size: tuple[int, int], mode: str) -> Image.Image:
    bands = [Image.fromarray(small[:, :, band]).resize(size) for band in range(4)]
    return Image.merge(mode, bands)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def stored(data: bytes, config: ImagesConfig = CONFIG) -> Image.Image:
    image = Image.open(io.BytesIO(prepare(data, config).jpeg))
    image.load()
    return image


def reason(data: bytes, config: ImagesConfig = CONFIG) -> str:
    with pytest.raises(ImageFailure) as caught:
        prepare(data, config)
    assert not caught.value.transient
    return caught.value.reason


FILES = {
    "jpeg": encoded(noise(), "JPEG"),
    "progressive": encoded(noise(), "JPEG", progressive=True),
    "png": encoded(noise(), "PNG"),
    "gif": encoded(noise(), "GIF"),
    "webp": encoded(noise(), "WEBP"),
    "webp_lossless": encoded(noise(), "WEBP", lossless=True),
    "bmp": encoded(noise(), "BMP"),
    "avif": encoded(noise(), "AVIF"),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_whole_images_pass_and_their_size_is_read_from_the_first_bytes(name: str) -> None:
    data = FILES[name]
    kind = sniff_format(data)
    assert kind is not None
    assert read_size(kind, data[:700]) == (90, 60)
    image = prepare(data, CONFIG)
    assert (image.width, image.height) == (64, 43)
    assert image.format == kind


@given(name=st.sampled_from(sorted(FILES)), share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=150)
def test_truncation_is_detected(name: str, share: float) -> None:
    """Property 4: Corrupted image detection. An image of any format cut off anywhere, even by its last byte, is
    refused with a reason, and no exception of a decoder gets out."""
    data = FILES[name]
    assert reason(data[: int(share * len(data))]) in ("empty", "not_an_image", "truncated", "undecodable")


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_last_byte_counts(name: str) -> None:
    assert reason(FILES[name][:-1]) in ("truncated", "undecodable")


@given(position=st.integers(8, len(FILES["png"]) - 1), flip=st.integers(1, 255))
@settings(max_examples=100)
def test_a_changed_byte_in_a_png_is_detected(position: int, flip: int) -> None:
    """PNG carries checksums; they are looked at."""
    data = bytearray(FILES["png"])
    data[position] ^= flip
    assert reason(bytes(data)) in ("truncated", "undecodable", "too_many_pixels", "too_small")


@given(data=st.one_of(st.binary(max_size=300), st.tuples(st.sampled_from(sorted(FILES)), st.binary(max_size=200)).map(
    lambda pair: FILES[pair[0]][:24] + pair[1])))  # fmt: skip
@settings(max_examples=200)
def test_arbitrary_bytes_never_raise_anything_else(data: bytes) -> None:
    assert reason(data)


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html></html>",
        b"%PDF-1.4 and so on and on",
        b"GIF88a" + b"\0" * 40,
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        encoded(noise(), "TIFF"),
        encoded(noise(), "ICO"),
        encoded(noise(), "PPM"),
    ],
)
def test_other_things_are_no_images(data: bytes) -> None:
    assert reason(data) == "not_an_image"


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(("width", "height"), [(30_000, 10), (10, 30_000), (9_000, 9_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_by_their_header(width: int, height: int) -> None:
    head = png_header(width, height)
    with pytest.raises(ImageFailure, match=f"{width} x {height}") as caught:
        check_head(head, CONFIG)
    assert caught.value.reason == "too_many_pixels"
    assert not check_head(head[:20], CONFIG)


def test_a_jpeg_bomb_behind_a_long_header_is_refused_once_its_size_is_there() -> None:
    data = encoded(Image.new("L", (20_001, 8)), "JPEG", comment=b"x" * 60_000)
    assert not check_head(data[:50_000], CONFIG)
    assert reason(data) == "too_many_pixels"


def avif_header(*sizes: tuple[int, int], major: bytes = b"avif") -> bytes:
    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    ispe = b"".join(box(b"ispe", struct.pack(">III", 0, *size)) for size in sizes)
    brands = box(b"ftyp", major + b"\0\0\0\0mif1miafavif")
    return brands + box(b"meta", b"\0\0\0\0" + box(b"iprp", box(b"ipco", ispe)))


@pytest.mark.parametrize("major", [b"avif", b"avis", b"mif1"])
def test_an_avif_bomb_is_refused_by_its_header_wherever_its_size_stands(major: bytes) -> None:
    """A preview of a modest size comes first; the largest size counts."""
    head = avif_header((160, 90), (30_000, 20_000), (512, 512), major=major)
    with pytest.raises(ImageFailure, match="30000 x 20000"):
        check_head(head, CONFIG)
    for end in (16, 24, 40, len(head) - 1):
        assert not check_head(head[:end], CONFIG)
    assert check_head(avif_header((160, 90), major=major), CONFIG)


def test_an_avif_sequence_gives_its_first_frame_and_transparency_is_white() -> None:
    buffer = io.BytesIO()
    red, blue = Image.new("RGB", (64, 40), "red"), Image.new("RGB", (64, 40), "blue")
    red.save(buffer, "AVIF", save_all=True, append_images=[blue])
    assert sniff_format(buffer.getvalue()) == "AVIF"
    assert np.asarray(stored(buffer.getvalue()))[20, 30] == pytest.approx([255, 0, 0], abs=12)
    clear = encoded(Image.new("RGBA", (64, 40), (0, 0, 0, 0)), "AVIF")
    assert np.asarray(stored(clear))[20, 30] == pytest.approx([255, 255, 255], abs=12)


def test_one_pixel_is_no_image() -> None:
    assert reason(encoded(Image.new("RGB", (1, 1)), "GIF")) == "too_small"


def test_exif_rotation_is_applied_and_not_kept() -> None:
    # the camera lay on its side: the right half is what should be at the bottom
    image = Image.new("RGB", (200, 100), "blue")
    image.paste("red", (100, 0, 200, 100))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(image, "JPEG", exif=exif, quality=95)
        with Image.open(io.BytesIO(data)) as original:
            expected = ImageOps.exif_transpose(original).convert("RGB").resize(stored(data).size)
        result = stored(data)
        assert not result.getexif()
        difference = np.abs(np.asarray(result, dtype=int) - np.asarray(expected, dtype=int))
        assert np.median(difference) <= 3
        assert difference.mean() < 6


# Pillow tells people about it, and goes on
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_cost_the_image() -> None:
    assert stored(encoded(noise(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).size == (64, 43)


def test_cmyk_becomes_rgb() -> None:
    image = Image.new("RGB", (80, 80), (200, 40, 40)).convert("CMYK")
    result = np.asarray(stored(encoded(image, "JPEG", quality=95)))
    assert np.abs(result.mean(axis=(0, 1)) - (200, 40, 40)).max() < 6


@pytest.mark.parametrize("jfif", [True, False])
@pytest.mark.parametrize("planes", ["YCbCr", "RGB", "adobe RGB"])
def test_a_jpeg_of_any_planes_keeps_its_colours(planes: str, jfif: bool) -> None:
    """JPEGs of RGB planes exist; libjpeg tells them by the Adobe mark or by the planes' names."""
    image = Image.new("RGB", (90, 60), (200, 40, 90))
    data = encoded(image, "JPEG", quality=95, keep_rgb=planes != "YCbCr")
    assert (b"Adobe" in data) == (planes != "YCbCr")
    if planes == "RGB":
        at = data.index(b"Adobe") - 4
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]
    at = data.find(b"JFIF") - 4
    if at >= 0 and not jfif:
        data = data[:at] + data[at + 18 :]
    assert np.abs(np.asarray(stored(data)).mean(axis=(0, 1)) - (200, 40, 90)).max() < 6


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
    clear.paste((255, 0, 0, 255), (0, 0, 40, 80))
    palette = clear.quantize(4)
    for data in (encoded(clear, "PNG"), encoded(palette, "PNG"), encoded(clear, "WEBP", lossless=True)):
        pixels = np.asarray(stored(data))
        assert pixels[32, 10].tolist() == pytest.approx([255, 0, 0], abs=4)
        assert pixels[32, 54].tolist() == pytest.approx([255, 255, 255], abs=4)


def test_sixteen_bit_grey_keeps_its_range() -> None:
    ramp = np.linspace(0, 65_535, 80 * 80, dtype=np.uint16).reshape(80, 80)
    values = np.asarray(stored(encoded(Image.fromarray(ramp), "PNG")))
    assert values.min() < 10
    assert 120 < values.mean() < 135
    assert values.max() > 245


def test_of_an_animation_the_first_frame_is_kept() -> None:
    frames = [Image.new("RGB", (80, 80), colour) for colour in ("lime", "red", "blue")]
    for kind in ("GIF", "WEBP"):
        pixels = np.asarray(stored(encoded(frames[0], kind, save_all=True, append_images=frames[1:])))
        assert pixels[30, 30].tolist() == pytest.approx([0, 255, 0], abs=12)


def test_small_images_are_not_enlarged_and_large_ones_scaled_well() -> None:
    assert stored(encoded(Image.new("RGB", (20, 10)), "PNG")).size == (20, 10)
    assert stored(encoded(Image.new("RGB", (4000, 3)), "PNG")).size == (64, 1)
    # decoding at a fraction must not show: compare with Lanczos from the full size
    for size, small in (((1000, 800), (64, 51)), ((190, 70), (64, 24)), ((131, 260), (32, 64))):
        image = noise(size)
        expected = np.asarray(image.resize(small, Image.Resampling.LANCZOS).convert("L"), dtype=float)
        # brightness, because JPEG itself halves the colours' resolution, twice here
        error = np.asarray(stored(encoded(image, "JPEG", quality=95)).convert("L"), dtype=float) - expected
        assert 10 * np.log10(255**2 / (error**2).mean()) > 35


def test_fine_stripes_become_grey_and_not_coarse_stripes() -> None:
    """A filter that leaves pixels out turns stripes one pixel wide into others (aliasing)."""
    stripes = np.zeros((300, 300), np.uint8)
    stripes[:, ::2] = 255
    for kind in ("PNG", "JPEG"):
        pixels = np.asarray(stored(encoded(Image.fromarray(stripes), kind)), dtype=float)
        assert np.abs(pixels[8:-8, 8:-8] - 127.5).max() < 12


def test_equal_bytes_give_equal_files() -> None:
    assert prepare(FILES["jpeg"], CONFIG).jpeg == prepare(FILES["jpeg"], CONFIG).jpeg
