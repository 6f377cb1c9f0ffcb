"""Which of kit's images the engine has, what uses them, and their removal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from toolkit import records
from toolkit.engine import store
from toolkit.engine.docker import Docker
from toolkit.engine.plan import LABEL
from toolkit.images.plan import inputs_digest
from toolkit.images.variants import Variant, extras_of, variants, with_extra
from toolkit.model import ImageStatus, RemovalRecord, StoredImage, UsageError

BUILDING = f"{LABEL}/building"  # the name of an image as long as it is built and proven, with kit's process as its tag
SUPERSEDED: tuple[ImageStatus, ...] = ("outdated", "untagged", "unfinished")

Ask = Callable[[StoredImage], bool]  # whether to remove an image that something uses


def images(engine: Docker, repository: str | None = None) -> tuple[StoredImage, ...]:
    """Return kit's images, or those of one repository, those with a name first."""
    label = f"{LABEL}.image" + (f"={repository}" if repository else "")
    rows = _described(engine, store.images(engine, label))
    return tuple(sorted(rows, key=lambda row: (not row.tags, row.tags, row.image_id)))


def image(engine: Docker, reference: str) -> StoredImage:
    """Return an image of the engine, kit's or not. Raises UsageError where there is none."""
    found = engine.image(reference)
    if found is None:
        raise UsageError(f"there is no image {reference} in the engine; kit image list shows kit's")
    listed = [row for row in store.images(engine) if row["Id"] == found["Id"]]
    return next(_described(engine, listed))


def remove(engine: Docker, references: tuple[str, ...], ask: Ask) -> RemovalRecord:
    """Remove kit's images, or names of them; one that a run or container uses only after asking.

    Raises UsageError where one is not in the engine, or not kit's.
    """
    found = {reference: image(engine, reference) for reference in references}
    for reference, each in found.items():
        if each.status == "foreign":
            raise UsageError(f"{reference} is not an image of kit's; docker image rm removes it")
    return _removed(engine, [(_names(reference, each), each) for reference, each in found.items()], ask)


def _names(reference: str, each: StoredImage) -> tuple[str, ...]:
    """Return the names that a reference means: itself, or all that kit gave where it is an id."""
    named = reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"
    return (named,) if named in each.tags else _own(each) or each.tags


def prune(engine: Docker, ask: Ask, cache_days: int | None = None, repository: str | None = None) -> RemovalRecord:
    """Remove what is superseded: kit's images without a name or with inputs that changed, and what killed builds left.

    With `cache_days` also the build cache that nobody used for so long; the engine does not tell kit's from others'.
    """
    superseded = [(_own(each), each) for each in images(engine, repository) if each.status in SUPERSEDED]
    return _removed(engine, superseded, ask, cache_days)


def _own(each: StoredImage) -> tuple[str, ...]:
    """Return the names of an image that kit gave it: what somebody else named is theirs."""
    ours = (f"{BUILDING}:", f"{each.labels[f'{LABEL}.image']}:")
    return tuple(tag for tag in each.tags if tag.startswith(ours))


def _removed(
    engine: Docker, chosen: list[tuple[tuple[str, ...], StoredImage]], ask: Ask, cache_days: int | None = None
) -> RemovalRecord:
    """Remove names of images, and the images with their last ones."""
    before = store.used_bytes(engine)
    removed: list[str] = []
    kept: dict[str, str] = {}
    for names, each in chosen:
        if engine.image(each.image_id) is None:  # it went with another
            continue
        if reason := _reason_to_keep(each, names, ask):
            kept[names[0] if names else each.image_id] = reason
            continue
        for name in names or (each.image_id,):
            try:
                store.remove(engine, name, force=bool(each.containers))
                removed.append(name)
            except store.RefusedError as error:
                kept[name] = str(error)
        if engine.image(each.image_id) is None:
            for file in records.beside_image_record(each.image_id).values():
                file.unlink()
    if cache_days is not None:
        store.prune_cache(engine, cache_days)
    return RemovalRecord(tuple(removed), kept, max(0, before - store.used_bytes(engine)))


