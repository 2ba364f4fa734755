"""The tabular features as somebody would write them with pandas: vectorised string methods and compiled patterns.

The same columns as `FeatureEngineer` makes of a text without its TF-IDF, from the same word lists and the same grammar
of quantities, for `features_tabular.py` to compare: every column must be equal, and the speeds are measured side by
side.
"""

import re
import sys
import unicodedata

import numpy as np
import pandas as pd

from pricing.config.features import FeaturesConfig
from pricing.features import quantity_patterns as grammar
from pricing.features import quantity_rules as rules
from pricing.features import words as vocabulary
from pricing.features.brand import LONGEST, BrandNames
from pricing.features.keywords import CLAIMS
from pricing.features.quantity import _LOGS, _PLAIN, FALLBACK_CHARACTERS
from pricing.features.sections import NAME_CHARACTERS
from pricing.features.units import SPELLINGS, UNITS

WORD = r"[^\W]"


def _class(*categories: str) -> str:
    """Characters of Unicode categories, for a module without \\p{...}."""
    found = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in categories]
    return "[" + re.escape("".join(found)) + "]"


UPPER, CASED = re.compile(_class("Lu")), re.compile(_class("Lu", "Ll"))
PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
PATTERNS = {name: re.compile(pattern) for name, pattern in {
    "words": r"\S+", "lines": "\n", "digits": r"\d", "exclamations": "!", "non_ascii": r"[^\x00-\x7f]",
    "html": r"<[^<>]{1,100}>", "numbers": r"\d+(?:[.,]\d+)*", "commas": ",",
}.items()}  # fmt: skip
TOKEN = re.compile(grammar.TOKEN)
KINDS = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in grammar.TOKEN_KINDS.items()))
NUMBER = re.compile(grammar.NUMBER)
TEXT_SIZE = re.compile(grammar.TEXT_SIZE)
UNIT_FINDER = re.compile(rf"{grammar.NUMBER}\.?[ \-]*({grammar.unit_pattern('mass', 'volume', 'length', 'area')})\b")
NUMBER_WORD = re.compile("|".join(grammar.NUMBER_WORDS))
IN_BAGS = re.compile(r"(?i)\b(?:tea|k[ -]?cups?|pods?|capsules?)\b")
UNIT_TABLE = pd.DataFrame(
    [(key, name, UNITS[name].factor, UNITS[name].dimension) for key, name in SPELLINGS.items()],
    columns=["unit_key", "unit", "factor", "dimension"],
)


def sections(frame: pd.DataFrame) -> pd.DataFrame:
    """Parts of the catalogue texts."""
    text = frame["catalog_content"].fillna("")

    def line(label: str) -> pd.Series:
        return text.str.extract(re.compile(rf"(?m)^[ \t]*{label}[ \t]*:[ \t]*([^\r\n]*)"))[0].str.strip()

    bullet = re.compile(r"(?m)^[ \t]*Bullet Point[ \t]*\d*[ \t]*:[^\n]*")
    label = re.compile(r"(?m)^[ \t]*Bullet Point[ \t]*\d*[ \t]*:[ \t]*")
    described = re.compile(r"(?ms)^[ \t]*Product Description[ \t]*:[ \t]*(.*?)(?:^[ \t]*(?:Value|Unit)[ \t]*:|\Z)")
    bullets = text.str.findall(bullet)
    value = pd.to_numeric(line("Value"), errors="coerce")
    unit = line("Unit")
    return pd.DataFrame({
        "text": text,
        "prose": text.str.replace(re.compile(r"(?m)^[ \t]*(?:Value|Unit)[ \t]*:[^\n]*"), "", regex=True),
        "item_name": line("Item Name").fillna(text.str.extract(re.compile(r"([^\s][^\r\n]*)"))[0].str.strip())
        .fillna("").str.slice(0, NAME_CHARACTERS),
        "bullets": bullets.str.join("\n").str.replace(label, "", regex=True),
        "description": text.str.extract(described)[0].str.strip().fillna(""),
        "bullet_count": bullets.str.len(),
        "value": value.where(np.isfinite(value) & (value > 0)),
        "unit": unit.where(~unit.str.lower().isin(["", "none", "nan", "null", "n/a"]) & unit.notna()),
    })  # fmt: skip


