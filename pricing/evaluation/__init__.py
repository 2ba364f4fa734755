"""Metrics, plots, the report and the comparison of two runs."""
