"""A log as it was kept, by gzip, Docker, Jupyter or PowerShell -> blocks of its plain text, memory staying flat."""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

from toolkit.explain.buildkit import telling
from toolkit.explain.lines import lines
from toolkit.explain.search import BLOCK, Block, of_lines
from toolkit.model import KitError

WHOLE = 1 << 26  # bytes of the largest log that is held as a whole, where its form asks for that
STEP = re.compile(rb"^#\d{1,9} (?:\[|\d+\.\d+ |ERROR)", re.MULTILINE)
COLOUR = re.compile(rb"\x1b(?:\[[\d;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
# How Docker's json-file driver begins and ends a line.
DOCKER = b'{"log":"'
DOCKER_END = re.compile(rb'(?:\\[rn])*","stream":"\w+"(?:,"attrs":\{[^}]*\})?,"time":"[^"]*"\}')
ESCAPES = (
    (rb"\u001b", b"\x1b"),
    (rb"\u003c", b"<"),
    (rb"\u003e", b">"),
    (rb"\u0026", b"&"),
    (rb"\t", b"\t"),
    (rb"\"", b'"'),
    (rb"\\", b"\\"),
)


def blocks(file: BinaryIO) -> Iterator[Block]:
    r"""Give a log in blocks of plain text; KitError for a compressed one that is damaged from its start.

    It may be gzip, UTF-16, coloured, a notebook (the cells' outputs are the log), or Docker's JSON, a line of which is
    '{"log":"No space left on device\n","stream":"stderr","time":"2024-05-01T10:00:00.1Z"}'. Of an image's build comes
    what tells why it failed.
    """
    chunks = _decoded(_inflated(iter(lambda: file.read(BLOCK), b"")))
    head = next(chunks, b"")
    every = chain((head,), chunks)
    if head.lstrip()[:1] == b"{" and b'"cells"' in head:
        yield from _notebook(every)
    elif STEP.search(head):
        yield from _build(every)
    else:
        yield from _plain(every)


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Give what gzip compressed as it was before; of a file that is damaged or cut short what comes before that."""
    first = next(chunks, b"")
    if not first.startswith(b"\x1f\x8b"):
        yield from chain((first,), chunks)
        return
    inflater, given = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), False
    for chunk in chain((first,), chunks):
        left = chunk
        while left:
            try:
                some = inflater.decompress(left, BLOCK)
            except zlib.error as error:
                if not given:
                    raise KitError(f"the log is no gzip file, though it begins as one: {error}") from error
                return
            if some:
                given = True
                yield some
            left = inflater.unconsumed_tail
            if inflater.eof:  # the next one of several in the file
                left, inflater = inflater.unused_data, zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)


def _decoded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Give UTF-8 where it was UTF-16, known by its mark or by its zeros, and any other bytes as they are."""
    first = next(chunks, b"")
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif first[1:4096:2].count(0) > len(first[:4096]) * 0.4:
        encoding = "utf-16-le"
    else:
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for chunk in chain((first,), chunks):
        yield decoder.decode(chunk).encode(errors="replace")


def _plain(chunks: Iterable[bytes]) -> Iterator[Block]:
    """Give whole lines, as long as no line is longer than a block. A log that fits into one is one."""
    text, first = b"", 1
    for chunk in chunks:
        end = text.rfind(b"\n") + 1 or (len(text) if len(text) >= BLOCK else 0)
        if end:
            block = Block(_clean(text[:end]), first)
            first += block.text.count(b"\n")
            yield block
        text = text[end:] + chunk
    yield Block(_clean(text), first)


def _clean(text: bytes) -> bytes:
    if text.startswith((DOCKER, b'{"')):  # JSON lines
        text = DOCKER_END.sub(b"", text.replace(DOCKER, b"")) if text.startswith(DOCKER) else text
        for escaped, plain in ESCAPES:
            text = text.replace(escaped, plain)
    if b"\x1b" in text:
        text = COLOUR.sub(b"", text)
    return text.replace(b"\r\n", b"\n")


def _build(chunks: Iterable[bytes]) -> Iterator[Block]:
    """Give what tells why an image's build failed."""
    text = _held(chunks)
    if len(text) > WHOLE:
        return _plain((text, *chunks))
    return of_lines(telling(lines(text.decode(errors="replace").splitlines())))


def _notebook(chunks: Iterable[bytes]) -> Iterator[Block]:
    """Give what a notebook's cells printed; its text as it is where it is no whole notebook."""
    text = _held(chunks)
    try:
        printed = "\n".join(_printed(json.loads(text)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _plain((text, *chunks))
    return _plain((printed.encode(errors="replace"),))


def _held(chunks: Iterable[bytes]) -> bytes:
    """Return a log as a whole, or its beginning where it is larger than what is held."""
    held = b""
    for chunk in chunks:
        held += chunk
        if len(held) > WHOLE:
            break
    return held


def _printed(notebook: dict[str, Any]) -> Iterator[str]:
    """Give the outputs of a notebook's code cells: what they printed, their results, their tracebacks."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            for part in (
                output.get("text"),
                output.get("data", {}).get("text/plain"),
                output.get("traceback"),
            ):
                yield part if isinstance(part, str) else ("" if "text" in output else "\n").join(part or ())
