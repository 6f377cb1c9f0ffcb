"""Moves an image with its records into one file, and out of it into another engine."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolkit import paths, records
from toolkit.engine import store
from toolkit.engine.docker import Docker
from toolkit.images import archive
from toolkit.images.archive import Header
from toolkit.model import ArchiveRecord, KitError, UsageError

# kit's own images take 0.23 (cpu) and 0.44 (gpu) of their size in a file, so less than this never is enough.
LEAST_PART = 0.2
SUFFIX = re.compile(r"(\.[a-z0-9-]+)+")  # of a record: nothing that leads out of its folder

OnProgress = Callable[[str, int, int], None]  # what is done, bytes so far, bytes of all


def save(engine: Docker, reference: str, file: Path, on_progress: OnProgress) -> ArchiveRecord:
    """Write an image with its records into a file; a save that was cut off goes on where it was.

    Raises UsageError where there is no such image or the file holds something else, KitError where the disk is too small.
    """
    began = time.perf_counter()
    image = engine.image(reference)
    if image is None:
        raise UsageError(f"there is no image {reference} in the engine")
    tags = image.get("RepoTags") or []
    header = Header(
        kit=importlib.metadata.version("kit"),
        image_id=image["Id"],
        tag=reference if reference in tags else next(iter(tags), None),
        layers=tuple(image["RootFS"].get("Layers") or ()),
        labels=image["Config"].get("Labels") or {},
        image_bytes=image["Size"],
        records={
            suffix: path.read_text(encoding="utf-8")
            for suffix, path in records.beside_image_record(image["Id"]).items()
        },
    )
    already = file.exists()
    if already:
        whole = archive.read_header(file)
        if whole.image_id != header.image_id:
            raise UsageError(f"{file} holds another image ({whole.tag or whole.image_id}): remove it, or name another")
        archive.check(file, _told(on_progress, "checking", whole.file_bytes))
    else:
        _room_to_save(engine, file, header)
        with store.saving(engine, header.image_id) as stream:
            whole = archive.write(
                file, header, archive.same_each_time(stream), _told(on_progress, "saving", header.image_bytes)
            )
        paths.give_to_caller(file)
    return _record(file, whole, whole.image_id, already, began)


def load(engine: Docker, file: Path, on_progress: OnProgress) -> ArchiveRecord:
    """Load the image of a file into the engine with its records; nothing where the engine has it.

    The file is checked whole before, and the image has its name only when it is the one that was saved. Raises
    ArchiveError where the file is not whole, KitError where the engine cannot take the image.
    """
    began = time.perf_counter()
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    header = archive.read_header(file)
    image = _there(engine, header)
    already = image is not None
    if image is None:
        _room_to_load(engine, header)
        archive.check(file, _told(on_progress, "checking", header.file_bytes))
        told = _told(on_progress, "loading", header.image_bytes)

        def pieces() -> Iterator[bytes]:
            for piece in archive.content(file):
                yield piece
                told(len(piece))

        loaded = store.load(engine, pieces())
        image = engine.image(loaded)
        if image is None or not _same(image, header):
            store.remove(engine, loaded)
            raise KitError(f"the engine made another image of {file} than was saved ({header.image_id}): it is removed")
    before = engine.image(header.tag) if header.tag else None
    _restore(engine, header, image)
    record = _record(file, header, image["Id"], already, began)
    return replace(record, replaced=before["Id"] if before and before["Id"] != image["Id"] else None)


def _record(file: Path, header: Header, image_id: str, already: bool, began: float) -> ArchiveRecord:
    proof = json.loads(header.records.get(".json", "{}")).get("verified", {})
    return ArchiveRecord(
        file=str(file),
        image_id=image_id,
        tag=header.tag,
        file_bytes=header.file_bytes,
        image_bytes=header.image_bytes,
        verified=proof.get("status") == "passed",
        already=already,
        seconds=time.perf_counter() - began,
    )


def _there(engine: Docker, header: Header) -> dict[str, Any] | None:
    """Return the image of a file where the engine has it already."""
    named = (engine.image(name) for name in (header.image_id, header.tag) if name)
    return next((image for image in named if image and _same(image, header)), None)


def _same(image: dict[str, Any], header: Header) -> bool:
    """Return whether an image is the one of a file: by its id, or, since an engine whose images are kept by containerd
    counts the id otherwise, by the digests of its layers and its labels."""
    if image["Id"] == header.image_id:
        return True
    layers = tuple(image["RootFS"].get("Layers") or ())
    return bool(layers) and (layers, image["Config"].get("Labels") or {}) == (header.layers, header.labels)


def _restore(engine: Docker, header: Header, image: dict[str, Any]) -> None:
    """Give an image its records, under the id that this engine knows it by, and then its name."""
    record = records.image_record(image["Id"])
    for suffix, text in header.records.items():
        file = record.with_name(record.stem + suffix)
        if not SUFFIX.fullmatch(suffix) or file.exists():
            continue
        data = json.loads(text)
        records.write_json(file, {**data, "image_id": image["Id"]} if suffix == ".json" else data)
    if header.tag and header.tag not in (image.get("RepoTags") or ()):
        engine.tag(image["Id"], header.tag)


def _told(on_progress: OnProgress, what: str, total: int) -> archive.OnBytes:
    """Return what adds up the bytes of each piece."""
    so_far = 0

    def told(count: int) -> None:
        nonlocal so_far
        so_far += count
        on_progress(what, so_far, total)

    return told


def _room_to_save(engine: Docker, file: Path, header: Header) -> None:
    """Raise KitError where a save surely ends for want of space: in the engine's folder, or in the file's."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    unfinished = archive.partial(file)
    written = unfinished.stat().st_size if unfinished.exists() else 0
    _room(folder, int(header.image_bytes * LEAST_PART) - written, f"a file of {header.tag or header.image_id}")
    _room(_engine_folder(engine), header.image_bytes, "the engine, which writes the image out first,")


def _room_to_load(engine: Docker, header: Header) -> None:
    """Raise KitError where a load surely ends for want of space: the engine unpacks the file, and then its layers."""
    _room(_engine_folder(engine), 2 * header.image_bytes, "the engine, which unpacks the image twice,")


def _engine_folder(engine: Docker) -> Path | None:
    """Return the folder that the engine unpacks images in; None where it is not on this machine, or where containerd
    keeps the images, which unpacks them elsewhere and only once."""
    info = engine.info()
    contained = any("io.containerd.snapshotter" in " ".join(row) for row in info.get("DriverStatus") or ())
    folder = Path(info.get("DockerRootDir", ""))
    return folder if not contained and folder.is_dir() else None


def _room(folder: Path | None, needed_bytes: int, who: str) -> None:
    free = shutil.disk_usage(folder).free if folder else needed_bytes
    if free < needed_bytes:
        raise KitError(
            f"not enough space: {who} needs at least {needed_bytes / 1e9:.1f} GB in {folder}, "
            f"and {free / 1e9:.1f} GB are free"
        )
