"""How Uppy asks."""

from __future__ import annotations

import pytest
from multidict import MultiDict

from service.calls.uppy import file_of_query
from service.http.problems import InvalidRequest
from tests.unit.service.asking import complaint


def test_the_metadata_of_a_small_file_is_there_once_too() -> None:
    given = [("filename", "a.png"), ("metadata[a]", "1"), ("metadata[]", "2")]
    assert file_of_query(MultiDict(given)).metadata == {"a": "1", "": "2"}
    with pytest.raises(InvalidRequest) as error:
        file_of_query(MultiDict([*given, ("metadata[a]", "3")]))
    assert complaint(error) == "metadata[a]"
    with pytest.raises(InvalidRequest) as error:
        file_of_query(MultiDict([*given, ("fileName", "b.png")]))
    assert complaint(error) == "fileName"
