"""Everyday words of languages with alphabets: what is no name even where it begins a sentence."""

from __future__ import annotations

from functools import cache

from converters.redaction.lists import listed_names

_COMMONEST = 6_000


@cache
def everyday_words(language: str) -> tuple[str, ...]:
    """The commonest words of a language that are on no list of names.

    Frequencies by Speer ("wordfreq", 2022).

    Args:
        language: a two-letter code.
    """
    # Imported late: it takes longer than most commands.
    from wordfreq import top_n_list

    names = listed_names()
    return tuple(
        word
        for word in top_n_list(language, _COMMONEST)
        if word.isalpha() and len(word) > 1 and word not in names
    )
