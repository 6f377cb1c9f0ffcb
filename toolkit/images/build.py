"""Builds a variant, proves it, and tags it only if it is good."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from toolkit import paths, records
from toolkit.engine.docker import BuildFailedError, Docker
from toolkit.engine.plan import LABEL, Limits, RunPlan
from toolkit.facts import Facts
from toolkit.images import bill, wheels
from toolkit.images.failures import failure
from toolkit.images.plan import inputs_digest, plan
from toolkit.images.sources import Options, ensure_base, sources
from toolkit.images.variants import Variant
from toolkit.images.verify import verify
from toolkit.model import BuildRecord, Finding, KitError

SMALL = Limits(memory_bytes=256 << 20)
# The distribution by its id, then its packages. Source: os-release(5)
PACKAGES = """. /etc/os-release && echo "$ID" && dpkg-query --show --showformat '${Package} ${Version}\\n'"""


class NotBuiltError(KitError):
    """An image that is needed could not be built; the findings say why."""

    def __init__(self, image: str, findings: tuple[Finding, ...], log: str) -> None:
        super().__init__(f"the image {image} could not be built; its log is {log}")
        self.image, self.findings, self.log = image, findings, log


def ready(engine: Docker, each: Variant, facts: Facts, on_line: Callable[[str], None]) -> None:
    """Build a variant unless it is there as its inputs are now. Raises NotBuiltError."""
    if current(engine, each):
        return
    command = f"kit build --variant {each.hardware} --tf {each.minor} --libraries {each.flavour}"
    command += f" --extra {each.extras[-1].name}" if each.extras else ""
    on_line(f"building {each.tag} first ({command}): it is missing, or its inputs changed")
    built = build(engine, each, facts, on_line)
    if built.tag is None:
        raise NotBuiltError(each.tag, built.findings, built.log)


def current(engine: Docker, each: Variant) -> bool:
    """Return whether the engine has this variant, proven, as its inputs are now: only a proven image has the tag."""
    image = engine.image(each.tag)
    return image is not None and (image["Config"].get("Labels") or {}).get(f"{LABEL}.inputs") == inputs_digest(each)


def build(
    engine: Docker,
    each: Variant,
    facts: Facts,
    on_line: Callable[[str], None],
    options: Options | None = None,
    *,
    scan: bool = False,
) -> BuildRecord:
    """Build a variant, verify it, and tag it if it is good; what failed is in the record's findings.

    `scan` adds what is known of the vulnerabilities of a good one's packages. Raises KitError where kit cannot do its
    work (no BuildKit, no base image to be had), UsageError where a wheelhouse lacks wheels.
    """
    began = time.perf_counter()
    log = paths.make(paths.state() / "builds") / f"{time.strftime('%Y%m%d-%H%M%S')}-{each.core}-{os.getpid()}.log"
    options = options or Options()
    with log.open("w", encoding="utf-8", buffering=1) as file:

        def keep(line: str) -> None:
            file.write(line + "\n")
            on_line(line)

        try:
            ensure_base(engine, each, keep, options)
            with engine.built(plan(each, sources(engine, each, options)), keep) as image_id:
                record = _proven(engine, each, facts, image_id, log, on_line)
        except BuildFailedError as error:
            keep(f"ERROR: {error}")
            record = _failed_build(each, log)
    known = bill.scan(each, _target(each, record.versions)) if scan and record.tag else None
    cached = record.cached and not options.no_cache
    return replace(record, cached=cached, seconds=time.perf_counter() - began, scan=known)


def _proven(
    engine: Docker, each: Variant, facts: Facts, image_id: str, log: Path, on_line: Callable[[str], None]
) -> BuildRecord:
    """Return the record of a built image, tagged and kept if it is good; one that was proven before is not proven again."""
    findings: tuple[Finding, ...] = ()
    if known := _proof_of_its_layers(engine, each, image_id):
        verified, versions = known["verified"], known["versions"]
    else:
        on_line("verifying")
        verified, versions, findings = verify(engine, image_id, each, facts)
    good = verified["status"] == "passed"
    image = engine.image(image_id)
    record = BuildRecord(
        image=each.repository,
        tag=each.tag if good else None,
        image_id=image_id,
        variant=each.name,
        versions=versions,
        size_bytes=image["Size"] if image else 0,
        seconds=0.0,
        cached=_has_layers_of_tagged(engine, each, image_id),
        verified=verified,
        findings=findings,
        log=str(log),
        bill=str(_bill(engine, each, image_id, versions)) if good else None,
    )
    if good:
        engine.tag(image_id, each.tag)
        records.write_json(records.image_record(image_id), asdict(record))
    return record


def _proof_of_its_layers(engine: Docker, each: Variant, image_id: str) -> dict[str, Any] | None:
    """Return the record of a good image with the same layers: this one, or the tagged one with other labels."""
    same = [image_id]
    if _has_layers_of_tagged(engine, each, image_id) and (tagged := engine.image(each.tag)):
        same.append(tagged["Id"])
    known = (records.read_json(records.image_record(each)) for each in same)
    return next((record for record in known if record and record["verified"]["status"] == "passed"), None)


def _has_layers_of_tagged(engine: Docker, each: Variant, image_id: str) -> bool:
    """Return whether an image differs from the variant's tagged one in labels at most."""
    image, tagged = engine.image(image_id), engine.image(each.tag)
    return bool(image and tagged and _content(image) == _content(tagged))


def _content(image: dict[str, Any]) -> Any:
    """Return everything of an image that a container of it gets: its layers, environment, user, command…"""
    return image["RootFS"], {name: value for name, value in image["Config"].items() if name != "Labels"}


def _bill(engine: Docker, each: Variant, image_id: str, versions: dict[str, str | None]) -> Path:
    """Return the file of an image's bill of materials, beside its record."""
    file = records.image_record(image_id).with_suffix(".cdx.json")
    if not file.exists():
        told: list[str] = []
        order = RunPlan(("sh", "-c", PACKAGES), {}, image=image_id, limits=SMALL)
        engine.run(order, lambda stream, line: told.append(line) if stream == "stdout" else None)
        distribution, *debian = told
        records.write_json(file, bill.bill(each, _target(each, versions), distribution, debian, image_id))
    return file


def _target(each: Variant, versions: dict[str, str | None]) -> wheels.Target:
    """Return what an image's wheels are for, by the versions that its probe told; its base's Python where there are none."""
    python = versions.get("python")
    return wheels.target(each, python and ".".join(python.split(".")[:2]), platform.machine())


def _failed_build(each: Variant, log: Path) -> BuildRecord:
    found = failure(each, log)
    return BuildRecord(
        each.repository, None, "", each.name, {}, 0, 0.0, False, {"status": "not-built"}, (found,), str(log)
    )
