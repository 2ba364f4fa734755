"""Item pack quantities with pandas: the part of `features_pandas.py` that reads amounts, packs and pieces.

The grammar is the project's own (`pricing.features.quantity_patterns`), the work on tables is pandas'.
"""

import re

import numpy as np
import pandas as pd

from pricing.features import quantity_patterns as grammar
from pricing.features import quantity_rules as rules
from pricing.features.quantity import _LOGS, _PLAIN, FALLBACK_CHARACTERS
from pricing.features.units import SPELLINGS, UNITS

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
