"""What a title says a product tastes of, what form it comes in, and what language its text is in.

``flavour`` and ``form`` are the first such word of the title (categories), the counts are how many different ones it
has. The language is the one whose function words the text uses most; a product's text is short and mixes languages
("Hojas de Guanabana, dried leaves"), so words decide and not letter statistics.
"""

import polars as pl

from pricing.features.brand import first_runs
from pricing.features.keywords import normalized_words
from pricing.features.schema import make_columns
from pricing.features.vocabulary import VOCABULARY

NUMERIC = ("word_flavours", "word_forms", "word_english_share", "word_other_language")
CATEGORICAL = ("flavour", "form", "language")
COLUMNS = make_columns("words", NUMERIC, CATEGORICAL)

FLAVOURS, FORMS = tuple(VOCABULARY["flavours"]), tuple(VOCABULARY["forms"])
LANGUAGES: dict[str, list[str]] = VOCABULARY["languages"]
_FLAVOURS, _FORMS = frozenset(FLAVOURS), frozenset(FORMS)
#: word to the languages that it is of
_SPOKEN = {
    word: [language for language, spoken in LANGUAGES.items() if word in spoken]
    for words in LANGUAGES.values() for word in words
}  # fmt: skip
#: characters of a text that are read for its language
LANGUAGE_CHARACTERS = 2_000


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
    titles = normalized_words(sections["item_name"])
    prose = normalized_words(sections["prose"].str.slice(0, LANGUAGE_CHARACTERS))
    # what may be a name, from the first place on, the longer before the shorter
    split = (title.split() for title in titles)
    runs = [[run for place in range(len(words)) for run in first_runs(words[place:])] for words in split]
    languages = [_language(text.split()) for text in prose]
    english, foreign, language = zip(*languages, strict=True) if languages else ((), (), ())
    return pl.DataFrame(
        {
            "word_flavours": [len(_FLAVOURS.intersection(listed)) for listed in runs],
            "word_forms": [len(_FORMS.intersection(listed)) for listed in runs],
            "word_english_share": english,
            "word_other_language": foreign,
            "flavour": [next((run for run in listed if run in _FLAVOURS), "") for listed in runs],
            "form": [next((run for run in listed if run in _FORMS), "") for listed in runs],
            "language": language,
        },
        dict.fromkeys(NUMERIC, pl.Float64) | dict.fromkeys(CATEGORICAL, pl.String),
    )


def _language(words: list[str]) -> tuple[float, float, str]:
    """Share of English among a text's function words, whether another language has more (0 or 1), the language."""
    counts = dict.fromkeys(LANGUAGES, 0)
    for word in words:
        for language in _SPOKEN.get(word, ()):
            counts[language] += 1
    english, total = counts["en"], sum(counts.values())
    # one "de" is a name ("Consome de Tomate"), two are a language
    foreign = max((name for name in LANGUAGES if name != "en"), key=lambda name: counts[name])
    others = counts[foreign] if counts[foreign] >= 2 else 0
    return english / total if total else 1.0, float(others > english), "en" if english >= others else foreign
