"""A mutant: one of the seeds, changed in its pieces, in its bytes, or both; the same for the same seed and number."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from tests.mutants.pieces import Anatomy, Piece, take_apart

#: How often mutants are made of the seeds of a format; a HEIC costs the start of a process.
WEIGHTS: Mapping[str, float] = {"heic": 0.15}
#: The share of mutants that are changed in their pieces alone, and in their bytes alone; the rest is changed in both.
_PARTS, _BYTES = 0.6, 0.25
#: Most changes of each kind in one mutant; few, so that the rest stays sound.
_MOST_CHANGES = 4
#: Where numbers stand in a long body: its beginning.
_HEAD_BYTES = 40
#: What limits, wraps around, or is nearly one of either.
_EDGES: tuple[int, ...] = (
    *(0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 63, 64, 65, 127, 128, 255, 256, 257, 500, 501, 1023, 1024, 4095, 4096),
    *(8191, 16_383, 16_384, 32_767, 32_768, 65_499, 65_500, 65_501, 65_535, 65_536, 2**24 - 1, 2**24),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1),
)
#: A side that fits into the limits.
_PLAUSIBLE_SIDE = 2_500
#: Most bytes of a mutant.
_MOST_BYTES = 2_000_000

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A file, and how it came about."""

    data: bytes = field(repr=False)
    seed_name: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nursery:
    """Makes mutants out of seeds."""

    seeds: Mapping[str, bytes] = field(repr=False)

    def mutant(self, seed: int, number: int) -> Mutant:
        chance = random.Random(f"{seed}:{number}")
        name = chance.choices([*self.seeds], weights=[WEIGHTS.get(_format(name), 1.0) for name in self.seeds])[0]
        making = _Making(chance=chance, seeds=self.seeds, name=name, data=self.seeds[name])
        kind = chance.random()
        if kind < 1 - _BYTES:
            making.change_parts()
        if kind >= _PARTS:
            making.change_bytes()
        return Mutant(data=making.data[:_MOST_BYTES], seed_name=name, changes=tuple(making.changes))


def _format(name: str) -> str:
    return name.split("-", maxsplit=1)[0]


