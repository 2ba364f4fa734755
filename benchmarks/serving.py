"""CPU per product of a warm model, AutoGluon's beside it, and the service under a steady load.

    python benchmarks/serving.py MODEL PRODUCTS.csv [--singles 200] [--batches 10] [--batch 100]
        [--rate 20] [--seconds 60] [--autogluon PYTHON --train TRAIN.csv --train-seconds 600]

MODEL is a run's output folder or its model folder, PRODUCTS holds products with its columns. No image is read. First
the CPU of `Pricer.predict`, of all threads, reading the table included: one product at a time, and batches. Then
`pricing serve` in a process of its own gets one product per request at a constant rate. A latency counts from the
moment at which the request was due, so that a slow answer also delays the requests behind it. PYTHON is an interpreter
that has autogluon.tabular; its predictor is trained on TRAIN, which has the products' columns and a price, and
persisted.
"""

import argparse
import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import polars as pl

from pricing import Pricer

_START_SECONDS = 300
_PATIENCE = 30.0
"""Seconds after which a request counts as lost."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("products", type=Path)
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--autogluon")
    parser.add_argument("--train", type=Path)
    parser.add_argument("--train-seconds", type=float, default=600.0)
    options = parser.parse_args()
    if options.autogluon and options.train is None:
        parser.error("--autogluon needs --train, a catalogue with prices")
    products = pl.read_csv(options.products, infer_schema=False)
    print(f"{'':<34}{'median':>9}{'p95':>9}")
    for what, size, count in (("one product", 1, options.singles), ("batch", options.batch, options.batches)):
        if count:
            show(
                f"CPU ms, {what} of {size}" if size > 1 else f"CPU ms, {what}", measure(options, products, size, count)
            )
    if options.autogluon:
        script = Path(__file__).with_name("autogluon_serving.py")
        command = [options.autogluon, str(script), options.train, options.products, options.train_seconds]
        command += [options.singles, options.batch, options.batches]
        subprocess.run(list(map(str, command)), check=True)
    if options.seconds:
        serve(options, products)


def show(what: str, milliseconds: np.ndarray) -> None:
    """Print median and 95th percentile."""
    print(f"{what:<34}{np.median(milliseconds):>9.1f}{np.quantile(milliseconds, 0.95):>9.1f}", flush=True)


def measure(options: argparse.Namespace, products: pl.DataFrame, size: int, count: int) -> np.ndarray:
    """CPU milliseconds of ``count`` predictions of ``size`` products each; the first two are not counted."""
    pricer = Pricer.load(options.model, {"images.enabled": False, "resources.cores": 1})
    spent = []
    for number in range(count + 2):
        start = number * size % max(1, products.height - size + 1)
        began = time.process_time()
        pricer.predict(products[start : start + size], intervals=True, trust=True)
        spent.append(1000 * (time.process_time() - began))
    return np.array(spent[2:])


def serve(options: argparse.Namespace, products: pl.DataFrame) -> None:
    """Start the service, load it and print latencies, errors and memory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "flows.cli", "serve", "--model", str(options.model), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(load(process.pid, f"http://127.0.0.1:{port}", options, products))
    finally:
        process.terminate()
        process.wait(60)


async def load(pid: int, address: str, options: argparse.Namespace, products: pl.DataFrame) -> None:
    """Send one product per request at the rate asked for."""
    rows = products.to_dicts()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=_PATIENCE, limits=limits, trust_env=False) as client:
        await ready(client)
        for number in range(5):
            await ask(client, rows[number % len(rows)])
        before, count = resident(pid), int(options.rate * options.seconds)
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def request(number: int) -> tuple[float, bool]:
            due = began + number / options.rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            good = await ask(client, rows[number % len(rows)])
            return 1000 * (loop.time() - due), good

        found = await asyncio.gather(*(request(number) for number in range(count)))
        after = resident(pid)
    show(f"service, ms at {options.rate:g} per second", np.array([taken for taken, _ in found]))
    print(
        f"requests {count}, errors {sum(not good for _, good in found)}, resident {before} MB before, {after} MB after"
    )


async def ready(client: httpx.AsyncClient) -> None:
    """Wait until the service answers."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        try:
            if (await client.get("/ready")).status_code == 200:
                return
        except httpx.TransportError:
            await asyncio.sleep(0.5)
    raise TimeoutError(f"the service did not start within {_START_SECONDS} s")


async def ask(client: httpx.AsyncClient, row: dict[str, str | None]) -> bool:
    """Price one product; whether there was a price."""
    try:
        answer = await client.post("/price", json={"products": [row]})
        return answer.status_code == 200 and "price" in answer.json()["prices"][0]
    except httpx.TransportError:
        return False


def resident(pid: int) -> int:
    """Return the resident memory of a process in MB; Linux only."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


if __name__ == "__main__":
    main()
