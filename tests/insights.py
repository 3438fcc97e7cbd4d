"""As much of CloudWatch Logs Insights as `docs/logs.md` uses, over lines of JSON: so that its queries can be tried.

AWS, "CloudWatch Logs Insights query language": https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Row = Mapping[str, Any]
Value = Callable[[Row], Any]

_TOKEN = re.compile(
    r'\s*("[^"]*"|/(?:[^/\\]|\\.)+/|\d+[smhd]\b|\d+(?:\.\d+)?|@?[A-Za-z_][\w.]*|!=|<=|>=|[=<>()\[\],*/+-])'
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_RECKONED: Mapping[str, Callable[[Any, Any], float]] = {
    "*": operator.mul,
    "/": operator.truediv,
    "+": operator.add,
    "-": operator.sub,
}


def run(query: str, log: str) -> list[dict[str, Any]]:
    """The rows that the query answers over a log. Raises `ValueError` for a query that is not understood."""
    lines = (json.loads(line) for line in log.splitlines() if line.startswith("{"))
    rows: list[Row] = [{"@timestamp": line["timestamp"], **line} for line in lines]
    for text in _commands(query):
        rows = _Command(_tokens(text)).on(rows)
    return [dict(row) for row in rows]


def _commands(query: str) -> list[str]:
    return [text.strip() for text in re.split(r"^\s*\|", query, flags=re.MULTILINE)]


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"not understood: {text[at:]}")
        found.append(match[1])
        at = match.end()
    return found


@dataclass
class _Command:
    tokens: list[str]
    at: int = field(default=0, init=False)

    def on(self, rows: list[Row]) -> list[Row]:
        name = self.next()
        commands = {"fields": self._fields, "filter": self._filter, "stats": self._stats, "sort": self._sort}
        if name == "limit":
            return rows[: int(self.next())]
        if name not in commands:
            raise ValueError(f"no such command: {name}")
        answer = commands[name](rows)
        if self.at < len(self.tokens):
            raise ValueError(f"left over: {self.tokens[self.at :]}")
        return answer

    # -- reading ------------------------------------------------------------------------------------------------------

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        if not self.peek():
            raise ValueError("the command ends too early")
        self.at += 1
        return self.tokens[self.at - 1]

    def took(self, *words: str) -> bool:
        if self.peek() not in words:
            return False
        self.at += 1
        return True

    def expect(self, word: str) -> None:
        if self.next() != word:
            raise ValueError(f"{word} is missing")

    def listed(self, each: Callable[[], Any]) -> list[Any]:
        found = [each()]
        while self.took(","):
            found.append(each())
        return found

    # -- commands -----------------------------------------------------------------------------------------------------

    def _fields(self, rows: list[Row]) -> list[Row]:
        """Later commands may ask for what is not shown, as in the original."""
        shown = self.listed(self._named)
        return [_Shown(row, {name: value(row) for name, value in shown}) for row in rows]

    def _filter(self, rows: list[Row]) -> list[Row]:
        holds = self._either()
        return [row for row in rows if holds(row)]

    def _sort(self, rows: list[Row]) -> list[Row]:
        name = self.next()
        down = self.next() == "desc"
        there = [row for row in rows if row.get(name) is not None]
        return sorted(there, key=lambda row: row[name], reverse=down) + [row for row in rows if row.get(name) is None]

    def _stats(self, rows: list[Row]) -> list[Row]:
        told = self.listed(self._aggregate)
        groups: dict[tuple[Any, ...], list[Row]] = {}
        by = self.listed(self._named) if self.took("by") else []
        for row in rows:
            groups.setdefault(tuple(value(row) for _, value in by), []).append(row)
        return [
            dict(zip((name for name, _ in by), key, strict=True)) | {name: of(some) for name, of in told}
            for key, some in groups.items()
        ]

    # -- expressions --------------------------------------------------------------------------------------------------

    def _named(self) -> tuple[str, Value]:
        begun = self.at
        value = self._value()
        name = "".join(self.tokens[begun : self.at])
        return (self.next() if self.took("as") else name), value

    def _aggregate(self) -> tuple[str, Callable[[Sequence[Row]], Any]]:
        name = self.next()
        self.expect("(")
        of = self.next()
        argument = float(self.next()) if self.took(",") else math.nan
        self.expect(")")
        called = self.next() if self.took("as") else f"{name}({of})"
        return called, lambda rows: _AGGREGATES[name]([row for row in rows if of == "*" or of in row], of, argument)

    def _value(self) -> Value:
        left = self._operand()
        while self.peek() in _RECKONED:
            left = _reckoned(_RECKONED[self.next()], left, self._operand())
        return left

    def _operand(self) -> Value:
        token = self.next()
        if token == "bin":
            self.expect("(")
            width = self.next()
            self.expect(")")
            seconds = int(width[:-1]) * _SECONDS[width[-1]]
            return lambda row: _binned(row["@timestamp"], seconds)
        if token.startswith('"'):
            return lambda _: token[1:-1]
        if token[0].isdigit():
            return lambda _: float(token)
        return lambda row: row.get(token)

    def _either(self) -> Callable[[Row], bool]:
        sides = [self._both()]
        while self.took("or"):
            sides.append(self._both())
        return lambda row: any(side(row) for side in sides)

    def _both(self) -> Callable[[Row], bool]:
        sides = [self._comparison()]
        while self.took("and"):
            sides.append(self._comparison())
        return lambda row: all(side(row) for side in sides)

    def _comparison(self) -> Callable[[Row], bool]:
        left = self._value()
        if self.took("in"):
            self.expect("[")
            some = [value({}) for value in self.listed(self._value)]
            self.expect("]")
            return lambda row: left(row) in some
        if self.took("like"):
            pattern = re.compile(self.next().strip("/"))
            return lambda row: pattern.search(str(left(row) or "")) is not None
        compare, right = _COMPARED[self.next()], self._value()
        return lambda row: left(row) is not None and compare(left(row), right(row))


class _Shown(dict[str, Any]):
    """The fields that are shown; any other can still be asked for by its name."""

    def __init__(self, behind: Row, shown: Row) -> None:
        super().__init__(shown)
        self._behind = behind

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self.keys() else self._behind.get(name, default)

    def __missing__(self, name: str) -> Any:
        return self._behind[name]


def _reckoned(how: Callable[[Any, Any], float], left: Value, right: Value) -> Value:
    def reckon(row: Row) -> float | None:
        a, b = left(row), right(row)
        return None if a is None or b is None else how(a, b)

    return reckon


def _binned(timestamp: str, seconds: int) -> str:
    moment = datetime.fromisoformat(timestamp).timestamp()
    return datetime.fromtimestamp(moment // seconds * seconds, UTC).isoformat()


def _values(rows: Iterable[Row], of: str) -> list[Any]:
    return [row[of] for row in rows]


def _latest(rows: Sequence[Row], of: str) -> Any:
    return max(rows, key=lambda row: row["@timestamp"])[of] if rows else None


def _percentile(rows: Sequence[Row], of: str, percent: float) -> float | None:
    """Nearest rank."""
    found = sorted(_values(rows, of))
    return found[max(0, math.ceil(percent / 100 * len(found)) - 1)] if found else None


_AGGREGATES: Mapping[str, Callable[[Sequence[Row], str, float], Any]] = {
    "count": lambda rows, _, __: len(rows),
    "count_distinct": lambda rows, of, _: len(set(_values(rows, of))),
    "latest": lambda rows, of, _: _latest(rows, of),
    "max": lambda rows, of, _: max(_values(rows, of), default=None),
    "pct": _percentile,
}