@dataclass(slots=True, kw_only=True)
class _Making:
    """A mutant on its way."""

    chance: random.Random
    seeds: Mapping[str, bytes]
    name: str
    data: bytes
    changes: list[str] = field(default_factory=list)

    def change_parts(self) -> None:
        file = take_apart(self.data)
        for _ in range(self._few()):
            change = self.chance.choice((*(_rewritten,) * 5, _doubled, _without, _swapped, _transplanted, _renamed))
            file = change(self, file)
        self.data = file.assembled()

    def change_bytes(self) -> None:
        for _ in range(self._few()):
            change = self.chance.choice(_OF_BYTES)
            self.changes.append(change.__name__.strip("_"))
            self.data = change(self, self.data)

    def rewritten(self, body: bytes, order: str) -> bytes:
        """With another number in it, or other bytes."""
        if self.chance.random() < 0.65 and body:
            return self._renumbered(body, order)
        return self.chance.choice(_OF_BYTES)(self, body)

    def _renumbered(self, body: bytes, order: str) -> bytes:
        wide = self.chance.choice([size for size in (1, 1, 2, 2, 3, 4, 4, 8) if size <= len(body)])
        at = self.chance.randrange(min(len(body), _HEAD_BYTES) - wide + 1 if len(body) >= wide else 1)
        if self.chance.random() < 0.7:
            at -= at % min(wide, 4) if at >= wide else 0
        told: Literal["little", "big"] = "little" if order == "<" else "big"
        number = self._number(int.from_bytes(body[at : at + wide], told)) % (1 << 8 * wide)
        return body[:at] + number.to_bytes(wide, told) + body[at + wide :]

    def _number(self, was: int) -> int:
        chance = self.chance
        return chance.choice(
            (
                chance.choice(_EDGES),
                chance.choice(_EDGES),
                was + chance.choice((-2, -1, 1, 2)),
                chance.choice((was * 2, was // 2, was * 16, -was)),
                was ^ 1 << chance.randrange(64),
                chance.randrange(1, _PLAUSIBLE_SIDE),
            )
        )

    def _few(self) -> int:
        return min(_MOST_CHANGES, 1 + int(self.chance.expovariate(0.9)))

    def other(self, *, alike: bool) -> bytes:
        """Another seed, of the same format or of any."""
        names = [name for name in self.seeds if not alike or _format(name) == _format(self.name)]
        if _format(self.name) in ("png", "apng") and alike:
            names = [name for name in self.seeds if _format(name) in ("png", "apng")]
        return self.seeds[self.chance.choice(names)]


# -- pieces -------------------------------------------------------------------------------------------------------


def _rewritten(making: _Making, file: Anatomy) -> Anatomy:
    path = _chosen(making, file)
    piece = _at(file.pieces, path)
    making.changes.append(f"rewritten {piece.kind!r}")
    return _with(file, path, (replace(piece, body=making.rewritten(piece.body, file.order)),))


def _doubled(making: _Making, file: Anatomy) -> Anatomy:
    path = _chosen(making, file)
    piece = _at(file.pieces, path)
    times = making.chance.choice((2, 2, 3, 9, 120))
    making.changes.append(f"{piece.kind!r} {times} times")
    return _with(file, path, (piece,) * times)


def _without(making: _Making, file: Anatomy) -> Anatomy:
    path = _chosen(making, file)
    making.changes.append(f"without {_at(file.pieces, path).kind!r}")
    return _with(file, path, ())


def _swapped(making: _Making, file: Anatomy) -> Anatomy:
    one, other = _chosen(making, file), _chosen(making, file)
    first, second = _at(file.pieces, one), _at(file.pieces, other)
    if one[: len(other)] == other or other[: len(one)] == one:
        return file
    making.changes.append(f"{first.kind!r} for {second.kind!r}")
    return _with(_with(file, one, (second,)), other, (first,))


def _transplanted(making: _Making, file: Anatomy) -> Anatomy:
    """A piece of another file of the format, in front of one of this, or in its place."""
    donor = take_apart(making.other(alike=True))
    given, path = _at(donor.pieces, _chosen(making, donor)), _chosen(making, file)
    here = _at(file.pieces, path)
    making.changes.append(f"{given.kind!r} of another at {here.kind!r}")
    return _with(file, path, (given,) if making.chance.random() < 0.5 else (given, here))


def _renamed(making: _Making, file: Anatomy) -> Anatomy:
    path = _chosen(making, file)
    piece = _at(file.pieces, path)
    if not piece.kind:
        return file
    kind = making.chance.choice(
        (making.rewritten(piece.kind, file.order), _at(file.pieces, _chosen(making, file)).kind)
    )
    making.changes.append(f"{piece.kind!r} called {kind!r}")
    return _with(file, path, (replace(piece, kind=kind or piece.kind),))


def _chosen(making: _Making, file: Anatomy) -> Path:
    """Any piece of any depth; each depth is as likely as the next, so that many deep ones do not hide the few above."""
    path: Path = ()
    pieces: Sequence[Piece] = file.pieces
    while pieces:
        number = making.chance.randrange(len(pieces))
        path, here = (*path, number), pieces[number]
        pieces = here.inside
        if making.chance.random() < (0.4 if here.body else 0.1):
            break
    return path


def _at(pieces: Sequence[Piece], path: Path) -> Piece:
    if not path:
        return Piece(kind=b"")
    number, *deeper = path
    if number >= len(pieces):
        return Piece(kind=b"")
    return _at(pieces[number].inside, tuple(deeper)) if deeper else pieces[number]


def _with(file: Anatomy, path: Path, others: Sequence[Piece]) -> Anatomy:
    return replace(file, pieces=_replaced(file.pieces, path, others)) if path else file


def _replaced(pieces: Sequence[Piece], path: Path, others: Sequence[Piece]) -> tuple[Piece, ...]:
    number, *deeper = path
    if number >= len(pieces):
        return tuple(pieces)
    inner = tuple(deeper)
    new = (replace(pieces[number], inside=_replaced(pieces[number].inside, inner, others)),) if inner else others
    return (*pieces[:number], *new, *pieces[number + 1 :])


# -- bytes -------------------------------------------------------------------------------------------------------


def _flipped(making: _Making, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(making.chance.choice((1, 1, 2, 4, 16)) if data else 0):
        changed[making.chance.randrange(len(data))] ^= 1 << making.chance.randrange(8)
    return bytes(changed)


def _cut(making: _Making, data: bytes) -> bytes:
    return data[: making.chance.randrange(len(data) + 1)]


def _shortened(making: _Making, data: bytes) -> bytes:
    start, end = _span(making, data)
    return data[:start] + data[end:]


def _repeated(making: _Making, data: bytes) -> bytes:
    start, end = _span(making, data)
    return data[:end] + data[start:end] * making.chance.choice((1, 2, 30)) + data[end:]


def _blank(making: _Making, data: bytes) -> bytes:
    start, end = _span(making, data)
    return data[:start] + making.chance.choice((b"\0", b"\xff", b"\x80")) * (end - start) + data[end:]


def _noisy(making: _Making, data: bytes) -> bytes:
    start, end = _span(making, data)
    return data[:start] + making.chance.randbytes(end - start) + data[end:]


def _spliced(making: _Making, data: bytes) -> bytes:
    """The beginning of this one, and the end of any other."""
    other = making.other(alike=making.chance.random() < 0.6)
    at = making.chance.randrange(len(data) + 1)
    same = min(at, len(other)) if making.chance.random() < 0.5 else making.chance.randrange(len(other) + 1)
    return data[:at] + other[same:]


def _lengthened(making: _Making, data: bytes) -> bytes:
    at = making.chance.randrange(len(data) + 1)
    return data[:at] + making.chance.randbytes(making.chance.choice((1, 2, 3, 4, 64, 5000))) + data[at:]


def _renumbered(making: _Making, data: bytes) -> bytes:
    at = making.chance.randrange(len(data) + 1)
    told = making.chance.choice("<>")
    return data[:at] + making.rewritten(data[at : at + 8], told) + data[at + 8 :]


def _span(making: _Making, data: bytes) -> tuple[int, int]:
    start = making.chance.randrange(len(data) + 1)
    return start, min(len(data), start + making.chance.choice((1, 2, 4, 16, 64, 300)))


_OF_BYTES: tuple[Callable[[_Making, bytes], bytes], ...] = (
    *(_flipped, _flipped, _flipped, _cut, _shortened, _repeated, _blank, _noisy, _spliced, _lengthened, _renumbered),
)
