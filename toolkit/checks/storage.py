"""Further checks of the rung engine: is there room for the next image?"""

from __future__ import annotations

from toolkit.checks import independent
from toolkit.checks.steps import as_root
from toolkit.facts import Facts, storage
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, RungName, Sentence

RUNG: RungName = "engine"

GB = 1_000_000_000
BUILD_BYTES = 15 * GB  # kit's gpu image: 5 GB unpacked, its packages twice while it is built, and buildx's cache
FULL_BYTES = 1 * GB


@independent
def storage_for_images(facts: Facts) -> Finding | None:
    """The engine has room for the next image"""
    disk = facts(storage.images)
    if disk.free_bytes >= BUILD_BYTES:
        return None
    full = disk.free_bytes < FULL_BYTES
    left = f"{disk.free_bytes / GB:.1f} of {disk.total_bytes / GB:.0f} GB are left where Docker keeps its images"
    return finding(
        "disk-full" if full else "storage-nearly-full",
        f"{left}: "
        + (
            "containers and builds fail here."
            if full
            else f"building the gpu image takes about {BUILD_BYTES // GB} GB."
        ),
        [
            Command("docker system df"),
            Command("docker image prune"),
            Command("docker builder prune"),
            Sentence(
                f"Or give {disk.folder} more room: another disk, named as data-root in the daemon's configuration"
            ),
            as_root(facts, f"du -xhd1 {disk.folder}"),
        ],
        [Evidence(disk.folder, f"{disk.free_bytes} of {disk.total_bytes} bytes free")],
        "error" if full else "warning",
    )