def text_statistics(parts: pd.DataFrame) -> dict[str, pd.Series]:
    """Counts and shares."""
    text, name = parts["text"], parts["item_name"]
    count = {key: text.str.count(pattern) for key, pattern in PATTERNS.items()}
    characters, words = text.str.len(), count["words"]
    name_words = name.str.count(PATTERNS["words"])
    unique = name.str.lower().str.findall(PATTERNS["words"]).map(lambda found: len(set(found)))

    def share(part: pd.Series, whole: pd.Series) -> pd.Series:
        return (part / whole.where(whole > 0)).fillna(0.0)

    return {
        "text_characters": characters,
        "text_words": words,
        "text_lines": count["lines"] + (characters > 0),
        "text_word_length": share(text.str.count(re.compile(r"\S")), words),
        "text_digits_share": share(count["digits"], characters),
        "text_upper_share": share(text.str.count(UPPER), text.str.count(CASED)),
        "text_punctuation": text.str.count(PUNCTUATION),
        "text_exclamations": count["exclamations"],
        "text_non_ascii": count["non_ascii"],
        "text_html_tags": count["html"],
        "text_numbers": count["numbers"],
        "text_bullets": parts["bullet_count"],
        "text_bullet_characters": parts["bullets"].str.len(),
        "text_description_characters": parts["description"].str.len(),
        "text_name_characters": name.str.len(),
        "text_name_words": name_words,
        "text_name_numbers": name.str.count(PATTERNS["numbers"]),
        "text_name_upper_share": share(name.str.count(UPPER), name.str.count(CASED)),
        "text_name_commas": name.str.count(PATTERNS["commas"]),
        "text_name_unique_share": share(unique, name_words),
    }


def _whole_words(words: tuple[str, ...]) -> re.Pattern[str]:
    parts = (r"[\s\-]+".join(re.escape(piece) for piece in word.lower().split()) for word in words)
    return re.compile(rf"(?:^|\W)(?:{'|'.join(parts)})(?:$|\W)", re.IGNORECASE)


def keywords(parts: pd.DataFrame, config: FeaturesConfig) -> dict[str, pd.Series]:
    """Flags and counts of the configured words and the claims."""

    def slug(word: str) -> str:
        return "".join(letter if letter.isalnum() else "_" for letter in word.lower())

    groups = {f"quality_{slug(word)}": (word,) for word in config.quality_keywords}
    groups |= {f"discount_{slug(word)}": (word,) for word in config.discount_keywords}
    groups |= {f"claim_{name}": words for name, words in CLAIMS.items()}
    flags = {name: parts["prose"].str.contains(_whole_words(words)) for name, words in groups.items()}
    counts = {}
    for prefix in ("quality", "discount", "claim"):
        members = [flag for name, flag in flags.items() if name.startswith(f"{prefix}_")]
        counts[f"{prefix}_count"] = sum(members)
        if prefix != "claim":
            counts[f"has_{prefix}"] = counts[f"{prefix}_count"] > 0
    return flags | counts


def words(parts: pd.DataFrame) -> dict[str, pd.Series]:
    """Flavour, form and language."""

    def normalized(texts: pd.Series) -> pd.Series:
        apart = " " + texts.str.lower().str.replace(re.compile(r"[^\w\s\-]+"), " . ", regex=True) + " "
        return apart.str.replace(re.compile(r"[\s\-]+"), " ", regex=True)

    title = normalized(parts["item_name"])
    prose = normalized(parts["prose"].str.slice(0, vocabulary.LANGUAGE_CHARACTERS))

    def first(listed: tuple[str, ...]) -> pd.Series:
        longest_first = sorted(listed, key=lambda word: (-len(word), word))
        return title.str.extract(re.compile(f" ({'|'.join(longest_first)}) "))[0].fillna("")

    spoken = pd.DataFrame({
        language: prose.str.count(re.compile(f"(?= (?:{'|'.join(listed)}) )"))
        for language, listed in vocabulary.LANGUAGES.items()
    })  # fmt: skip
    foreign = spoken.drop(columns="en")
    others = foreign.max(axis=1).where(foreign.max(axis=1) >= 2, 0)
    total = spoken.sum(axis=1)
    return {
        "word_flavours": sum(title.str.contains(f" {word} ", regex=False).astype(int) for word in vocabulary.FLAVOURS),
        "word_forms": sum(title.str.contains(f" {word} ", regex=False).astype(int) for word in vocabulary.FORMS),
        "word_english_share": (spoken["en"] / total.where(total > 0)).fillna(1.0),
        "word_other_language": others > spoken["en"],
        "flavour": first(vocabulary.FLAVOURS),
        "form": first(vocabulary.FORMS),
        "language": foreign.idxmax(axis=1).where(others > spoken["en"], "en"),
    }