def _reason_to_keep(each: StoredImage, names: tuple[str, ...], ask: Ask) -> str | None:
    """Return why an image stays; None where it may go, or keeps another name."""
    if set(each.tags) - set(names):
        return None
    running = sorted(name for name, state in each.containers.items() if state in ("running", "paused", "restarting"))
    if running:
        return f"container {', '.join(running)} runs it; stop it first"
    if (each.runs or each.containers) and not ask(each):
        return f"used by {uses(each)}; --yes removes it all the same"
    return None


def uses(each: StoredImage) -> str:
    """Return what uses an image, in words; empty where nothing does."""
    counted = ((len(each.runs), "run"), (len(each.containers), "container"))
    return " and ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in counted if count)


def _described(engine: Docker, rows: list[dict[str, Any]]) -> Iterator[StoredImage]:
    """Give what kit knows of images as the engine lists them."""
    containers: dict[str, dict[str, str]] = defaultdict(dict)
    for container in store.containers(engine):
        containers[container["ImageID"]][container["Names"][0].removeprefix("/")] = container["State"]
    runs = list(records.results())
    for row in rows:
        tags = tuple(sorted(tag for tag in row.get("RepoTags") or () if tag != "<none>:<none>"))
        labels = row.get("Labels") or {}
        record = records.read_json(records.image_record(row["Id"])) or {}
        yield StoredImage(
            image_id=row["Id"],
            tags=tags,
            status=status(tags, labels),
            variant=labels.get(f"{LABEL}.variant"),
            versions={
                name.removeprefix(f"{LABEL}.version."): version
                for name, version in labels.items()
                if name.startswith(f"{LABEL}.version.")
            },
            size_bytes=row["Size"],
            own_bytes=row["Size"] - row["SharedSize"] if row.get("SharedSize", -1) >= 0 else None,
            verified=record.get("verified"),
            runs=tuple(run["run_id"] for run in runs if _used(run, row["Id"], tags)),
            containers=dict(sorted(containers[row["Id"]].items())),
            labels=labels,
        )


def _used(run: dict[str, Any], image_id: str, tags: tuple[str, ...]) -> bool:
    """Return whether a run used an image; one of an older kit tells only its name."""
    return bool(run["image_id"] == image_id if run.get("image_id") else run.get("image") in tags)


def status(tags: tuple[str, ...], labels: dict[str, str]) -> ImageStatus:
    """Return what an image is to kit, by its names and labels."""
    if f"{LABEL}.image" not in labels:
        return "foreign"
    if not tags:
        return "untagged"
    builds = [tag.rpartition(":")[2] for tag in tags if tag.startswith(f"{BUILDING}:")]
    if any(Path("/proc", process).exists() for process in builds):
        return "building"
    own = [tag for tag in tags if tag.startswith(f"{labels[f'{LABEL}.image']}:")]
    if not own:
        return "unfinished" if len(builds) == len(tags) else "derived"
    named = [each for tag in own if (each := _variant(tag, labels))]
    if not named:
        return "unlisted"
    return "current" if all(inputs_digest(each) == labels.get(f"{LABEL}.inputs") for each in named) else "outdated"


def _variant(tag: str, labels: dict[str, str]) -> Variant | None:
    """Return the variant that kit gives a tag to, on the base that an image's labels name."""
    base = labels.get("org.opencontainers.image.base.name")
    each_with = ((row, extra) for row in variants() for extra in (None, *extras_of(row)))
    for (row, extra), full in product(each_with, (False, True)):
        own_base = base is not None and base != row.base
        each = replace(row, full=full, own_base=own_base, base=base if base and own_base else row.base)
        each = with_extra(each, extra) if extra else each
        if each.tag == tag:
            return each
    return None
