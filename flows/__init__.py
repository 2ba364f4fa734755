"""The flows, and what must be in the environment before Prefect is imported, here and in every child process."""

import os

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def _prepare_environment() -> None:
    """Send no telemetry, and ask servers on loopback directly, not through a proxy."""
    defaults = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
                "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}  # see flows.automations  # fmt: skip
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if not any(name.lower() in PROXIES for name in os.environ):
        return  # on macOS the variable alone would switch the system's proxies off
    upper, lower = os.environ.get("NO_PROXY"), os.environ.get("no_proxy")
    given = {"NO_PROXY": lower if upper is None else upper, "no_proxy": upper if lower is None else lower}
    for name, listed in given.items():
        hosts = [host.strip() for host in (listed or "").split(",") if host.strip()]
        if "*" not in hosts:
            os.environ[name] = ",".join([*hosts, *(host for host in _LOOPBACK if host not in hosts)])


_prepare_environment()
