"""Reading the catalogue, splitting it, fetching its images."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from pricing.config.base import Section
from pricing.config.columns import CHALLENGE, ColumnsConfig

_HEADER = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"
"""One line of printable ASCII: a line break in a header would begin another one."""


class CatalogueConfig(Section):
    """How catalogue files are read."""

    on_bad_rows: Literal["refuse", "quarantine"] = "refuse"
    """Refuse a catalogue with bad rows, or go on without them and write them to a file."""
    on_unpriced_rows: Literal["refuse", "price"] = "refuse"
    """Rows to learn from whose price is empty, NaN or null: treat them as bad rows, or learn nothing from them and
    write their predicted prices to unpriced.csv."""
    columns: ColumnsConfig | None = None
    """Roles of the columns. None reads sample_id, catalog_content, image_link and price."""
    separator: str | None = Field(None, min_length=1, max_length=1)
    """Sign between the fields of a CSV file, or the word tab. None detects a comma, semicolon, tab or vertical bar."""
    encoding: Literal["utf-8", "utf-16", "cp1252"] | None = None
    """Encoding of a CSV or JSON file. None detects UTF-8 and UTF-16; cp1252 is read only where it is set."""
    decimal_mark: Literal[".", ","] | None = None
    """Decimal mark of prices and numbers that are written as text. None detects it, and refuses prices that both
    readings fit."""
    date_order: Literal["day", "month"] | None = None
    """What comes first in dates such as 03/04/2024. None detects it, and refuses dates that both readings fit."""
    currency: str | None = Field(None, pattern="^[A-Z]{3}$")
    """Currency of the prices, as three letters such as EUR. None takes it from the prices, where they name one."""

    @field_validator("separator", mode="before")
    @classmethod
    def _separates(cls, value: object) -> object:
        if value in ('"', "\r", "\n"):
            raise ValueError("a quote or line end separates no fields; give another sign, or the word tab")
        return "\t" if value in ("tab", "\\t") else value

    @property
    def roles(self) -> ColumnsConfig:
        """The columns' roles: those set, or the challenge's."""
        return self.columns or CHALLENGE


class HoldoutConfig(Section):
    """The part that no model, tuner, calibrator or weight ever sees."""

    fraction: float = Field(0.15, gt=0.0, lt=0.5)
    """Share of the near-duplicate groups that is held out, chosen by a hash of the group. Where catalogue.columns names
    a time, the share of the rows that is held out, the latest ones."""
    refit: bool = False
    """After the hold-out's figure is taken, train one more model a member on all labelled rows."""


class FoldsConfig(Section):
    """Cross-validation folds, stratified by price."""

    kind: Literal["grouped", "random"] = "grouped"
    """grouped keeps near-duplicates in one fold; random mimics the challenge's own split."""
    n_splits: int = Field(5, ge=2, le=20)
    """Number of folds."""
    price_bins: int = Field(10, ge=1)
    """Price quantiles used for stratification."""
    max_titles_per_link: int = Field(20, ge=1)
    """An image link under more different titles than this is a placeholder, and does not make near-duplicates."""


class ImagesConfig(Section):
    """The image downloader."""

    enabled: bool = True
    """Fetch and use images at all."""
    side: int = Field(384, ge=16, le=4096)
    """Longest side of a stored image, in pixels; smaller ones are not enlarged."""
    quality: int = Field(90, ge=1, le=100)
    """JPEG quality of a stored image."""
    keep_original: bool = False
    """Also keep the bytes as they came."""
    shard_size: int = Field(10_000, ge=1)
    """Images per download task, a minute's work: the end of a shard, when its last images are tried again and no
    others are under way, and the task run itself then cost less than 2 %."""
    concurrency: int = Field(32, ge=1, le=1024)
    """Images in flight over all hosts, from the request until they are recorded."""
    per_host: int = Field(16, ge=1, le=1024)
    """Requests in flight to one host."""
    retries: int = Field(8, ge=0, le=20)
    """Tries after the first one."""
    backoff_base: float = Field(0.1, gt=0)
    """First backoff, in seconds; doubles each try, with full jitter."""
    backoff_max: float = Field(30.0, gt=0)
    """Longest backoff, in seconds."""
    retry_after_max: float = Field(300.0, ge=0)
    """Longest Retry-After that is waited for, in seconds; beyond it the image is given up for this run."""
    connect_timeout: float = Field(10.0, gt=0)
    """Seconds to connect."""
    idle_timeout: float = Field(20.0, gt=0)
    """Seconds without a byte."""
    total_timeout: float = Field(60.0, gt=0)
    """Seconds for one request."""
    breaker_failures: int = Field(20, ge=1)
    """Failures in a row (connections refused, or images given up) that take a host for down."""
    breaker_seconds: float = Field(2.0, gt=0)
    """Pause before a host that cannot be reached is probed, in seconds; doubles with each failed probe."""
    breaker_probes: int = Field(3, ge=1)
    """Failed probes after which the host's other images fail at once."""
    max_bytes: int = Field(20_000_000, gt=0)
    """Largest image accepted, in bytes."""
    max_pixels: int = Field(80_000_000, gt=0, le=89_000_000)
    """Largest image accepted, in pixels; Pillow's own alarm begins at 89 million."""
    max_side: int = Field(20_000, ge=16)
    """Longest side accepted, in pixels."""
    min_side: int = Field(2, ge=1)
    """Shortest side accepted, in pixels; servers answer 1 x 1 for images they do not have."""
    max_redirects: int = Field(5, ge=0)
    """Redirects followed."""
    allow_hosts: tuple[str, ...] = ()
    """Private or loopback hosts that may be asked."""
    user_agent: str | None = Field(None, pattern=_HEADER)
    """User-Agent header of every request, for servers that refuse unknown programs. None sends this program's name and
    version. It is written into run.json."""
    referer: str | None = Field(None, pattern=_HEADER)
    """Referer header of every request, for servers that answer only their own pages. None sends none. It is written
    into run.json."""
    proxy: str | None = None
    """HTTP proxy for every request, such as http://proxy.example.com:3128. None asks the hosts directly; HTTP_PROXY and
    HTTPS_PROXY are not used. Behind a proxy only addresses and localhost are checked for being public, not what other
    names resolve to."""
    refresh: bool = False
    """Ask again for images that were fetched or refused before. An image that has not changed is not sent again, and
    one that can no longer be had stays. Off, an image is fetched once."""
    refresh_days: float = Field(0.0, ge=0.0)
    """Minimum age of an image before refresh asks for it again, in days; 0 asks for all."""

    @field_validator("proxy")
    @classmethod
    def _proxy_without_secrets(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected http://HOST:PORT or https://HOST:PORT")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a name or password would stand in run.json; name a proxy that needs none")
        return value
