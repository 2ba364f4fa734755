"""Which prediction intervals there are. Not in the configuration, whose code is in no stage's key."""

LEVELS = (80, 95)
"""Coverages of the prediction intervals in percent."""
INTERVAL_COLUMNS = tuple(f"{end}_{level}" for level in LEVELS for end in ("low", "high"))
"""Columns of the ensemble's tables and of the file beside a submission: low_80, high_80, low_95, high_95."""
