"""Whether bytes are a whole image, and what is stored of it.

Signatures and sizes are read from the first bytes by hand, before any decoder sees them: limits can then be applied
while an image still streams in, and a decompression bomb is refused by its own header.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, features

from pricing.config.catalogue import ImagesConfig
from pricing.download.failures import ImageFailure
from pricing.download.scaling import to_stored

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", *(("AVIF",) if features.check("avif") else ()))
"""What is decoded; everything else is refused, which keeps rarely used decoders away from strangers' bytes. A Pillow
that was built without AVIF refuses it, and images refused so are asked for again by one that has it."""

_BRANDS_BYTES = 256
"""An ISO container names its brands in its first bytes; a longer list than this is none."""

SIGNATURE_BYTES = 16
"""Bytes that tell the format."""


@dataclass(frozen=True)
class PreparedImage:
    """A verified image as it will be stored."""

    jpeg: bytes
    """JPEG in colour, longest side as configured."""
    width: int
    """Stored width, in pixels."""
    height: int
    """Stored height, in pixels."""
    format: str
    """Format as it came."""


def sniff_format(head: bytes) -> str | None:
    """Format by signature, or None for anything that is not one of :data:`FORMATS`."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    # two letters are weak evidence: the header's size must be one that exists
    if head.startswith(b"BM") and len(head) >= 15 and head[14] in (12, 40, 52, 56, 64, 108, 124):
        return "BMP"
    if b"avif" in _brands(head) or b"avis" in _brands(head):
        return "AVIF" if "AVIF" in FORMATS else None
    return None


def other_format(head: bytes) -> str | None:
    """Name of an image format that is known and not taken, or None."""
    brands = _brands(head)
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "JPEG XL"
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands:
        return "HEIC" if brands & {b"heic", b"heix", b"hevc", b"mif1", b"msf1"} else None
    if head.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    if head.startswith(b"\0\0\x01\0"):
        return "ICO"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<svg"):
        return "SVG"
    return "SVG or other XML" if start.startswith(b"<?xml") else None


def read_size(kind: str, head: bytes) -> tuple[int, int] | None:
    """Width and height from the first bytes, or None where they do not reach that far yet."""
    if kind == "JPEG":
        return _jpeg_layout(head)[0]
    if kind == "PNG":
        return (_big(head, 16, 4), _big(head, 20, 4)) if len(head) >= 24 else None
    if kind == "GIF":
        return (_little(head, 6, 2), _little(head, 8, 2)) if len(head) >= 10 else None
    if kind == "AVIF":
        return _avif_size(head)
    if len(head) < 30:
        return None
    if kind == "BMP":
        if head[14] == 12:
            return _little(head, 18, 2), _little(head, 20, 2)
        # a negative height means rows from the top
        return _little(head, 18, 4), abs(int.from_bytes(head[22:26], "little", signed=True))
    if head[12:16] == b"VP8 ":
        return _little(head, 26, 2) & 0x3FFF, _little(head, 28, 2) & 0x3FFF
    if head[12:16] == b"VP8L":
        bits = _little(head, 21, 4)
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    return _little(head, 24, 3) + 1, _little(head, 27, 3) + 1


def check_head(head: bytes, config: ImagesConfig) -> bool:
    """Apply the limits to the first bytes of an image.

    Returns
    -------
    bool
        True once format and size are known and accepted; False while more bytes are needed.

    Raises
    ------
    ImageFailure
        ``not_an_image``, ``too_many_pixels`` or ``too_small``.
    """
    if len(head) < SIGNATURE_BYTES:
        return False
    if head[4:8] == b"ftyp" and len(head) < min(_big(head, 0, 4), _BRANDS_BYTES):
        return False
    kind = sniff_format(head)
    if kind is None:
        raise _not_taken(head)
    size = read_size(kind, head)
    if size is None:
        return False
    check_size(*size, config)
    return True


def check_size(width: int, height: int, config: ImagesConfig) -> None:
    """Refuse images with more pixels or longer sides than configured, or next to none."""
    if width * height > config.max_pixels or max(width, height) > config.max_side:
        raise ImageFailure(
            "too_many_pixels",
            f"{width} x {height}; at most {config.max_pixels} pixels and {config.max_side} a side are accepted",
        )
    if min(width, height) < config.min_side:
        raise ImageFailure("too_small", f"{width} x {height}; at least {config.min_side} a side is expected")