def brands(parts: pd.DataFrame, names: BrandNames) -> dict[str, pd.Series]:
    """Brand, sub-brand and where the brand stands."""
    clean = parts["item_name"].str.slice(0, 200).str.lower().str.replace(re.compile("[’']"), "", regex=True)
    clean = clean.str.replace(re.compile(r"[^\w&]+|_+"), " ", regex=True).str.strip()
    clean = clean.str.replace(re.compile(r"^(?:generic|the|by|new) "), "", regex=True)
    listed = clean.str.split()
    starts = [listed.str.slice(0, length).str.join(" ").where(listed.str.len() >= length)
              for length in range(1, LONGEST + 1)]  # fmt: skip

    def longest(known: dict[str, int]) -> pd.Series:
        found = pd.Series(pd.NA, index=clean.index, dtype=object)
        for start in reversed(starts):
            found = found.fillna(start.where(start.isin(known)))
        return found.fillna("")

    start, sub = longest(names.brands), longest(names.beginnings)
    padded = " " + listed.str.join(" ") + " "
    inside = pd.Series("", index=clean.index, dtype=object)
    if names.sure:
        sure = re.compile(" (" + "|".join(re.escape(name) for name in names.sure) + ") ")
        inside = padded.str.extract(sure)[0].fillna("")
    before = [len(text.split(f" {name} ", 1)[0].split()) for text, name in zip(padded, inside, strict=True)]
    position = pd.Series(before, index=clean.index, dtype=float).where(inside != "")
    brand = start.where(start != "", inside)
    return {
        "brand_frequency": np.log1p(brand.map(names.brands).fillna(0).astype(float)),
        "brand_words": brand.str.count(PATTERNS["words"]),
        "brand_known": brand != "",
        "brand_position": position.where(start == "", 0.0),
        "sub_brand_frequency": np.log1p(sub.map(names.beginnings).fillna(0).astype(float)),
        "brand": brand,
        "sub_brand": sub,
    }


# --- quantities


def _normalized_titles(titles: pd.Series) -> pd.Series:
    symbols = {sign: f" {fraction}" for sign, fraction in grammar._FRACTIONS.items()} | grammar._SIGNS
    table = str.maketrans(symbols)
    proper = re.compile("|".join(re.escape(text) for text in grammar._PROPER))
    text = titles.str.lower().str.translate(table)
    for pattern, new in (
        (r"\b([1-9]\d{0,2}),(\d{3})\b", r"\1\2"), (r"\b((?:of|x) \d+|\d+),(\d+\.\d)", r"\1, \2"),
        (r"\b(of \d+),(\d)", r"\1, \2"), (r"\b(\d{1,4}),(\d{1,2})([^\d]|$)", r"\1.\2\3"),
        (r"(^|[^\d/.])(\d{1,2}/\d{1,2})([^\d/]|$)", r"\1§\2§\3"), (r"(\d)[ \-]+§([1-9]+/\d+§)", r"\1§\2"),
    ):  # fmt: skip
        text = text.str.replace(re.compile(pattern), new, regex=True)
    text = text.str.replace(proper, lambda match: grammar._PROPER[match.group()], regex=True)
    return text.str.replace("§", "", regex=False)


