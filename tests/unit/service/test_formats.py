"""What can never be converted is known by its name and its type, before anybody uploads it."""

from __future__ import annotations

import mimetypes

import pytest

from processor.formats import FORMATS
from processor.formats.format import Format
from service.calls.files import ANY_CONTENT_TYPE
from service.formats import CONTENT_TYPES, NEVER, Foreign, extension_for, refusal_of

KINDS: tuple[Format | Foreign, ...] = (*FORMATS, *NEVER)


@pytest.mark.parametrize("kind", NEVER, ids=lambda kind: kind.title)
def test_every_name_and_type_of_it_is_refused(kind: object) -> None:
    for extension in kind.extensions:  # type: ignore[attr-defined]
        assert refusal_of(ANY_CONTENT_TYPE, extension), extension
    for content_type in kind.content_types:  # type: ignore[attr-defined]
        assert refusal_of(content_type.upper(), None), content_type
        assert refusal_of(content_type, "jpg"), content_type


def test_a_name_stands_for_one_format() -> None:
    for names in ([e for kind in KINDS for e in kind.extensions], [t for kind in KINDS for t in kind.content_types]):
        assert len(names) == len(set(names))


@pytest.mark.parametrize("extension", sorted(CONTENT_TYPES))
def test_what_is_converted_is_accepted_by_every_name(extension: str) -> None:
    assert refusal_of(ANY_CONTENT_TYPE, extension) is None
    assert refusal_of(CONTENT_TYPES[extension], "heic") is None


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.title)
def test_a_file_whose_name_has_no_extension_is_called_after_its_format(kind: Format) -> None:
    assert {extension_for(name) for each in kind.content_types for name in (each, each.upper())} == {kind.extension}


@pytest.mark.parametrize("content_type", [ANY_CONTENT_TYPE, "image/svg+xml", "image/x-unheard-of", ""])
def test_any_other_type_names_no_extension(content_type: str) -> None:
    assert extension_for(content_type) is None


def test_no_other_type_that_python_knows_by_its_extension_is_let_through() -> None:
    """Of pictures: the registry of this machine is not asked, only what comes with the language."""
    known = mimetypes.MimeTypes(filenames=()).types_map[True] | mimetypes.MimeTypes(filenames=()).types_map[False]
    pictures = {ending[1:]: kind for ending, kind in known.items() if kind.startswith("image/")}

    assert len(pictures) > 20
    assert {ending for ending in pictures if refusal_of(ANY_CONTENT_TYPE, ending) is None} <= set(CONTENT_TYPES)


@pytest.mark.parametrize("extension", [None, "photo", "tmp", "0"])
def test_what_nobody_knows_may_be_anything(extension: str | None) -> None:
    assert refusal_of(ANY_CONTENT_TYPE, extension) is None
    assert refusal_of("image/x-of-tomorrow", extension) is None
