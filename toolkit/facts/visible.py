"""What CUDA makes of CUDA_VISIBLE_DEVICES, a pure reading of its text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Visible:
    """The GPUs that a value leaves, and why the rest is hidden."""

    gpus: int | None  # None: it names MIG devices, which are not known here
    why: str


def read(value: str, uuids: tuple[str, ...]) -> Visible:
    """Return what a value leaves of the GPUs with these UUIDs, in CUDA's order.

    CUDA takes a list of indexes or of UUIDs (their beginnings do) and stops at the first that names no GPU; one that comes
    twice, or an empty list, gives none. Source: CUDA C++ Programming Guide, CUDA environment variables.
    Samples: '0,1', '', '-1', 'GPU-8932f937', 'MIG-4200c7ab-3f17-5d93-9a17-34e0b7eb2a03', 'NoDevFiles' (Slurm's).
    """
    if not value.strip():
        return Visible(0, "it is set and empty, which names no GPU")
    seen: list[int] = []
    for name in (part.strip() for part in value.split(",")):
        if name.startswith("MIG-"):
            return Visible(None, f"it names the MIG device {name}")
        index = _index(name, uuids)
        if index is None:
            return Visible(len(seen), f"{name!r} names no GPU of this machine, and CUDA stops there")
        if index in seen:
            return Visible(0, f"it names GPU {index} twice, which gives none")
        seen.append(index)
    return Visible(len(seen), f"it names {len(seen)} of {len(uuids)}")


def _index(name: str, uuids: tuple[str, ...]) -> int | None:
    if name.isascii() and name.isdecimal() and len(name) < 5:
        return int(name) if int(name) < len(uuids) else None
    matching = [index for index, uuid in enumerate(uuids) if name.startswith("GPU-") and uuid.startswith(name)]
    return matching[0] if len(matching) == 1 else None
