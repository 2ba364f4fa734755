"""CPU per product of AutoGluon's persisted predictor; run by `serving.py` in an environment of its own.

    python autogluon_serving.py TRAIN.csv PRODUCTS.csv SECONDS SINGLES BATCH BATCHES

The label is the log of the column ``price``, all other columns but ``sample_id`` are features, read as AutoGluon reads
them; best quality within the time.
"""

import sys
import tempfile
import time

import numpy as np
import pandas as pd
from autogluon.tabular import TabularPredictor


def main(train: str, products: str, seconds: str, singles: str, batch: str, batches: str) -> None:
    """Train, persist, predict and print."""
    learnt = pd.read_csv(train)
    learnt = learnt[learnt["price"] > 0]
    learnt["log_price"] = np.log(learnt["price"])
    learnt = learnt.drop(columns=["price", "sample_id"])
    asked = pd.read_csv(products)
    asked = asked[[name for name in learnt.columns if name in asked.columns]]
    with tempfile.TemporaryDirectory() as folder:
        predictor = TabularPredictor("log_price", path=folder, eval_metric="mean_absolute_error", verbosity=0)
        predictor.fit(learnt, presets="best_quality", time_limit=float(seconds))
        predictor.persist()
        for size, count in ((1, int(singles)), (int(batch), int(batches))):
            spent = []
            for number in range(count + 2):
                start = number * size % max(1, len(asked) - size + 1)
                rows = asked.iloc[start : start + size]
                began = time.process_time()
                predictor.predict(rows)
                spent.append(1000 * (time.process_time() - began))
            if count:
                what = f"AutoGluon, CPU ms, {'one product' if size == 1 else f'batch of {size}'}"
                found = np.array(spent[2:])
                print(f"{what:<34}{np.median(found):>9.1f}{np.quantile(found, 0.95):>9.1f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
