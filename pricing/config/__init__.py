"""The sections of the configuration; `pricing.configuration` puts them together."""
