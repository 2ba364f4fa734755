"""Whether the server that Prefect's settings name can be used: asked once, before a run, so that a wrong address is one
line at once and not 130 s of retries and a traceback.
"""

import os
from urllib.parse import urlsplit

import httpx
from prefect.client.base import ServerType
from prefect.client.orchestration import get_client
from prefect.context import get_settings_context
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows import PROXIES
from pricing.errors import RunError

SECONDS = 10.0
"""Seconds to wait for an answer; a busy small machine takes 2."""
END = "the address ends in /api"
REMEDY = "Start the server (make server), correct the address, or remove it to use a temporary server"


def check_server(address: str) -> None:
    """Refuse a server that cannot be reached, is none of Prefect's, or does not let this process in.

    Parameters
    ----------
    address : str
        Of the API, as the settings have it.

    Raises
    ------
    RunError
        One line: the address, where it is set, and what to do.
    """
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(sync_client=True, httpx_settings={"timeout": SECONDS}) as client,
        ):
            cloud = client.server_type == ServerType.CLOUD  # its API tells no version
            answer = str(client.hello().status_code) if cloud else client.api_version()
    except Exception as error:
        trouble = _trouble(error)
    else:
        if isinstance(answer, str):
            return
        trouble = _trouble(ValueError(answer))
    raise RunError(f"Prefect server {_shown(address)}, {_origin()}: {trouble}") from None


def check_proxies() -> None:
    """Refuse a proxy in the environment that no client can be made with; loopback needs none, yet httpx makes them all.

    Raises
    ------
    RunError
        One line: the variables, and what to do.
    """
    try:
        httpx.Client().close()
    except Exception as error:
        # without the values, which may hold a password
        names = ", ".join(name for name in os.environ if name.lower() in PROXIES)
        raise RunError(f"{names}: no such proxy can be used ({error}); correct the variable or remove it") from None


def lost_server(error: Exception) -> RunError:
    """What a run says that lost its server on the way."""
    address = _shown(PREFECT_API_URL.value() or "")
    return RunError(f"Prefect server {address}: {_trouble(error)}; what is finished is kept, run again")


def _trouble(error: Exception) -> str:
    """What is wrong, and what to do."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    match error:
        case PrefectHTTPStatusError() | httpx.HTTPStatusError():
            code = error.response.status_code
            if code in (401, 403):
                return (
                    f"does not let this process in ({code}); set PREFECT_API_AUTH_STRING to the server's user:password "
                    "(PREFECT_API_KEY for Prefect Cloud)"
                )
            return f"answers with {code}, not as a Prefect API does; {END}. {REMEDY}"
        case httpx.TimeoutException():
            return f"did not answer within {SECONDS:.0f} s. {REMEDY}"
        case httpx.ProtocolError() | httpx.UnsupportedProtocol():
            return f"speaks another protocol than the address says ({reason}); is it http or https? {REMEDY}"
        case httpx.TransportError() if "SSL" in reason:
            return f"speaks no TLS, or has a certificate that is not known here ({reason}); http or https? {REMEDY}"
        case httpx.TransportError():
            return f"cannot be reached ({reason}). {REMEDY}"
        case ValueError():
            return f"answers, but not as a Prefect API does; {END}. {REMEDY}"
    return f"{reason}. {REMEDY}"


def _origin() -> str:
    """Where the address is set."""
    if any(name.upper() == "PREFECT_API_URL" for name in os.environ):
        return "from the environment variable PREFECT_API_URL"
    profile = get_settings_context().profile
    if PREFECT_API_URL in profile.settings:
        return f"from the Prefect profile {profile.name!r}"
    return "from .env, prefect.toml or pyproject.toml in this folder"


def _shown(address: str) -> str:
    """The address without a password."""
    parts = urlsplit(address)
    return address.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2]) if "@" in parts.netloc else address
