"""AutoGluon's best quality on one table; run by `second_market.py` in an environment of its own.

    python autogluon_best.py TRAIN.parquet HOLDOUT.parquet OUT.parquet SECONDS

The label is the column ``log_price``, judged by the mean absolute error, as SMAPE is nearly one of logs. All other
columns are features, read as AutoGluon reads them. OUT gets ``log_price`` predicted for each row of HOLDOUT.
"""

import sys
import tempfile

import pandas as pd
from autogluon.tabular import TabularPredictor


def main(train: str, holdout: str, out: str, seconds: str) -> None:
    """Train within the time, and predict."""
    with tempfile.TemporaryDirectory() as folder:
        predictor = TabularPredictor("log_price", path=folder, eval_metric="mean_absolute_error", verbosity=1)
        predictor.fit(pd.read_parquet(train), presets="best_quality", time_limit=float(seconds))
        predictor.predict(pd.read_parquet(holdout)).to_frame("log_price").to_parquet(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
