"""The neural branch: a multimodal network on text, pictures and engineered features, and a sparse MLP on TF-IDF.

Nothing here imports torch on ``import pricing.neural``; the stage functions import it when they are called.
"""
