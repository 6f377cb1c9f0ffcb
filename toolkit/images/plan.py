"""What a variant is built from and with, computed without an engine."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from toolkit.engine.downloads import PROXIES
from toolkit.engine.plan import LABEL, BuildPlan
from toolkit.images.variants import Variant


def inputs_digest(each: Variant) -> str:
    """Return the digest of everything that an image is made from, 16 hexadecimal digits."""
    parts = [(each.folder / "Dockerfile").read_bytes(), each.lock_file.read_bytes(), each.base.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def plan(each: Variant, uv: Path, environment: dict[str, str], ca: Path | None) -> BuildPlan:
    """Return the build of a variant. `uv` is a folder that holds uv alone, `ca` the CA bundle that downloads need."""
    lock_digest = hashlib.sha256(each.lock_file.read_bytes()).hexdigest()
    return BuildPlan(
        context=each.folder,
        arguments={
            "BASE": each.base,
            "LOCK": each.lock,
            **{name: environment[name] for name in PROXIES if environment.get(name)},
        },
        contexts={"uv": uv},
        secrets={"ca": ca} if ca else {},
        labels={
            f"{LABEL}.image": each.repository,
            f"{LABEL}.variant": each.name,
            f"{LABEL}.inputs": inputs_digest(each),
            f"{LABEL}.lock": f"sha256:{lock_digest}",
            **{f"{LABEL}.version.{name}": version for name, version in locked_versions(each).items()},
            "org.opencontainers.image.version": each.tensorflow,
            "org.opencontainers.image.base.name": each.base,
        },
    )


def locked_versions(each: Variant) -> dict[str, str]:
    """Return the versions of the lock that an image is chosen by: TensorFlow, Keras, NumPy, the CUDA runtime, cuDNN."""
    named = {"tensorflow": "tensorflow", "tensorflow-cpu": "tensorflow", "keras": "keras", "numpy": "numpy"}
    named |= {"nvidia-cuda-runtime-cu12": "cuda", "nvidia-cudnn-cu12": "cudnn"}
    pins = re.findall(r"^([a-z0-9-]+)==(\S+)", each.lock_file.read_text(encoding="utf-8"), re.MULTILINE)
    versions: dict[str, str] = {}
    for package, version in pins:  # the first of a package is that of the oldest Python, the images' own
        if package in named:
            versions.setdefault(named[package], version)
    return versions
