"""What a run's page in the UI shows."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.run_page import WIDTH, plot_address


def test_a_plot_is_a_small_image_in_its_own_address(tmp_path: Path) -> None:
    """As artifacts are rows of the server's database, plots of half a megabyte would fill it."""
    place = np.linspace(0, 255, 2000)
    drawn = np.stack([np.broadcast_to(place, (900, 2000)), np.full((900, 2000), 90)] * 2, axis=-1).astype(np.uint8)
    Image.fromarray(drawn, "RGBA").save(tmp_path / "plot.png")
    head, _, data = plot_address(tmp_path / "plot.png").partition(",")
    assert head == "data:image/webp;base64"
    assert len(data) < 200_000
    with Image.open(BytesIO(base64.b64decode(data))) as shown:
        assert shown.size == (WIDTH, WIDTH * 900 // 2000)
    Image.new("L", (300, 200)).save(tmp_path / "small.png")
    _, _, data = plot_address(tmp_path / "small.png").partition(",")
    with Image.open(BytesIO(base64.b64decode(data))) as shown:
        assert shown.size == (300, 200), "not made larger"
