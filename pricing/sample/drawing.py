"""Drawn product pictures: a package with a large seal whose colour and shape show the product's grade.

Package, colours, place, tilt and light change from picture to picture and say nothing about the price.
"""

import colorsys
import io
import math

import numpy as np
from PIL import Image, ImageDraw

SIDE = 112
"""Pixels of a picture's side."""

_SEALS = ((40, 90, 215), (30, 160, 70), (235, 170, 20))  # one a grade, lowest first: blue, green, gold


def draw_product(category: int, grade: int, rng: np.random.Generator) -> bytes:
    """Draw one product.

    Parameters
    ----------
    category : int
        0 to 5: pouch, box, bar, tall bottle, small bottle, jar.
    grade : int
        0 to 2: a blue disc, a green square, a golden star.
    rng : numpy Generator
        Everything else.

    Returns
    -------
    bytes
        A JPEG of SIDE x SIDE pixels, 2 to 4 KB.
    """
    dice = rng.random(12)
    picture = Image.new("RGB", (SIDE, SIDE), _shade(dice[0], 0.06 * dice[1], 0.88 + 0.12 * dice[2]))
    draw = ImageDraw.Draw(picture)
    x, y = SIDE * (0.46 + 0.08 * dice[3]), SIDE * (0.48 + 0.06 * dice[4])
    body, edge = _shade(dice[5], 0.25 * dice[6], 0.45 + 0.4 * dice[7]), _shade(dice[5], 0.2, 0.3)
    _package(draw, category, x, y, SIDE * (0.40 + 0.04 * dice[8]), body, edge)
    light = 0.88 + 0.16 * dice[9]
    colour = tuple(min(255, int(channel * light)) for channel in _SEALS[grade])
    _seal(draw, grade, x, y + SIDE * 0.06, SIDE * (0.23 + 0.04 * dice[10]), (dice[11] - 0.5) * 0.5, colour)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def truncated(jpeg: bytes) -> bytes:
    """The first 60 % of a picture, as a broken transfer leaves it."""
    return jpeg[: len(jpeg) * 3 // 5]


def not_a_picture() -> bytes:
    """What some servers send under a picture's name."""
    return b"<!DOCTYPE html>\n<html><head><title>Not found</title></head><body>This item is gone.</body></html>\n"


def _shade(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return int(255 * red), int(255 * green), int(255 * blue)


def _package(
    draw: ImageDraw.ImageDraw,
    category: int,
    x: float,
    y: float,
    r: float,
    body: tuple[int, int, int],
    edge: tuple[int, int, int],
) -> None:
    """Half height r around (x, y)."""
    if category == 0:  # pouch
        draw.polygon(_points(x, y, r, (-0.7, -1, 0.7, -1, 0.85, 1, -0.85, 1)), fill=body, outline=edge)
        draw.line(_points(x, y, r, (-0.72, -0.8, 0.72, -0.8)), fill=edge, width=3)
    elif category == 1:  # box
        draw.rectangle(_points(x, y, r, (-0.85, -0.8, 0.85, 1)), fill=body, outline=edge)
        draw.polygon(_points(x, y, r, (-0.85, -0.8, -0.6, -1, 1, -1, 0.85, -0.8)), fill=edge)
    elif category == 2:  # bar
        draw.rectangle(_points(x, y, r, (-1.05, -0.65, 1.05, 0.95)), fill=body, outline=edge)
        for place in (-1.05, 0.9):
            draw.rectangle(_points(x, y, r, (place, -0.65, place + 0.15, 0.95)), fill=edge)
    elif category == 3:  # tall bottle
        draw.rectangle(_points(x, y, r, (-0.2, -1.1, 0.2, -0.4)), fill=edge)
        draw.rounded_rectangle(_points(x, y, r, (-0.65, -0.55, 0.65, 1.1)), radius=r * 0.3, fill=body, outline=edge)
    elif category == 4:  # small bottle
        draw.rectangle(_points(x, y, r, (-0.3, -0.95, 0.3, -0.5)), fill=edge)
        draw.ellipse(_points(x, y, r, (-0.8, -0.65, 0.8, 1.05)), fill=body, outline=edge)
    else:  # jar
        draw.rectangle(_points(x, y, r, (-0.7, -0.95, 0.7, -0.65)), fill=edge)
        draw.rounded_rectangle(_points(x, y, r, (-0.8, -0.65, 0.8, 1)), radius=r * 0.15, fill=body, outline=edge)


def _seal(
    draw: ImageDraw.ImageDraw, grade: int, x: float, y: float, r: float, turn: float, colour: tuple[int, ...]
) -> None:
    if grade == 0:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour, outline="white", width=2)
        return
    corners, inner = (4, 1.0) if grade == 1 else (5, 0.6)
    radii = [1.15 * r] if grade == 1 else [1.3 * r, 1.3 * r * inner]
    steps = corners * len(radii)
    start = turn + (math.pi / 4 if grade == 1 else -math.pi / 2)
    points = []
    for step in range(steps):
        radius, angle = radii[step % len(radii)], start + 2 * math.pi * step / steps
        points.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
    draw.polygon(points, fill=colour, outline="white", width=2)


def _points(x: float, y: float, r: float, relative: tuple[float, ...]) -> list[float]:
    return [(x if place % 2 == 0 else y) + r * value for place, value in enumerate(relative)]
