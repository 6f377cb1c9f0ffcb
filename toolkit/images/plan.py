"""What a variant is built from and with, computed without an engine."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path

from toolkit.engine.downloads import network
from toolkit.engine.plan import LABEL, BuildPlan
from toolkit.images.locks import versions
from toolkit.images.variants import Extra, Variant, spec

RECIPE = (
    "Dockerfile",
    "apt.sh",
    "install.sh",
    "slim.sh",
    "layers.sh",
    "stamp.sh",
    "start",
)  # what a build reads of its folder beside the locks
SHOWN = {
    "tensorflow": "tensorflow",
    "tensorflow-cpu": "tensorflow",
    "keras": "keras",
    "numpy": "numpy",
    "nvidia-cuda-runtime-cu12": "cuda",
    "nvidia-cudnn-cu12": "cudnn",
}


@dataclass(frozen=True, slots=True)
class Sources:
    """What a build takes from this machine: folders, and the base image as the engine has it."""

    uv: Path  # holds uv alone
    wheels: Path  # of `kit image fetch-wheels`, or empty
    debs: Path
    base: str  # by digest where a registry gave one
    base_digest: str
    ca: Path | None = None
    environment: dict[str, str] | None = None
    revision: str = ""
    kit_version: str = ""
    no_cache: bool = False


def inputs_digest(each: Variant) -> str:
    """Return the digest of everything that an image is made from, 16 hexadecimal digits."""
    parts = [each.base, str(each.full), str(spec()["epoch"]), *(extra.name for extra in each.extras)]
    files = [file for name in RECIPE for file in _files(each.folder / name)]
    parts += [hashlib.sha256(file.read_bytes()).hexdigest() for file in (*files, *each.locks)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def plan(each: Variant, sources: Sources) -> BuildPlan:
    """Return the build of a variant: its stage of the Dockerfile, with the network's settings as a secret."""
    told = network(sources.environment or {})
    backends = [extra.name for extra in each.extras if extra.backend]
    return BuildPlan(
        context=each.folder,
        target="backend" if backends else each.extras[-1].name if each.extras else "image",
        arguments={
            "BASE": sources.base,
            "SOURCE_DATE_EPOCH": str(spec()["epoch"]),
            "LOCK": each.lock_file.name,
            **({"FULL": "1"} if each.full else {}),
            **{f"{layer(extra).upper()}_LOCK": each.extra_lock(extra).name for extra in each.extras},
            **({"KERAS_BACKEND": backends[0]} if backends else {}),
        },
        contexts={"uv": sources.uv, "wheels": sources.wheels, "debs": sources.debs},
        secrets={"ca": sources.ca} if sources.ca else {},
        # Not as build arguments: those are kept in the image's history, and proxies and indexes have passwords.
        secret_texts={"network": "".join(f"export {name}={shlex.quote(told[name])}\n" for name in sorted(told))},
        labels={
            f"{LABEL}.image": each.repository,
            f"{LABEL}.variant": each.name,
            f"{LABEL}.inputs": inputs_digest(each),
            f"{LABEL}.lock": lock_digest(each),
            f"{LABEL}.kit": sources.kit_version,
            **{f"{LABEL}.version.{name}": version for name, version in locked_versions(each).items()},
            "org.opencontainers.image.version": each.tensorflow,
            "org.opencontainers.image.revision": sources.revision,
            "org.opencontainers.image.base.name": each.base,
            "org.opencontainers.image.base.digest": sources.base_digest,
        },
        no_cache=sources.no_cache,
    )


def layer(extra: Extra) -> str:
    """Return the stage of the Dockerfile that installs an extra: a backend in the place of the script's packages."""
    return "script" if extra.backend else extra.name


def lock_digest(each: Variant) -> str:
    """Return the digest of a variant's locks, of every layer."""
    return "sha256:" + hashlib.sha256(b"\0".join(lock.read_bytes() for lock in each.locks)).hexdigest()


def locked_versions(each: Variant) -> dict[str, str]:
    """Return the versions of the lock that an image is chosen by: TensorFlow, Keras, NumPy, the CUDA runtime, cuDNN."""
    locked = versions(each.lock_file.read_text(encoding="utf-8"))
    return {SHOWN[package]: version for package, version in locked.items() if package in SHOWN}
