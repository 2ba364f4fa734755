"""Scaling an image down to what is stored: most of the downloader's time.

A JPEG is decoded at 1/2, 1/4 or 1/8 where that still covers the stored size (``Image.draft``). The rest is done by an
antialiased filter, Pillow's Hamming window.
"""

import numpy as np
from PIL import Image

_ORIENTATION = 0x0112
_ROTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_stored(image: Image.Image, side: int) -> Image.Image:
    """The image in its stored size, the way up that EXIF says.

    Parameters
    ----------
    image : Image
        Open and not loaded yet.
    side : int
        Longest side, in pixels; smaller images are not enlarged.

    Returns
    -------
    Image
        RGB, without metadata.
    """
    orientation = _orientation(image)
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.size[0] * scale)), max(1, round(image.size[1] * scale)))
    if image.format in ("JPEG", "MPO"):
        # by both sides of what is stored: asked for a square, a 956 x 704 one would be decoded whole for a side of 384
        image.draft("RGB", size)
    image.load()
    stored = _to_colours(image)
    if stored.size != size:
        stored = stored.resize(size, Image.Resampling.HAMMING, reducing_gap=3.0)
    if stored.mode == "RGBA":
        white = Image.new("RGB", stored.size, (255, 255, 255))
        white.paste(stored, mask=stored.getchannel("A"))
        stored = white
    if orientation in _ROTATIONS:
        stored = stored.transpose(_ROTATIONS[orientation])
    # a fresh image: no profile, comment or EXIF of the original goes into the store
    stored.info = {}
    return stored


def _to_colours(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit grey: the high byte; Pillow's own conversion would clip at 255
        values = np.asarray(image).astype(np.int64)
        shift = 8 if values.max(initial=0) > 255 else 0
        return Image.fromarray((values >> shift).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # an image with broken EXIF is still an image
        return 1