def prepare(data: bytes, config: ImagesConfig) -> PreparedImage:
    """Verify an image and turn it into what is stored.

    The whole image is decoded (of an animation the first frame), turned as EXIF says, laid on white where it is
    transparent, scaled down (see :mod:`pricing.download.scaling`) and encoded as a JPEG.

    Parameters
    ----------
    data : bytes
        The file as it came.
    config : ImagesConfig
        Limits, side and quality.

    Raises
    ------
    ImageFailure
        ``empty``, ``not_an_image``, ``too_large``, ``too_many_pixels``, ``too_small``, ``truncated`` or
        ``undecodable``.
    """
    if not data:
        raise ImageFailure("empty", "zero bytes")
    if len(data) > config.max_bytes:
        raise ImageFailure("too_large", f"{len(data)} bytes; at most {config.max_bytes} are accepted")
    kind = sniff_format(data)
    if kind is None:
        raise _not_taken(data)
    if not check_head(data, config):
        raise ImageFailure("truncated", f"{kind} of {len(data)} bytes ends inside its header")
    if not _has_end(kind, data):
        raise ImageFailure("truncated", f"{kind} of {len(data)} bytes has no end mark")
    try:
        if kind == "PNG":
            # decoding alone does not look at the checksums
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                image.verify()
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(*image.size, config)
            scaled = to_stored(image, config.side)
        buffer = io.BytesIO()
        scaled.save(buffer, "JPEG", quality=config.quality)
    except ImageFailure:
        raise
    # decoders raise nearly anything on broken bytes: OSError, SyntaxError, ValueError, struct.error, IndexError ...
    except Exception as error:
        reason = "truncated" if "truncated" in str(error) else "undecodable"
        raise ImageFailure(reason, f"{kind}: {type(error).__name__}: {error}"[:300]) from None
    return PreparedImage(buffer.getvalue(), *scaled.size, kind)


def _not_taken(data: bytes) -> ImageFailure:
    name = other_format(data)
    if name is None:
        return ImageFailure("not_an_image", f"begins with {data[:SIGNATURE_BYTES]!r}")
    return ImageFailure("not_an_image", f"{name}; taken are {', '.join(FORMATS)}", other_format=name not in FORMATS)


def _has_end(kind: str, data: bytes) -> bool:
    """Whether the format's own end is there; a decoder is content once it has the last row of pixels."""
    if kind == "JPEG":
        scan = _jpeg_layout(data)[1]
        # inside a scan 0xff is always followed by a zero or a restart mark, so this is the true end; from the back,
        # where it is found at once
        return scan is not None and data.rfind(b"\xff\xd9", scan) >= 0
    if kind == "PNG":
        return data.rfind(b"IEND\xaeB`\x82") >= 0
    if kind == "GIF":
        return data.rstrip(b"\0\r\n").endswith(b";")
    if kind == "WEBP":
        return len(data) >= 8 + _little(data, 4, 4)
    if kind == "BMP":
        # the header's file size; writers that leave it at 0 exist
        return len(data) >= _little(data, 2, 4)
    if kind == "AVIF":
        # every box inside the file; what the decoder then finds missing it reports itself
        return all(end <= len(data) for _, _, end in _boxes(data, 0, len(data)))
    return False


def _brands(head: bytes) -> frozenset[bytes]:
    """Brands of an ISO container (AVIF, HEIC), the major one among them; empty for anything else."""
    if head[4:8] != b"ftyp" or len(head) < 12:
        return frozenset()
    end = min(_big(head, 0, 4), len(head), _BRANDS_BYTES)
    return frozenset([head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))])


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Boxes of an ISO container between two positions: type, where the content begins, where it should end."""
    while start + 8 <= stop:
        size, kind, content = _big(data, start, 4), data[start + 4 : start + 8], start + 8
        if size == 1:
            size, content = _big(data, start + 8, 8), start + 16
        end = stop if size == 0 else start + size
        if end < content:
            return
        yield kind, content, end
        start = end


def _avif_size(head: bytes) -> tuple[int, int] | None:
    """Largest size that an AVIF announces, of the image, its tiles or its previews; None where it is not reached.

    Sizes stand in the ``ispe`` properties, in the boxes meta, iprp and ipco.
    """
    start, stop = 0, len(head)
    for name, skipped in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):
        for kind, content, end in _boxes(head, start, stop):
            if kind == name:
                start, stop = content + skipped, end
                break
        else:
            return None
        if end > len(head):
            return None
    sizes = [
        (_big(head, content + 4, 4), _big(head, content + 8, 4))
        for kind, content, end in _boxes(head, start, stop)
        if kind == b"ispe" and end >= content + 12
    ]
    return max(sizes, key=lambda size: (size[0] * size[1], size)) if sizes else None


def _jpeg_layout(data: bytes) -> tuple[tuple[int, int] | None, int | None]:
    """Size and start of the first scan of a JPEG, each None where it is not reached."""
    size = None
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return size, None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xDA:
            return size, at
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 9 <= len(data):
            size = (_big(data, at + 7, 2), _big(data, at + 5, 2))
        at += 2 + _big(data, at + 2, 2)
    return size, None


def _big(data: bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "big")


def _little(data: bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "little")
