"""The commands that start no Prefect, and the options that all commands share; `flows.cli` puts them together."""
