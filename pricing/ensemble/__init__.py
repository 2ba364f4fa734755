"""Stacking of base models' log prices: meta-learners, simplex weights, calibration, the finished ensemble."""
