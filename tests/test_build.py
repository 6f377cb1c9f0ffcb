"""kit build on a real engine: proven images, repeated builds, failures that tag nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolkit import doctor
from toolkit.engine.docker import Docker
from toolkit.images import build, plan, variants

KIT = str(Path(sys.executable).with_name("kit"))

pytestmark = [pytest.mark.engine, pytest.mark.image]


def kit_build(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [KIT, "build", "--json", *arguments], capture_output=True, text=True, check=False, timeout=1800
    )
    return done.returncode, json.loads(done.stdout)


def test_nothing_changed_builds_the_same_image(cpu_image: variants.Variant) -> None:
    first, again = kit_build("--variant", "cpu"), kit_build("--variant", "cpu")
    assert first[0] == again[0] == 0
    assert first[1]["image_id"] == again[1]["image_id"]
    assert again[1]["cached"]
    assert again[1]["tag"] == cpu_image.tag
    packages = json.loads(Path(again[1]["bill"]).read_text(encoding="utf-8"))["components"]
    assert any(row["purl"].startswith("pkg:deb/debian/libc6@2.36") for row in packages)


def test_gpu_variant_is_proven_by_counted_gpus(gpu_image: variants.Variant, engine: Docker) -> None:
    code, record = kit_build("--variant", "gpu")
    assert code == 0
    expected = record["verified"]["gpus"]["expected"]
    assert expected > 0
    assert record["verified"]["gpus"] == {"expected": expected, "container": expected, "tensorflow": expected}
    assert all(record["verified"]["libraries"].values())
    assert (record["versions"]["tensorflow"], record["versions"]["cuda"]) == ("2.21.0", "12.5.1")
    labels = engine.image(gpu_image.tag)["Config"]["Labels"]  # type: ignore[index]
    assert labels["org.kit.inputs"] == plan.inputs_digest(gpu_image)


def test_image_runs_as_a_user_with_every_nvidia_library_known_to_the_linker(
    gpu_image: variants.Variant, engine: Docker
) -> None:
    config = engine.image(gpu_image.tag)["Config"]  # type: ignore[index]
    assert config["User"] == "1000:1000"
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in config["Env"]


def test_a_package_with_another_hash_is_refused_by_name(
    engine: Docker, cpu_image: variants.Variant, tmp_path: Path
) -> None:
    folder = tmp_path / "tensorflow"
    shutil.copytree(cpu_image.folder, folder)
    (folder / cpu_image.lock).write_text("six==1.17.0 --hash=sha256:" + "0" * 64 + "\n")
    bad = replace(cpu_image, folder=folder, repository="kit/test-bad")
    record = build.build(engine, bad, doctor.this_machine(), lambda _: None)
    assert (record.tag, record.findings[0].id) == (None, "package-hash-mismatch")
    assert any("hash" in each.what.lower() for each in record.findings[0].evidence), record.findings[0].evidence
    assert engine.image(bad.tag) is None
    assert Path(record.log).is_file()
