"""A bound of the stack that a model needs, read from its ELF object: the deepest path of the call graph.

In: an object compiled with FLAGS, so that clang writes each function's frame into `.stack_sizes` and every function
and constant has a section of its own; sections are the nodes, relocations the edges. A function whose address is taken,
also through a constant table, may be called by whatever its taker calls: it is counted below the deepest of those. What
the caller's parallel_for uses is not in the bound.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

FLAGS = ("-ffunction-sections", "-fdata-sections", "-fstack-size-section")

_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")
_SHT_SYMTAB, _SHT_RELA = 2, 4
_AARCH64, _X86_64 = 183, 62
# relocations of a call or a jump; any other one takes an address
_CALLS = {_AARCH64: (282, 283), _X86_64: (4,)}
# memcpy and its like are not in the object; they are leaves with small frames
_OUTSIDE = 128
# x86's return address, and what aligning the stack to a vector may skip
_X86_CALL = 8 + 64
# The table of kernel calls: the run function reads it, and hands it to nobody.
_OWN_TABLE = ".calls"
# call through a register or memory: opcode FF /2 (what only looks like one makes the bound larger, never wrong)
_X86_INDIRECT = re.compile(rb"\xff[\x10-\x17\x50-\x57\x90-\x97\xd0-\xd7]")


@dataclass
class _Node:
    """A section: a function's code or a constant."""

    name: str
    content: bytes
    frame: int | None = None
    calls: set[int] = field(default_factory=set)
    takes: set[int] = field(default_factory=set)

    @property
    def is_code(self) -> bool:
        return self.name.startswith(".text")


def stack_bound(raw: bytes, entries: tuple[str, ...]) -> int | None:
    """Bytes that no call of `entries` goes beyond; None where the object does not say (Mach-O, recursion, frames whose
    size is known at run time only)."""
    if raw[:4] != b"\x7fELF":
        return None
    graph = _Graph(raw)
    depths = [graph.depth(at) for at in graph.starts(entries)]
    known = [d for d in depths if d is not None]
    return max(known) if known and len(known) == len(depths) else None


class _Graph:
    def __init__(self, raw: bytes) -> None:
        header = _ELF.unpack_from(raw)
        self.machine = header[2]
        rows = [_SECTION.unpack_from(raw, header[6] + i * header[11]) for i in range(header[12])]
        strings = rows[header[13]][4]
        self.nodes = [_Node(_string(raw, strings + r[0]), raw[r[4] : r[4] + r[5]]) for r in rows]
        symtab = next(r for r in rows if r[1] == _SHT_SYMTAB)
        symbols = list(_SYMBOL.iter_unpack(raw[symtab[4] : symtab[4] + symtab[5]]))
        self.holders = {_string(raw, rows[symtab[6]][4] + s[0]): s[3] for s in symbols if s[0]}
        self._depths: dict[int, int | None] = {}
        for row, node in zip(rows, self.nodes, strict=True):
            if row[1] != _SHT_RELA:
                continue
            source = self.nodes[row[7]]
            for offset, info, _ in _RELA.iter_unpack(node.content):
                self._edge(source, offset, info & 0xFFFFFFFF, symbols[info >> 32][3])

    def _edge(self, source: _Node, offset: int, kind: int, target: int) -> None:
        if source.name == ".stack_sizes":
            holder = self.nodes[target]
            holder.frame = (holder.frame or 0) + _uleb(source.content, offset + 8)
        elif source.is_code and kind in _CALLS[self.machine]:
            source.calls.add(target)
        elif source.is_code or source.name.startswith((".rodata", ".data")):
            source.takes.add(target)

    def starts(self, entries: tuple[str, ...]) -> Iterator[int]:
        return (self.holders[name] for name in entries)

    def depth(self, at: int) -> int | None:
        """Of a function and all below it; None when it is not known."""
        if at == 0:
            return _OUTSIDE
        if at not in self._depths:
            self._depths[at] = None  # what comes back to itself stays unknown
            self._depths[at] = self._below(self.nodes[at])
        return self._depths[at]

    def _below(self, node: _Node) -> int | None:
        if node.frame is None:
            return None
        called = [self.depth(t) for t in node.calls if t == 0 or self.nodes[t] is not node]
        own, handed = self._taken(node)
        own_depths, depths = [self.depth(t) for t in own], [self.depth(t) for t in handed]
        if None in called or None in own_depths or None in depths:
            return None
        # functions that are handed on nest only where one of them calls through a pointer
        levels = 1 + sum(self._calls_pointers(t) for t in handed)
        nested = sum(sorted((d for d in depths if d is not None), reverse=True)[:levels])
        direct = max((d for d in called if d is not None), default=0)
        frame = node.frame + (_X86_CALL if self.machine == _X86_64 else 0)
        return frame + max([direct + nested, *(d for d in own_depths if d is not None)])

    def _taken(self, node: _Node) -> tuple[set[int], set[int]]:
        """Functions whose address a function takes: those that it calls itself, and those that it hands on."""
        own: set[int] = set()
        handed: set[int] = set()
        stack = [(t, handed) for t in node.takes]
        seen: set[int] = set()
        while stack:
            at, group = stack.pop()
            if at in seen or at == 0 or at >= len(self.nodes):
                continue
            seen.add(at)
            target = self.nodes[at]
            if target is node:
                continue  # the jump table of a switch
            if target.is_code:
                group.add(at)
            else:
                inner = own if target.name.endswith(_OWN_TABLE) else group
                stack += [(t, inner) for t in target.takes]
        return own, handed

    def _calls_pointers(self, at: int) -> bool:
        """Whether a function or one that it calls has an indirect call."""
        stack, seen = [at], set()
        while stack:
            now = stack.pop()
            if now in seen or now == 0:
                continue
            seen.add(now)
            content = self.nodes[now].content
            if self.machine == _AARCH64:
                words = struct.unpack(f"<{len(content) // 4}I", content[: len(content) // 4 * 4])
                if any(w & 0xFFFFFC1F == 0xD63F0000 for w in words):  # blr
                    return True
            elif _X86_INDIRECT.search(content):
                return True
            stack += self.nodes[now].calls
        return False


def _string(raw: bytes, at: int) -> str:
    return raw[at : raw.index(b"\0", at)].decode()


def _uleb(data: bytes, at: int) -> int:
    value = shift = 0
    while data[at] >= 128:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift
