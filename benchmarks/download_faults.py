"""How close the downloader comes to what latency and concurrency allow, and what faults cost it.

    python benchmarks/download_faults.py [--images N]

A loopback server in a process of its own waits 100 ms before each answer; 16 requests are in flight, so 160 a second
is the most there can be. By default more images than that may be under way, most of them being decoded
(`concurrency` 32, `per_host` 16); "strict" is 16 images in all, from the request to the record. Then the same with
faults by chance: 30 % of all answers are one of 429, 500, 503, a reset connection, a connection reset within the body,
a body cut short; and some images can never be had (404, a web page with status 200, a redirect loop).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.download_support import download, image_server, photograph_pool
from tests.download.fault_server import NEVER, drawn

LATENCY, CONCURRENCY = 0.1, 16
TRANSIENT = dict.fromkeys(("429", "500", "503", "reset", "reset-within", "cut"), 0.05)
FINAL = {"404": 0.02, "html": 0.01, "loop": 0.005}
REASONS = {"404": "http_404", "html": "not_an_image", "loop": "too_many_redirects"}


def impossible(count: int, mix: dict[str, float]) -> dict[str, int]:
    """Images that can never be had, by the reason that the downloader should give."""
    final = {name: share for name, share in mix.items() if name in NEVER}
    kinds = [fault for fault in (drawn(f"/{index}.jpg", 0, final) for index in range(count)) if fault is not None]
    names = {"status": "404", "body": "html", "redirect": "loop"}
    return dict(Counter(REASONS[names[fault.kind]] for fault in kinds))


def main() -> None:
    """Print the table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1600)
    options = parser.parse_args()
    count, most = options.images, CONCURRENCY / LATENCY
    settings = {"side": 384, "per_host": CONCURRENCY}
    with tempfile.TemporaryDirectory() as scratch:
        pool = Path(scratch) / "pool"
        photograph_pool(pool, 100)
        print(f"{'server':<34} {'images/s':>10} {'of most':>8} {'requests':>8}  failed")
        seconds = {}
        for name, images, mix in (
            ("small images", None, {}),
            ("small images, strict", None, {}),
            ("photographs", pool, {}),
            ("photographs, strict", pool, {}),
            ("30 % transient faults", None, TRANSIENT),
            ("some impossible", None, FINAL),
            ("both", None, TRANSIENT | FINAL),
        ):
            strict = {"concurrency": CONCURRENCY} if "strict" in name else {}
            with image_server(images, LATENCY, mix) as served:
                _, report = download(served.address, count, Path(scratch) / name, **settings, **strict)
            seconds[name] = report["seconds"]
            speed = count / report["seconds"]
            print(
                f"{name:<34} {speed:>10.1f} {speed / most:>8.1%} {served.requests:>8}  {report['failed'] or 'none'}",
                flush=True,
            )
            expected = impossible(count, mix)
            if report["failed"] != expected:
                print(f"  expected {expected}")
    transient = seconds["30 % transient faults"] / seconds["small images"]
    both = seconds["both"] / seconds["some impossible"]
    print(f"30 % transient faults: {transient:.2f} times as long; where some are impossible {both:.2f} times")


if __name__ == "__main__":
    main()
