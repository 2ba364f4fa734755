"""The minimum number of rows that a stack is trained on; no heavy imports."""

FEWEST_ROWS = 20
"""Below some 10 rows a fold's screening and weights divide by nothing; 20 leave two rows per fold in ten folds, and
were tried with 2 to 10 folds of good, noisy and constant members."""
