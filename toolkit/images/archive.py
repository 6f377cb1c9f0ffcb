"""The file that an image travels in: a zstd stream that `docker load` itself takes, with kit's part in frames that it skips.

    header   a skippable frame: what is in the file, the image's records, and how long the file is
    chunk    a skippable frame: the digests of the frame that follows
             a zstd frame: up to 32 MiB of the tar of `docker save`
    chunk …

So a cut-off file is known by its length, a damaged one by its digests, both before anything is loaded, and the file of a
save that was cut off is its own journal. Frames: https://www.rfc-editor.org/rfc/rfc8878#section-3.1.2
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import struct
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from toolkit.model import KitError

SCHEMA = "kit.image-archive/1"
SKIPPABLE = 0x184D2A5B  # any of 0x184D2A50 to 5F
FRAME = struct.Struct("<II")
CHUNK_BYTES = 32 << 20
COPY_BYTES = 1 << 20
LEVEL = 3  # 9 takes twice as long for a tenth less
HEADER_BYTES_MAX = 64 << 20
LONGEST_BYTES = 1 << 63  # the header is written again when the file's length is known, and keeps its own

OnBytes = Callable[[int], None]


class ArchiveError(KitError):
    """The file is not whole, or not one of kit's; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is in a file. `records` are the files beside each other that tell how the image was proven, by suffix."""

    kit: str
    image_id: str
    tag: str | None
    layers: tuple[str, ...]
    labels: dict[str, str]
    image_bytes: int
    records: dict[str, str]
    file_bytes: int = 0  # 0 as long as the file is not whole


def partial(file: Path) -> Path:
    """Return where a file is kept until it is whole."""
    return file.with_name(f"{file.name}.partial")


def write(file: Path, header: Header, tar: Iterator[bytes], on_bytes: OnBytes) -> Header:
    """Write a file and return its header; what an interrupted save of the same image left is kept as far as it is right.

    `on_bytes` is told of every piece of the tar that is in the file. Raises KitError where the disk is full or another
    kit writes the same file.
    """
    unfinished = partial(file)
    try:
        with unfinished.open("r+b" if unfinished.exists() else "w+b") as out:
            try:
                fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise KitError(f"another kit is writing {unfinished}") from None
            whole = _written(out, header, tar, on_bytes)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise KitError(
            f"no space left for {unfinished}; make room and save again: it goes on where it stopped"
        ) from error
    unfinished.rename(file)
    return whole


def _written(out: IO[bytes], header: Header, tar: Iterator[bytes], on_bytes: OnBytes) -> Header:
    import zstandard

    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, threads=-1)
    continuing = _begins_with(out, header)
    if not continuing:
        out.seek(0)
        out.truncate()
        out.write(_header_frame(header))
    for raw in _sized(tar):
        here = out.tell()
        digest = hashlib.sha256(raw).hexdigest()
        if continuing and _has_chunk(out, digest):
            on_bytes(len(raw))
            continue
        if continuing:
            out.seek(here)
            out.truncate()
            continuing = False
        body = compressor.compress(raw)
        about = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "tar_sha256": digest}
        out.write(_skippable(json.dumps(about).encode()) + body)
        on_bytes(len(raw))
    out.truncate()
    whole = replace(header, file_bytes=out.tell())
    out.flush()
    os.fsync(out.fileno())  # the length is only told of what is on the disk
    out.seek(0)
    out.write(_header_frame(whole))
    out.flush()
    os.fsync(out.fileno())
    return whole


def _begins_with(file: IO[bytes], header: Header) -> bool:
    """Return whether an unfinished file is of this image, and leave it behind its header."""
    try:
        return replace(_read_header(file, ""), file_bytes=0) == header
    except ArchiveError:
        return False


def _has_chunk(file: IO[bytes], tar_sha256: str) -> bool:
    """Return whether the next chunk of an unfinished file is this one, whole."""
    try:
        return bool(_read_chunk(file)[0]["tar_sha256"] == tar_sha256)
    except (ValueError, KeyError, TypeError):
        return False


