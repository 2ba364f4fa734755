"""The small catalogue of the features' tests."""

from tests.features.conftest import engineer, features, products

__all__ = ["engineer", "features", "products"]
