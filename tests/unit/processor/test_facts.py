"""Facts are plain, bounded, and come back as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.facts import MAX_BYTES, MAX_DEPTH, ON_REQUEST, OWN, Facts
from processor.pipeline.analyses import ANALYSES, LOOKS, READINGS
from processor.sandbox.answers import pack_facts, read_facts
from processor.sandbox.messages import Packet

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


@given(st.dictionaries(st.text(max_size=5), plain, max_size=3))
def test_they_come_back_from_a_record_as_they_were(found: dict[str, Any]) -> None:
    facts = Facts(found)
    again = Facts.from_text(facts.to_text())
    assert again == facts
    assert again.to_text() == facts.to_text()


@pytest.mark.parametrize("text", ["", "[]", "7", '"colour"', "null", "{"])
def test_anything_else_in_a_record_is_no_facts(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Facts.from_text(text)


def test_a_child_tells_them_as_they_are() -> None:
    facts = Facts({"colour": "#aabbcc", "faces": [{"x": 0.25, "sure": True}], "tags": [], "text": None})
    packet = Packet(header=json.loads(json.dumps(pack_facts(facts))))
    assert read_facts(packet.header, tuple(facts.found)) == facts


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"facts": None},
        {"facts": ["colour"]},
        {"facts": "colour"},
        {"facts": {"colour": "#aabbcc"}, "name": "small"},
        {"facts": {"faces": 1}},
        {"facts": {"colour": 1, "faces": 1}},
        {"facts": {"colour": float("nan")}},
        {"facts": {"colour": [float("inf")]}},
        {"facts": {"colour": nested(MAX_DEPTH)}},
        {"facts": {"colour": nested(900)}},
        {"facts": {"colour": "x" * MAX_BYTES}},
        {"facts": {"colour": ["ü"] * (MAX_BYTES // 5)}},
        {"facts": {"colour": {str(number): "" for number in range(MAX_BYTES // 6)}}},
    ],
)
def test_a_child_is_believed_nothing_but_bounded_plain_values_that_were_asked_for(header: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="facts"):
        read_facts(header, ("colour",))


def test_what_is_just_within_the_bounds_is_taken() -> None:
    deepest = {"colour": nested(MAX_DEPTH - 1)}
    longest = {"colour": "x" * (MAX_BYTES - len('{"colour":""}'))}
    for found in (deepest, longest):
        assert read_facts({"facts": found}, ("colour",)) == Facts(found)


@pytest.mark.parametrize("value", [(1, 2), {1: "one"}, b"#aabbcc", {"a"}, 1j])
def test_an_analysis_that_finds_what_json_cannot_say_is_noticed_where_it_runs(value: object) -> None:
    with pytest.raises(ValueError, match="facts"):
        Facts.of({"colour": value}, ("colour",))


def test_what_is_read_from_the_file_is_for_the_tenant_or_on_request_and_what_is_seen_is_for_everybody() -> None:
    assert set(READINGS) | {"embedding", "nsfw", "moderation"} == OWN | ON_REQUEST
    assert not set(ANALYSES) & (OWN | ON_REQUEST)
    assert set(LOOKS) - OWN == {"faces", "tags"}


def test_facts_are_apart_by_who_may_see_them_and_come_back_so_from_a_record_and_from_a_child() -> None:
    found = {"colour": "#123456", "metadata": {"caption": "Žofín"}, "position": {"latitude": 1.5}}
    facts = Facts.of(found, found)
    assert (facts.found, facts.own, facts.on_request) == (
        {"colour": "#123456"},
        {"metadata": {"caption": "Žofín"}},
        {"position": {"latitude": 1.5}},
    )
    assert Facts.from_text(facts.to_text()) == facts
    assert read_facts(pack_facts(facts), found) == facts
    assert "Žofín" not in repr(facts)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_a_character_is_no_fact(text: str) -> None:
    for found in ({"colour": text}, {"colour": {text: 1}}):
        with pytest.raises(ValueError, match="facts"):
            Facts.of(found, ["colour"])
