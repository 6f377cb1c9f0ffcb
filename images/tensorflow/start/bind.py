"""Writes into libraries what the dynamic linker would find in them at every start: 475,000 look-ups by name for TensorFlow.

A symbol that a library defines, and no other file of the image, can only be bound to the library itself: all of its
address is known but where the library is loaded, which is a relative relocation. Names stay exported, for libraries of
custom ops, and those that several files define are looked up as ever. What prelink did, for what holds whatever else is
loaded; the formats are those of the ELF gABI and the x86-64 psABI. usage: bind.py LIBRARY...
"""

import mmap
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

IMAGE = (Path("/opt/venv"), Path("/usr/bin"), Path("/usr/lib"))
RELOCATIONS, DYNAMIC, SYMBOLS = 4, 6, 11  # kinds of sections
PLT_GOT, BIND_NOW = 3, 24  # entries of the dynamic section
ADDRESS, GLOBAL_DATA, JUMP_SLOT, RELATIVE = 1, 6, 7, 8  # kinds of relocations
SECTION = np.dtype(
    {
        "names": ["kind", "at", "size", "link"],
        "formats": ["u4", "u8", "u8", "u4"],
        "offsets": [4, 24, 32, 40],
        "itemsize": 64,
    }
)
ENTRY = np.dtype([("tag", "u8"), ("value", "u8")])
SYMBOL = np.dtype([("name", "u4"), ("kind", "u1"), ("seen", "u1"), ("section", "u2"), ("value", "i8"), ("size", "u8")])
RELOCATION = np.dtype([("at", "u8"), ("kind", "u4"), ("symbol", "u4"), ("addend", "i8")])


@dataclass(frozen=True)
class Library:
    """What the dynamic linker reads, as arrays over a file's bytes: what is written to them is written to the file."""

    symbols: Any
    names: list[bytes]  # of the symbols
    relocations: list[Any]
    entries: Any


def library(file: Path, access: int = mmap.ACCESS_READ) -> Library | None:
    """Return a dynamic library or program for x86-64, None for any other file."""
    with file.open("r+b" if access == mmap.ACCESS_WRITE else "rb") as opened:
        start = opened.read(64)
        if not start.startswith(b"\x7fELF\x02\x01") or start[18:20] != b"\x3e\x00":
            return None
        data = mmap.mmap(opened.fileno(), 0, access=access)
    at, count = int.from_bytes(start[40:48], "little"), int.from_bytes(start[60:62], "little")
    sections = np.frombuffer(data, SECTION, count, at).tolist()

    def arrays(kind: int, of: Any) -> list[Any]:
        return [np.frombuffer(data, of, size // of.itemsize, at) for each, at, size, _ in sections if each == kind]

    if not (symbols := arrays(SYMBOLS, SYMBOL)):
        return None
    strings = next(sections[link][1] for kind, _, _, link in sections if kind == SYMBOLS)
    names = [data[strings + name : data.find(b"\0", strings + name)] for name in symbols[0]["name"].tolist()]
    return Library(symbols[0], names, arrays(RELOCATIONS, RELOCATION), arrays(DYNAMIC, ENTRY)[0])


def bind(each: Library, files: Counter[bytes]) -> None:
    """Make the relocations by names that no other file defines relative ones."""
    symbols = each.symbols
    movable = (symbols["section"] != 0) & (symbols["section"] < 0xFF00)  # neither another's nor absolute
    plain = np.isin(symbols["kind"], (0x11, 0x12, 0x21, 0x22))  # data or a function, global or weak
    own = movable & plain & np.array([files[name] == 1 for name in each.names])
    for table in each.relocations:
        known = np.isin(table["kind"], (ADDRESS, GLOBAL_DATA, JUMP_SLOT)) & own[table["symbol"]]
        addend = np.where(table["kind"] == ADDRESS, table["addend"], 0)
        table["addend"][known] = (symbols["value"][table["symbol"]] + addend)[known]
        table["kind"][known] = RELATIVE
        table["symbol"][known] = 0
    # Bound at once, as Python does anyway: only calls that look up their function when they are first made need PLT_GOT.
    each.entries["tag"][each.entries["tag"] == PLT_GOT] = BIND_NOW


def main() -> None:
    files: Counter[bytes] = Counter()
    for file in (file for folder in IMAGE for file in folder.rglob("*") if file.is_file() and not file.is_symlink()):
        if each := library(file):
            files.update(name for name, section in zip(each.names, each.symbols["section"], strict=True) if section)
    for argument in sys.argv[1:]:
        if each := library(Path(argument), mmap.ACCESS_WRITE):
            bind(each, files)


if __name__ == "__main__":
    main()