def _read_chunk(file: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Return the next chunk, what its file says of it and its frame; ValueError where they are not whole."""
    about = json.loads(_read_skippable(file))
    body = file.read(about["bytes"])
    if hashlib.sha256(body).hexdigest() != about["sha256"]:
        raise ValueError("damaged")
    return about, body


def read_header(file: Path) -> Header:
    """Return what is in a file. Raises ArchiveError where it is none of kit's, unfinished, cut off or too long."""
    with file.open("rb") as opened:
        header = _read_header(opened, str(file))
    there = file.stat().st_size
    if not header.file_bytes:
        raise ArchiveError(f"{file} is unfinished: save the image again, it goes on where it stopped")
    if there < header.file_bytes:
        raise ArchiveError(
            f"{file} is cut off: {header.file_bytes - there} of {header.file_bytes} bytes are missing; "
            "copy it again (rsync --append-verify goes on where the copy stopped)"
        )
    if there > header.file_bytes:
        raise ArchiveError(f"{file} is damaged: it has {there - header.file_bytes} bytes behind its end; copy it again")
    return header


def check(file: Path, on_bytes: OnBytes) -> None:
    """Read a whole file; ArchiveError where it is damaged, and at which byte. `on_bytes` is told of the file's bytes."""
    for body in _chunks(file):
        on_bytes(len(body))


def content(file: Path) -> Iterator[bytes]:
    """Give the tar in a file, each chunk checked before it is given."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor()
    for body in _chunks(file):
        yield decompressor.decompress(body)


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        header = _read_header(opened, str(file))
        while (here := opened.tell()) < header.file_bytes:
            try:
                yield _read_chunk(opened)[1]
            except (ValueError, KeyError, TypeError):
                raise ArchiveError(
                    f"{file} is damaged behind byte {here} of {header.file_bytes}; copy it again "
                    "(rsync --checksum sends what differs)"
                ) from None


def same_each_time(stream: IO[bytes]) -> Iterator[bytes]:
    """Give a tar of the engine without what differs from one save of an image to the next: the times of its files.

    Raises KitError where it ends early: an engine that fails midway ends its answer as if all were well.
    """
    names: set[str] = set()
    listed: list[dict[str, Any]] = []
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=COPY_BYTES) as saved:
            for member in saved:
                entry = tarfile.TarInfo(member.name)
                entry.size, entry.mode, entry.type, entry.linkname = (
                    member.size,
                    member.mode,
                    member.type,
                    member.linkname,
                )
                yield entry.tobuf()
                names.add(member.name)
                inside = saved.extractfile(member) if member.isreg() else None
                if inside is None:
                    continue
                if member.name == "manifest.json":
                    listed = json.loads(text := inside.read())
                    yield text
                while piece := inside.read(COPY_BYTES):
                    yield piece
                yield bytes(-member.size % tarfile.BLOCKSIZE)
    except tarfile.TarError as error:
        raise KitError(f"the engine broke off while it saved the image: {error}") from error
    needed = {name for image in listed for name in (image["Config"], *image["Layers"])}
    if not listed or needed - names:
        raise KitError("the engine broke off while it saved the image; its own log tells why")
    yield bytes(2 * tarfile.BLOCKSIZE)


def _sized(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Give a stream in chunks of CHUNK_BYTES; they must be the same each time."""
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        while len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk[:CHUNK_BYTES])
            del chunk[:CHUNK_BYTES]
    if chunk:
        yield bytes(chunk)


def _header_frame(header: Header) -> bytes:
    """Return the header's frame: its digest, a newline, and JSON, as long as it is for the longest file."""
    text, longest = (
        json.dumps({"schema": SCHEMA, **asdict(each)}) for each in (header, replace(header, file_bytes=LONGEST_BYTES))
    )
    padded = text.ljust(len(longest)).encode()
    return _skippable(hashlib.sha256(padded).hexdigest().encode() + b"\n" + padded)


def _skippable(data: bytes) -> bytes:
    return FRAME.pack(SKIPPABLE, len(data)) + data


def _read_skippable(file: IO[bytes]) -> bytes:
    """Return what a frame of kit's holds; ValueError where the next frame is none, or cut off."""
    start = file.read(FRAME.size)
    magic, length = FRAME.unpack(start) if len(start) == FRAME.size else (0, 0)
    if magic != SKIPPABLE or length > HEADER_BYTES_MAX:
        raise ValueError("not a frame of kit's")
    data = file.read(length)
    if len(data) < length:
        raise ValueError("cut off")
    return data


def _read_header(file: IO[bytes], name: str) -> Header:
    """Return the header and leave the file behind it."""
    try:
        digest, _, text = _read_skippable(file).partition(b"\n")
    except ValueError:
        raise ArchiveError(f"{name} was not made by kit image save, or its beginning is damaged or cut off") from None
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise ArchiveError(f"{name} is damaged in its header; copy it again")
    data = json.loads(text)
    if data.pop("schema") != SCHEMA:
        raise ArchiveError(f"{name} was made by kit {data.get('kit')}, whose files this kit cannot read")
    return Header(**{**data, "layers": tuple(data["layers"])})
