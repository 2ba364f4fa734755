"""Currencies: how prices name them, and how they are shown.

A currency is its ISO 4217 code. A sign that several currencies share ("$", "kr") stands for itself: which of them is
meant is not guessed, and such a catalogue is shown with the sign that it has.
"""

_MONEY = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR
IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR
MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD
SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF
XPF YER ZAR ZMW ZWG
"""
CODES = frozenset(_MONEY.split())
"""Codes of ISO 4217 that are money in use."""

_DOLLARS = "USD AUD BBD BMD BND BSD BZD CAD FJD GYD HKD JMD KYD LRD NAD NZD SBD SGD SRD TTD TWD XCD"
_PESOS = "ARS CLP COP CUP DOP MXN UYU"
SHARED = {
    "$": frozenset(f"{_DOLLARS} {_PESOS}".split()),
    "¥": frozenset({"JPY", "CNY"}),
    "kr": frozenset({"SEK", "NOK", "DKK", "ISK"}),
    "Rs": frozenset({"INR", "PKR", "LKR", "NPR", "MUR", "SCR"}),
}
"""Signs that stand for several currencies, each with those it may mean."""

# the exponent 0 in ISO 4217, and what is written without decimals though it has one
_WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF COP HUF IDR IRR LAK TWD UZS"
NO_DECIMALS = frozenset([*_WHOLE.split(), "¥"])
"""Currencies that are written without decimals. ¥ is one of them: where it stands for CNY there are two at most, and
never three."""

_SIGNS = {
    "EUR": "€", "GBP": "£", "USD": "$", "INR": "₹", "RUB": "₽", "KRW": "₩", "ILS": "₪", "UAH": "₴", "NGN": "₦",
    "PHP": "₱", "VND": "₫", "THB": "฿", "TRY": "₺", "KZT": "₸", "GEL": "₾", "PLN": "zł", "CZK": "Kč", "HUF": "Ft",
}  # fmt: skip
"""Code to the sign that is shown; others are shown by their codes, as are those whose sign is shared."""

_SPELLINGS = {
    "euro": "EUR", "euros": "EUR", "us$": "USD", "u$s": "USD", "us dollar": "USD", "us dollars": "USD", "ca$": "CAD",
    "c$": "CAD", "can$": "CAD", "au$": "AUD", "a$": "AUD", "nz$": "NZD", "hk$": "HKD", "sg$": "SGD", "s$": "SGD",
    "nt$": "TWD", "mx$": "MXN", "r$": "BRL", "dollar": "$", "dollars": "$", "＄": "$", "￥": "¥", "￡": "GBP",
    "￦": "KRW", "元": "CNY", "rmb": "CNY", "円": "JPY", "sfr": "CHF", "fr": "CHF", "stg": "GBP",
    "rs": "Rs", "₨": "Rs", "rs/-": "Rs", "руб": "RUB", "р": "RUB", "грн": "UAH", "tl": "TRY", "lei": "RON",
    "leu": "RON", "лв": "BGN", "rm": "MYR", "rp": "IDR", "r": "ZAR", "s/": "PEN", "din": "RSD", "ft": "HUF",
    "kc": "CZK", "zl": "PLN", "kr": "kr", "skr": "SEK", "nkr": "NOK", "dkr": "DKK", "đ": "VND",
}  # fmt: skip

# codes that are words too: "all 4.99" names no currency, "ALL 4.99" does
_WORDS = frozenset({"all", "bam", "cop", "cup", "gel", "mad", "mop", "sos", "top", "try"})


def currency_of(text: str) -> str | None:
    """Return the currency that is written before or behind a number.

    Parameters
    ----------
    text : str
        What stands beside the number; case, dots and blanks do not matter.

    Returns
    -------
    str or None
        A code, or a sign of `SHARED`; "" where nothing stands there, None where it is no currency.

    Examples
    --------
    >>> currency_of(" € "), currency_of("kr."), currency_of("US$"), currency_of("$"), currency_of("per kg")
    ('EUR', 'kr', 'USD', '$', None)
    """
    key = " ".join(text.replace(".", " ").split())
    if key in CODES or (key.upper() in CODES and key.lower() not in _WORDS):
        return key.upper()
    return _WRITTEN.get(key.lower())


def one_currency(before: str, behind: str) -> str | None:
    """Return the currency of a price that may name it on both sides ("$12.99 USD"); None where it names none or two.

    A code decides what a shared sign means: "$12.99 CAD" is in Canadian dollars.
    """
    left, right = _named(before), _named(behind)
    if left is None or right is None:
        return None
    if not left or not right or left == right:
        return left or right
    for sign, code in ((left, right), (right, left)):
        if code in SHARED.get(sign, ()):
            return code
    return None


def _named(text: str) -> str | None:
    """As `currency_of`, of a code and a sign side by side too: "USD $"."""
    found = currency_of(text)
    words = text.split()
    if found is None and len(words) == 2:
        return one_currency(*words)
    return found


def price_sign(currency: str) -> str:
    """Return what stands before a price that is shown; "" without a currency.

    Examples
    --------
    >>> price_sign("EUR"), price_sign("$"), price_sign("CHF"), price_sign("")
    ('€', '$', 'CHF\\xa0', '')
    """
    sign = _SIGNS.get(currency, currency)
    # letters would run into the figure
    return f"{sign}\xa0" if sign[-1:].isalpha() else sign


_WRITTEN = {"": ""} | {sign.lower(): code for code, sign in _SIGNS.items()} | _SPELLINGS | {"$": "$", "¥": "¥"}
