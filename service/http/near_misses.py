"""Finds misspelled names: `last_key`, `lastkey` or `lsatKey` for `lastKey`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice

#: Letters from which on a name may be wrong in one place, and in two. In shorter ones, one letter makes another word.
ONE_EDIT, TWO_EDITS = 4, 8
#: Most unknown names that are looked at in one request; whoever sends more did not misspell one.
MAX_UNKNOWN = 50

_NO_LETTER = re.compile(r"[^a-z0-9]")


def near_misses(
    given: Iterable[str], known: Iterable[str], other_words: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The unknown names that are close to a known one, and which one that is.

    `other_words` are unknown names that mean a known one. Only long ones of them may be misspelled, too.
    """
    names = set(known)
    unknown = islice((name for name in given if name not in names), MAX_UNKNOWN)
    ordered = sorted(names)
    found = {name: _meant(name, ordered, other_words or {}) for name in unknown}
    return {name: meant for name, meant in found.items() if meant is not None}


def _meant(name: str, known: Iterable[str], other_words: Mapping[str, str]) -> str | None:
    letters = _letters(name)
    close = (spelling for spelling in known if _is_close(letters, _known_letters(spelling)))
    others = (
        meant
        for spelling, meant in other_words.items()
        if letters == _known_letters(spelling)
        or (len(spelling) >= TWO_EDITS and _is_close(letters, _known_letters(spelling)))
    )
    return next(close, None) or next(others, None)


def _letters(name: str) -> str:
    """The letters of a name, without the differences of camelCase and snake_case."""
    return _NO_LETTER.sub("", name.lower())


#: Of the names that are known here, of which there are few.
_known_letters = lru_cache(maxsize=1024)(_letters)


def _is_close(letters: str, known: str) -> bool:
    allowed = (len(known) >= ONE_EDIT) + (len(known) >= TWO_EDITS)
    if abs(len(letters) - len(known)) > allowed or len(set(letters) ^ set(known)) > 2 * allowed:
        return False  # every edit makes one letter of the one, and one of the other, that they do not share
    return letters == known or (allowed > 0 and _edits(letters, known, allowed) <= allowed)


def _edits(one: str, other: str, most: int) -> int:
    """Letters that are too many, missing, wrong, or swapped with their neighbour (optimal string alignment).

    What is more than `most` is not counted to its end.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, above, row = row, before, [i] + [most + 1] * len(other)
        for j in range(max(1, i - most), min(len(other), i + most) + 1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other[j - 1]))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == other[j - 1]:
                edits = min(edits, above[j - 2] + 1)
            row[j] = edits
        if min(row) > most:
            break
    return min(row[-1], most + 1)


def nearly(header: str, given: Iterable[str]) -> str | None:
    """A header that is a misspelling of `header`. HTTP ignores unknown headers. A client that misspells one which
    protects it, or which names a tenant, would never notice."""
    others = [name for name in given if name.lower() != header.lower()]
    return next(iter(near_misses(others, [header])), None)