def _unit_key(unit: pd.Series) -> pd.Series:
    return unit.str.lower().str.replace(re.compile(r"[.\s]+"), " ", regex=True).str.strip()


def _near(left: pd.Series, right: pd.Series, tolerance: float = rules.TOLERANCE) -> pd.Series:
    return (left - right).abs() <= tolerance * np.maximum(left, right)


def _tokens(titles: pd.Series) -> pd.DataFrame:
    found = _normalized_titles(titles).map(lambda title: [match.group() for match in TOKEN.finditer(title)])
    lines = found.reset_index(drop=True).explode().dropna().rename("token").rename_axis("row").reset_index()
    token = lines["token"].astype(str)
    kind = token.map(lambda text: KINDS.match(text).lastgroup)
    plain = token.str.replace("weight", "", n=1, regex=False)
    plain = plain.str.replace(NUMBER_WORD, lambda match: grammar.NUMBER_WORDS[match.group()], regex=True)
    numbers = plain.str.findall(NUMBER)
    units = token.str.findall(UNIT_FINDER)
    unit = pd.Series(np.where(kind == "measure", units.str[0], units.str[-1]), index=lines.index, dtype=object)
    lone = token.str.extract(re.compile(r"^(?:half )?(gallon|quart)"))[0]
    lines["unit_key"] = _unit_key(unit).str.replace("-", " ", regex=False).fillna(lone)
    lines = lines.merge(UNIT_TABLE, on="unit_key", how="left")
    first, second, last = (pd.to_numeric(numbers.str[at], errors="coerce") for at in (0, 1, -1))
    factor = lines["factor"]
    whole = (first == first.round()) & first.between(1, 500)
    is_range = (second > first) & (second < 2 * first) & (kind == "range")
    listed = kind == "range"
    half = token.str.startswith("half")
    inch = token.str.contains(re.compile(r"[\"']$"))
    pound, ounce = UNITS["lb"].factor, UNITS["oz"].factor
    size = pd.Series(np.select(
        [kind == "compound", is_range, (kind == "multiple") | listed, kind.isin(["measure", "multiple_back"]), inch,
         kind == "length"],
        [first * pound + second * ounce, (first + second) / 2 * factor, last * factor,
         first.fillna(pd.Series(np.where(half, 0.5, 1.0), index=first.index)) * factor, first * UNITS["in"].factor,
         first * factor], np.nan), index=lines.index)  # fmt: skip
    number = pd.Series(np.select(
        [kind == "dozen", kind == "multiple_back", (kind == "multiple") | (listed & ~is_range),
         (kind == "pack") & token.str.contains("+", regex=False),
         kind.isin(["pack", "nested", "containers", "pieces", "pieces_led"])],
        [np.where(half, 6.0, first.fillna(1.0) * 12), second, first.where(whole), first + second, first], np.nan),
        index=lines.index)  # fmt: skip
    amount = kind.isin(grammar.AMOUNT_KINDS)
    read = pd.DataFrame({
        "row": lines["row"], "kind": kind, "size": size.where(size > 0),
        "dimension": lines["dimension"].mask(inch, "length").mask(kind == "compound", "mass"),
        "unit": lines["unit"].mask(inch, "in").mask(kind == "compound", "lb"),
        "size_number": size / factor, "number": number.where(number >= 1), "inner": second.where(kind == "nested"),
        "is_total": kind.isin(["measure", "pieces"]) & token.str.contains("total", regex=False),
        "is_each": amount & token.str.contains(re.compile(r"(?:each|ea)$")), "is_guess": False,
    })  # fmt: skip
    also = is_range & whole
    guesses = read[also].assign(size=(second * factor)[also], number=first[also], is_guess=True)
    return pd.concat([read, guesses]).sort_values("row", kind="stable", ignore_index=True)


