"""Pretrained encoders that features and networks share: where their weights are found, and what texts they read.

Nothing here imports torch on ``import pricing.pretrained``.
"""
