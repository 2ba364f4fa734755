"""What must not be shown of a text: the name and the password in an address."""

import re

_NAMED = re.compile(r"(:/{1,2})[^/\s@'\"]+@")
_OPTIONS = re.compile(r"(\b[a-z0-9+]{2,}:/[^\s?'\"]*\?)[^\s'\"]+")


def without_secrets(text: str) -> str:
    """Return a text with ``***`` in place of the ``user:password`` and the options of every address in it."""
    return _OPTIONS.sub(r"\1***", _NAMED.sub(r"\1***@", text))