def _counts(rows: int, tokens: pd.DataFrame) -> pd.DataFrame:
    kind = tokens["kind"]
    pieces_kind, packs_kind = kind.isin(["pieces", "pieces_led", "dozen"]), kind.isin(["pack", "nested"])
    inner = tokens["inner"].where(tokens["inner"] > 1)
    pieces = tokens["number"].where(pieces_kind & ~tokens["is_total"]).fillna(inner)
    row = tokens["row"]

    def grouped(values: pd.Series, how: str) -> pd.Series:
        kept = values.dropna()
        return getattr(kept.groupby(row[kept.index]), how)()

    def product(values: pd.Series) -> pd.Series:
        kept = pd.DataFrame({"row": row, "value": values}).dropna().drop_duplicates()
        return kept.groupby("row")["value"].prod()

    packs = tokens["number"].where(packs_kind)
    length = kind == "length"
    found = pd.DataFrame({
        "packs": product(packs), "pack_last": grouped(packs, "last"), "inner": grouped(inner, "first"),
        "containers": grouped(tokens["number"].where(kind == "containers"), "first"),
        "pieces": grouped(pieces, "first"), "pieces_least": grouped(pieces, "min"),
        "pieces_most": grouped(pieces, "max"), "pieces_product": product(pieces).clip(1, 1e6),
        "pieces_stated": grouped(tokens["number"].where(pieces_kind & tokens["is_total"]), "first"),
        "length": grouped(tokens["size"].where(length), "first"),
        "length_dimension": grouped(tokens["dimension"].where(length), "first"),
        "mentions": (~tokens["is_guess"]).groupby(row).sum(),
    }).reindex(range(rows))  # fmt: skip
    found["packs"] = found["packs"].fillna(1.0).clip(1, 100_000)
    found[["pack_last", "inner"]] = found[["pack_last", "inner"]].fillna(1.0)
    found["mentions"] = found["mentions"].fillna(0)
    found["containers"] = found["containers"].where(found["containers"] != found["packs"])
    return found


def _coalesce(*series: pd.Series) -> pd.Series:
    found = series[0]
    for other in series[1:]:
        found = found.fillna(other)
    return found


