"""Builds a variant, proves it, and tags it only if it is good."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from toolkit import paths, records
from toolkit.engine.docker import BuildFailedError, Docker
from toolkit.engine.downloads import ca_bundle, uv_command
from toolkit.engine.plan import LABEL
from toolkit.facts import Facts
from toolkit.faults import finding
from toolkit.images.machine import all_gpus, host_gpus
from toolkit.images.plan import inputs_digest, plan
from toolkit.images.variants import Variant, variant
from toolkit.images.verify import verify
from toolkit.model import (
    BuildRecord,
    Evidence,
    Finding,
    KitError,
    Sentence,
)


def current(engine: Docker, each: Variant) -> bool:
    """Return whether the engine has this variant, proven, as its inputs are now: only a proven image has the tag."""
    image = engine.image(each.tag)
    return image is not None and (image["Config"].get("Labels") or {}).get(f"{LABEL}.inputs") == inputs_digest(each)


def fitting(facts: Facts) -> Variant:
    """Return the variant for a machine: gpu where GPUs are there and can be handed over, else cpu."""
    return variant("gpu" if host_gpus(facts) and all_gpus(facts) else "cpu")


def build(engine: Docker, each: Variant, facts: Facts, on_line: Callable[[str], None]) -> BuildRecord:
    """Build a variant, verify it, and tag it if it is good; what failed is in the record's findings.

    Raises KitError where kit cannot do its work (no BuildKit, no base image to be had).
    """
    began = time.perf_counter()
    log = paths.make(paths.state() / "builds") / f"{time.strftime('%Y%m%d-%H%M%S')}-{each.name}.log"
    ensure_base(engine, each, on_line)
    order = plan(each, _uv_folder(), dict(os.environ), ca_bundle(dict(os.environ)))
    with log.open("w", encoding="utf-8", buffering=1) as file:

        def keep(line: str) -> None:
            file.write(line + "\n")
            on_line(line)

        try:
            with engine.built(order, keep) as image_id:
                on_line("verifying")
                return _proven(engine, each, facts, image_id, log, began)
        except BuildFailedError:
            return _failed_build(each, log, time.perf_counter() - began)


def _proven(engine: Docker, each: Variant, facts: Facts, image_id: str, log: Path, began: float) -> BuildRecord:
    """Return the record of a built image, tagged and kept if it is good; one that was proven before is not proven again."""
    findings: tuple[Finding, ...] = ()
    known = records.read_json(records.image_record(image_id))
    if known and known.get("verified", {}).get("status") == "passed":
        verified, versions = known["verified"], known["versions"]
    else:
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
        seconds=time.perf_counter() - began,
        cached=_all_cached(log.read_text(encoding="utf-8")),
        verified=verified,
        findings=findings,
        log=str(log),
    )
    if good:
        engine.tag(image_id, each.tag)
        records.write_json(records.image_record(image_id), asdict(record))
    return record


def ensure_base(engine: Docker, each: Variant, on_line: Callable[[str], None]) -> None:
    """Make sure that the base image can be had: in the engine, from a registry, or made from Debian's mirror."""
    if engine.image(each.base) is not None:
        return
    script = Path(__file__).parent / "engine/base.sh"
    done = subprocess.run(
        ["bash", script, each.base], capture_output=True, text=True, check=False, env=engine.environment
    )
    for line in done.stderr.splitlines():
        on_line(line)
    if done.returncode != 0:
        raise KitError(f"the base image {each.base} cannot be had:\n{done.stderr.strip()}")


def _uv_folder() -> Path:
    """Return a folder with nothing but uv in it, since a build context is sent whole."""
    source = Path(uv_command())
    import importlib.metadata

    folder = paths.cache() / "uv" / importlib.metadata.version("uv")
    if not (folder / "uv").exists():
        paths.make(folder)
        shutil.copy2(source, folder / "uv.unfinished")
        (folder / "uv.unfinished").rename(folder / "uv")
    return folder


def _all_cached(log: str) -> bool:
    """Return whether every step of the Dockerfile came from the cache. Sample of a line: '#7 CACHED'."""
    steps = set(re.findall(r"^#(\d+) \[(?!internal)[^\]]*\d+/\d+\] (?:RUN|COPY)", log, re.MULTILINE))
    return steps <= set(re.findall(r"^#(\d+) CACHED", log, re.MULTILINE))


def _failed_build(each: Variant, log: Path, seconds: float) -> BuildRecord:
    last = useful_lines(log.read_text(encoding="utf-8"))
    found = finding(
        "build-failed",
        f"A step of {each.folder.name}/Dockerfile failed.",
        [Sentence(f"Read the whole log: {log}")],
        [Evidence(str(log), line) for line in last],
    )
    return BuildRecord(
        each.repository, None, "", each.name, {}, 0, seconds, False, {"status": "not-built"}, (found,), str(log)
    )


def useful_lines(log: str, count: int = 12) -> list[str]:
    """Return the last lines of a build log that say why it failed, without buildx's echo of the Dockerfile."""
    lines = [re.sub(r"^#\d+ (?:[\d.]+ )?", "", line) for line in log.splitlines()]
    end = next((index for index, line in enumerate(lines) if line.strip() == "------"), len(lines))
    return [line for line in lines[:end] if line.strip()][-count:]
