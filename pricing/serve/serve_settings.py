"""What the service allows, as its operator sets it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ByteSize, TypeAdapter, ValidationError

from pricing.config.resources import ResourcesConfig
from pricing.errors import ConfigError

KEY = "PRICING_API_KEY"


@dataclass(frozen=True)
class ServeSettings:
    """Limits and permissions of the service.

    Attributes
    ----------
    allow_hosts : tuple of str
        Hosts that images may be fetched from, private ones too; none fetches no image.
    max_body : int
        Maximum size of a request's body, in bytes.
    max_rows : int
        Maximum number of products per request, in a file too.
    max_text : int
        Maximum number of characters of one product, all its columns together.
    seconds : float
        Maximum time for a request's body to arrive, and for one piece of work (a JSON request, or a chunk of a file).
    in_flight : int
        Maximum number of requests for prices at a time, those that wait among them.
    workers : int
        Number of threads that price, each on one core.
    excel_safe : bool
        Whether CSV answers escape cells that a spreadsheet takes for formulas.
    key : str or None
        What the header X-API-Key must hold; None asks for no key.
    """

    allow_hosts: tuple[str, ...] = ()
    max_body: int = 10_000_000
    max_rows: int = 1000
    max_text: int = 100_000
    seconds: float = 60.0
    in_flight: int = 16
    workers: int = field(default_factory=lambda: ResourcesConfig().available())
    excel_safe: bool = False
    key: str | None = field(default=None, repr=False)


def parse_size(text: str) -> int:
    """Return a size such as ``10MB`` or ``512KiB`` in bytes.

    Raises
    ------
    ConfigError
        It is no size, or not positive.

    Examples
    --------
    >>> parse_size("10MB"), parse_size("1KiB"), parse_size("2000")
    (10000000, 1024, 2000)
    """
    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        size = 0
    if size <= 0:
        raise ConfigError(f"--max-body {text}: is no size; write a number of bytes with a unit, such as 10MB")
    return size


def read_key(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the key that the environment asks for, None where it asks for none.

    Raises
    ------
    ConfigError
        The variable is there and empty, which would open the service by mistake.
    """
    key = environment.get(KEY)
    if key is not None and not key.strip():
        raise ConfigError(f"{KEY} is empty; set it to the key that clients must send, or remove it to ask for none")
    return key