def _amounts(tokens: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    kept = tokens[tokens["kind"].isin(grammar.AMOUNT_KINDS) & tokens["size"].notna()].reset_index(drop=True)
    lines = kept[["row", "size", "dimension", "size_number", "is_total", "is_each", "is_guess"]].assign(
        position=np.arange(len(kept)), name_unit=kept["unit"], times=kept["number"].fillna(1.0)
    )
    lines = lines.merge(rows, left_on="row", right_index=True, how="left")
    times, size, field = lines["times"], lines["size"], lines["field"]
    packs = lines["packs"].mask(times == lines["packs"], 1.0)
    own, pieces, containers, inner = size * times, lines["pieces"], lines["containers"], lines["inner"]
    unsaid = (packs == 1) & (times == 1)
    allowed = [
        (packs, packs), (packs * inner, packs * inner), (packs * containers, packs * containers),
        (containers, containers), (lines["pack_last"], lines["pack_last"]), (packs * pieces, packs),
        (packs * lines["pieces_most"], packs), (pieces, packs), (lines["pieces_stated"], packs),
        (packs * lines["pieces_product"], packs),
    ]  # fmt: skip
    fits = [_near(field, own * factor) for factor, _ in allowed]
    factor = _coalesce(*(value.where(fit) for fit, (value, _) in zip(fits, allowed, strict=True)))
    factor = factor.fillna(pd.Series(1.0, index=lines.index).where(lines["is_total"] & _near(field, own)))
    said = _coalesce(*(value.where(fit) for fit, (_, value) in zip(fits, allowed, strict=True)))
    by_name = np.select(
        [lines["is_total"], lines["is_each"] & pieces.notna(), unsaid & containers.notna()],
        [1.0, packs * pieces, containers], packs * inner,
    )  # fmt: skip
    same = lines["dimension"] == lines["field_dimension"]
    ratio = field / own
    ratio = ratio.where(same, np.where(lines["dimension"] == "mass", ratio / rules.FLUID, ratio * rules.FLUID))
    many_times = ratio.round()
    repeats = _near(lines["value"], lines["size_number"], 1e-6)
    field_many = many_times.where(
        many_times.between(2, rules.MOST_UNSAID) & _near(ratio, many_times, rules.WHOLE) & ~repeats
    )
    lines = lines.assign(packs=packs, own=own, unsaid=unsaid, factor=factor, said=said, by_name=by_name,
                         field_many=field_many, explained=factor.notna())  # fmt: skip
    lines = lines[lines["explained"] | ~lines["is_guess"]]
    order = pd.DataFrame({"row": lines["row"], "a": ~lines["explained"],
                          "b": ~lines["explained"] & ~lines["is_total"], "c": lines["times"] == 1,
                          "d": lines["position"]})  # fmt: skip
    chosen = lines.loc[order.sort_values(["row", "a", "b", "c", "d"]).index].drop_duplicates("row")
    explained, packs, times, own = (chosen[name] for name in ("explained", "packs", "times", "own"))
    counted = chosen["field_count"]
    counts = counted.between(2, rules.MOST_UNSAID) & ~_near(counted, chosen["size_number"], 1e-6) & ~chosen["in_bags"]
    nothing = chosen["pieces"].isna() & chosen["containers"].isna() & chosen["pieces_stated"].isna()
    many = _coalesce(chosen["field_many"], counted.where(counts & nothing)).where(~explained & chosen["unsaid"])
    same = chosen["dimension"] == chosen["field_dimension"]
    by_field = (explained | many.notna()) & (same | (chosen["name_unit"] == "oz")) & chosen["field"].notna()
    by_field &= _coalesce(chosen["factor"], chosen["field_many"]).notna()
    made = ~explained & chosen["name_unit"].isin(["quart", "gallon", "l"]) & (chosen["field_dimension"] == "mass")
    by_field |= made & (10 * chosen["field"] < own)
    by_field |= ~explained & (chosen["name_unit"] == "g") & (own <= 60) & (chosen["field"] > 3 * own) & many.isna()
    own_packs = times.where((times > 1) & (packs == 1), packs)
    return pd.DataFrame({
        "row": chosen["row"], "dimension": chosen["dimension"], "name_unit": chosen["name_unit"],
        "explained": explained, "size": (chosen["size"] / packs).where(chosen["is_total"], chosen["size"]),
        "pack": _coalesce(chosen["said"].where(chosen["said"] > 1), many,
                          chosen["containers"].where(~explained & chosen["unsaid"]),
                          own_packs.where(explained, own_packs * chosen["inner"])),
        "total_name": own * chosen["by_name"],
        "total": chosen["field"].where(by_field, own * _coalesce(chosen["factor"], many, chosen["by_name"])),
        "total_dimension": chosen["field_dimension"].where(by_field, chosen["dimension"]),
    }).set_index("row")  # fmt: skip


def _pieces_total(rows: pd.DataFrame) -> pd.Series:
    packs, pieces, most, product, stated, containers, counted = (
        rows[name] for name in ("packs", "pieces", "pieces_most", "pieces_product", "pieces_stated", "containers",
                                "field_count"))  # fmt: skip
    allowed = (pieces * packs, pieces, most * packs, most, product * packs, product, pieces * containers, stated)
    confirmed = np.logical_or.reduce([_near(counted, candidate, 1e-6) for candidate in allowed]) & (counted > 1)
    sums_up = _near(most, rows["pieces_least"] * packs, 1e-6) & (packs > 1)
    named = _coalesce(stated, most.where(sums_up), pieces * packs * containers.fillna(1.0))
    cases = (counted / named == (counted / named).round()) & (counted > named) & (packs == 1) & stated.isna()
    in_packs = _coalesce((containers * packs).where(containers.notna()), packs.where(packs > 1))
    return counted.where(confirmed | cases, _coalesce(named, np.fmax(counted, in_packs)))


def _read(titles: pd.Series, fields: pd.DataFrame) -> pd.DataFrame:
    tokens = _tokens(titles)
    field = pd.DataFrame({"value": fields["value"], "unit_key": _unit_key(fields["unit"])})
    field = field.merge(UNIT_TABLE, on="unit_key", how="left")
    base = field["value"] * field["factor"]
    rows = _counts(len(titles), tokens).assign(
        value=field["value"], unit=field["unit"], field_base=base, field_dimension=field["dimension"],
        field_count=base.where((field["dimension"] == "count") & (base == base.round())),
        field=base.where(field["dimension"].isin(["mass", "volume"])),
        in_bags=titles.reset_index(drop=True).str.contains(IN_BAGS),
    )  # fmt: skip
    pieces_total = _pieces_total(rows)
    joined = rows.join(_amounts(tokens, rows))
    joined["pieces_total"] = pieces_total
    joined["pack"] = _coalesce(joined["pack"], joined["packs"]).fillna(1.0).clip(1, 100_000)
    joined["total"] = joined["total"].fillna(joined["field"])
    joined["total_field"] = joined["field"]
    joined["total_dimension"] = joined["total_dimension"].fillna(
        joined["field_dimension"].where(joined["field"].notna())
    )
    joined["pieces"] = joined["pieces"].fillna(joined["pieces_stated"])
    return joined


def quantities(parts: pd.DataFrame) -> dict[str, pd.Series]:
    """Quantity columns."""
    parts = parts.reset_index(drop=True)
    frame = _read(parts["item_name"], parts[["value", "unit"]])
    needed = parts[frame["size"].isna()]
    prose = _normalized_titles(
        needed["bullets"].str.slice(0, FALLBACK_CHARACTERS) + "\n"
        + needed["description"].str.slice(0, FALLBACK_CHARACTERS)
    )  # fmt: skip
    said = prose.map(lambda text: match.group() if (match := TEXT_SIZE.search(text)) else None).dropna()
    empty = pd.DataFrame({"value": np.nan, "unit": pd.Series([None] * len(said), dtype=object)}, index=range(len(said)))
    read = _read(said.reset_index(drop=True), empty).set_index(said.index)
    text_size, text_pack, text_dimension = (read[name].reindex(frame.index) for name in ("size", "pack", "dimension"))
    spatial = frame["field_dimension"].isin(["length", "area"])
    from_text = frame["total"].isna() & frame["pieces"].isna() & frame["containers"].isna() & ~spatial
    from_text &= ~frame["in_bags"]
    packs = _coalesce(
        text_pack.where(text_pack.between(2, 1_000)),
        frame["pack"].where(frame["pack"].between(2, 1_000)),
        frame["field_count"].where(frame["field_count"].between(2, rules.MOST_UNSAID)),
    ).fillna(1.0)
    total = frame["total"].where(~from_text, text_size * packs)
    total_dimension = frame["total_dimension"].where(~from_text, text_dimension)
    counts = frame["pieces_total"].notna() | (frame["field_dimension"] == "count")
    family = _coalesce(
        total_dimension, frame["field_dimension"].where(spatial),
        pd.Series("count", index=frame.index).where(counts), frame["length_dimension"],
    ).fillna("none")  # fmt: skip
    spatial_total = frame["field_base"].where(spatial, frame["length"] * frame["pack"])
    agrees = frame["explained"].astype(float).where(frame["total_field"].notna())
    values = frame.assign(total=total, text_size=text_size, agrees=agrees).assign(
        size_per_pack=frame["size"] / frame["pack"], total_per_piece=total / frame["pieces_total"],
        amount=np.select([family.isin(["mass", "volume"]), family == "count", family != "none"],
                         [total, frame["pieces_total"], spatial_total], np.nan),
    )  # fmt: skip
    columns = {f"ipq_{name}": values[name].astype(float) for name in _PLAIN}
    with np.errstate(divide="ignore", invalid="ignore"):
        columns |= {f"ipq_log_{name}": np.log(values[name].where(values[name] > 0)) for name in _LOGS}
    columns |= {"ipq_family": family, "ipq_unit": frame["unit"].fillna("none"),
                "ipq_name_unit": frame["name_unit"].fillna("none")}  # fmt: skip
    return columns


def tabular_features(frame: pd.DataFrame, config: FeaturesConfig, names: BrandNames) -> pd.DataFrame:
    """All of them, in the FeatureEngineer's order of families."""
    parts = sections(frame)
    columns = quantities(parts) | text_statistics(parts) | keywords(parts, config) | words(parts)
    columns |= brands(parts, names)
    return pd.DataFrame({name: np.asarray(values) for name, values in columns.items()})
