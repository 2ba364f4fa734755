"""Hyperparameter search; a package of its own, so that its code is in no trained model's key."""
