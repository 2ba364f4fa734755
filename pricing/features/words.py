"""What a title says a product tastes of, what form it comes in, and what language its text is in.

``flavour`` and ``form`` are the first such word of the title (categories), the counts are how many different ones it
has. The language is the one whose function words the text uses most; a product's text is short and mixes languages
("Hojas de Guanabana, dried leaves"), so words decide and not letter statistics.
"""

import polars as pl

from pricing.features.keywords import flag_words, normalized_words
from pricing.features.schema import make_columns
from pricing.features.vocabulary import VOCABULARY

NUMERIC = ("word_flavours", "word_forms", "word_english_share", "word_other_language")
CATEGORICAL = ("flavour", "form", "language")
COLUMNS = make_columns("words", NUMERIC, CATEGORICAL)

FLAVOURS, FORMS = tuple(VOCABULARY["flavours"]), tuple(VOCABULARY["forms"])
LANGUAGES: dict[str, list[str]] = VOCABULARY["languages"]
#: characters of a text that are read for its language
LANGUAGE_CHARACTERS = 2_000


def _first(padded: pl.Expr, words: tuple[str, ...]) -> pl.Expr:
    """The listed word that stands first; of two that begin together, the longer."""
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return padded.str.extract(f" ({'|'.join(longest_first)}) ").fill_null("")


def word_features(sections: pl.DataFrame) -> pl.DataFrame:
    """Flavour, form and language columns of n products.

    Parameters
    ----------
    sections : DataFrame
        n rows as `split_sections` gives them (item_name, prose).

    Returns
    -------
    DataFrame
        n rows: `NUMERIC` (Float64) and `CATEGORICAL` (String, "" where no word is found). ``word_english_share`` is the
        share of English among all function words found, 1 where there are none; ``word_other_language`` 1 where
        another language has more.
    """
    texts = sections.select(
        title=normalized_words(pl.col("item_name")),
        prose=normalized_words(pl.col("prose").str.slice(0, LANGUAGE_CHARACTERS)),
    )
    counted = {"flavours": FLAVOURS, "forms": FORMS}
    flags = {name: flag_words(texts["title"], {word: (word,) for word in words}) for name, words in counted.items()}
    listed = sorted({f" {word} " for words in LANGUAGES.values() for word in words})
    found = texts.select(pl.col("prose").str.extract_many(listed, overlapping=True)).to_series()
    counts = pl.DataFrame(
        {
            language: found.list.eval(pl.element().is_in([f" {word} " for word in words])).list.sum()
            for language, words in LANGUAGES.items()
        }
    ).fill_null(0)
    # one "de" is a name ("Consome de Tomate"), two are a language
    others = pl.max_horizontal(name for name in LANGUAGES if name != "en")
    others = pl.when(others >= 2).then(others).otherwise(0)
    total = pl.sum_horizontal(list(LANGUAGES))
    foreign = (pl.when(pl.col(name) == others).then(pl.lit(name)) for name in LANGUAGES if name != "en")
    language = pl.when(pl.col("en") >= others).then(pl.lit("en")).otherwise(pl.coalesce(*foreign))
    spoken = counts.select(
        word_english_share=pl.when(total > 0).then(pl.col("en") / total).otherwise(1.0),
        word_other_language=(others > pl.col("en")).cast(pl.Float64),
        language=language,
    )
    return texts.select(
        flags["flavours"].select(word_flavours=pl.sum_horizontal(pl.all())).to_series(),
        flags["forms"].select(word_forms=pl.sum_horizontal(pl.all())).to_series(),
        *spoken.get_columns()[:2],
        flavour=_first(pl.col("title"), FLAVOURS),
        form=_first(pl.col("title"), FORMS),
        language=spoken["language"],
    )
