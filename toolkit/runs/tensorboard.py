"""The metrics of a training as TensorBoard reads them: a file of records, each an Event of protocol buffers with its CRCs.

TensorBoard over the folder of runs shows them all, each under its id. Sources: tensorflow/core/lib/io/record_writer.h,
tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

from toolkit.runs.folders import Event
from toolkit.runs.training import epochs

NAME = "events.out.tfevents.kit"  # TensorBoard knows them by this word of their names
_NO_METRICS = ("event", "time", "epoch", "epochs", "peak_memory_bytes")
POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected: https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4
VARINT, FIXED64, BYTES, FIXED32 = (
    0,
    1,
    2,
    5,
)  # how a field is written: https://protobuf.dev/programming-guides/encoding/


def events_file(events: list[Event]) -> bytes:
    """Return the metrics by epoch as the content of TensorBoard's file; empty where there is no epoch."""
    rows = epochs(events)
    if not rows:
        return b""
    begin = _wall_time(rows[0]) + _field(3, BYTES, b"brain.Event:2")
    return b"".join(map(_record, [begin, *(each for row in rows for each in _scalars(row))]))


def _scalars(row: Event) -> Iterator[bytes]:
    """Give an Event for each metric of an epoch, training beside validation: loss/training, loss/validation."""
    for name, value in row.items():
        if name not in _NO_METRICS and isinstance(value, int | float):
            tag = f"{name.removeprefix('val_')}/{'validation' if name.startswith('val_') else 'training'}"
            told = _field(1, BYTES, tag.encode()) + _field(2, FIXED32, struct.pack("<f", value))
            yield _wall_time(row) + _field(2, VARINT, row["epoch"]) + _field(5, BYTES, _field(1, BYTES, told))


def _wall_time(row: Event) -> bytes:
    return _field(1, FIXED64, struct.pack("<d", row.get("time") or 0.0))


def _field(number: int, kind: int, value: bytes | int) -> bytes:
    head = _varint(number << 3 | kind)
    if isinstance(value, int):
        return head + _varint(value)
    return head + (_varint(len(value)) if kind == BYTES else b"") + value


def _varint(value: int) -> bytes:
    """Return a number, seven bits a byte, the lowest first; all but the last have the eighth bit."""
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _table()[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _table() -> tuple[int, ...]:
    """Return what each byte does to a CRC."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)  # noqa: PLW2901
        table.append(byte)
    return tuple(table)
