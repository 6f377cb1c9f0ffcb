"""A folder of `kit image fetch-wheels` is all that a build needs: with no network it gives the same layers as with one."""

from __future__ import annotations

import dataclasses
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from toolkit.engine.docker import Docker, build_command
from toolkit.images import debs, wheels
from toolkit.images.plan import plan
from toolkit.images.sources import Options, sources
from toolkit.images.variants import Variant, spec, variant
from toolkit.model import KitError

SIX = """six==1.17.0 \\
    --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274
"""
IMAGE = "kit/test-offline:1"


def small(folder: Path) -> Variant:
    """Return the cpu variant with one package, so that it is built in seconds."""
    each = dataclasses.replace(variant("cpu"), folder=folder / "tensorflow", repository="kit/test-offline")
    shutil.copytree(variant("cpu").folder, each.folder)
    each.lock_file.write_text(SIX)
    return each


@pytest.mark.engine
@pytest.mark.image
def test_without_a_network_a_build_gives_the_same_layers(engine: Docker, tmp_path: Path) -> None:
    each, folder = small(tmp_path), tmp_path / "wheelhouse"
    on = wheels.target(each, None, platform.machine())
    wheels.fetch(each, folder, on, lambda *_: None)
    (wheels.debs(folder, each.base, on.machine) / "left-by-an-older-fetch.deb").mkdir(parents=True)
    fetched = debs.fetch(each, folder, on, lambda _: None)
    assert {name.partition("_")[0] for name in fetched} > {"python3", "binutils"}
    assert "left-by-an-older-fetch.deb" not in fetched

    offline = plan(each, sources(engine, each, Options(wheelhouse=folder, no_cache=True)))
    *command, context = build_command(offline, ["--load", "--tag", IMAGE], engine.builder)
    environment = {**engine.environment, "KIT_SECRET_NETWORK": ""}
    try:
        done = subprocess.run(
            [*command, "--network", "none", context], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr[-3000:]
        first: Any = engine.image(IMAGE)
        with engine.built(plan(each, sources(engine, each, Options())), lambda _: None) as image_id:
            second: Any = engine.image(image_id)
            assert first["RootFS"]["Layers"] == second["RootFS"]["Layers"]
    finally:
        engine._unname(IMAGE)


def test_only_the_images_own_base_tells_what_it_lacks(tmp_path: Path) -> None:
    each = variant("cpu")
    other = "aarch64" if platform.machine() == "x86_64" else "x86_64"
    with pytest.raises(KitError, match=f"only a machine of its kind, {other}"):
        debs.fetch(each, tmp_path, wheels.Target("3.11", other), lambda _: None)
    python = next(row["python"] for row in spec()["base"] if row["name"] == each.base)
    with pytest.raises(KitError, match=rf"{each.base} has Python {python}; name the base that has Python 3\.99"):
        debs.fetch(each, tmp_path, wheels.Target("3.99", platform.machine()), lambda _: None)
