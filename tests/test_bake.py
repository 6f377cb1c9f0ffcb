"""docker-bake.hcl builds what kit builds: the real `docker buildx bake --print` against the plans of kit's own builds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from toolkit.engine.docker import BuildFailedError, docker_command
from toolkit.images import bake, variants
from toolkit.images.plan import Sources, plan

CA = Path(__file__)  # bake asks only whether it is there
MACHINE = {
    "REVISION": "abc",
    "BASE_DIGEST": "sha256:1",
    "CA_BUNDLE": str(CA),
    "UV": "/uv",
    "WHEELS": "/w",
    "DEBS": "/d",
}


@pytest.fixture(scope="module")
def docker() -> str:
    """Give a Docker client with buildx, which needs no engine to print; skip, or fail where one is required."""
    try:
        if shutil.which("docker"):
            return docker_command()
        reason = "no Docker client"
    except BuildFailedError as error:
        reason = str(error)
    if os.environ.get("KIT_REQUIRE_ENGINE") == "1":
        pytest.fail(f"KIT_REQUIRE_ENGINE=1 and {reason}")
    pytest.skip(reason)


def printed(docker: str, *targets: str, **environment: str) -> dict[str, Any]:
    """Return what bake would build, as its own command line prints it."""
    done = subprocess.run(
        [docker, "buildx", "bake", "--print", *targets],
        capture_output=True,
        text=True,
        check=False,
        cwd=bake.file().parent,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_targets_are_those_of_image_toml_as_they_are_now() -> None:
    assert bake.file().read_text(encoding="utf-8") == bake.text(), "run: python -m toolkit.images.bake"
    names = [bake.target(each)["name"] for each in bake.targets()]
    assert len(set(names)) == len(names)


def test_every_row_is_a_target_and_no_other(docker: str) -> None:
    tags = [target["tags"] for target in printed(docker, "all")["target"].values()]
    assert sorted(tags) == sorted([row.tag] for row in variants.variants())
    newest = variants.variants()[0].tensorflow
    default = [target["tags"] for target in printed(docker)["target"].values()]
    assert default == [[f"kit/tensorflow:{newest}-cpu"], [f"kit/tensorflow:{newest}-gpu"]]


def test_every_target_is_built_as_kit_builds_it(docker: str) -> None:
    rows = {bake.target(each)["name"]: each for each in bake.targets()}
    targets = printed(docker, *rows, **MACHINE)["target"]
    assert set(targets) == set(rows)
    for name, each in rows.items():
        version = bake.target(each)["labels"]["org.kit.kit"]
        told = Sources(Path("/uv"), Path("/w"), Path("/d"), each.base, "sha256:1", CA, {}, "abc", kit_version=version)
        order, target = plan(each, told), targets[name]
        assert target["target"] == order.target
        assert target["args"] == order.arguments
        assert target["labels"] == order.labels
        assert target["contexts"] == {name: str(path) for name, path in order.contexts.items()}
        secrets = [*(f"id={name},src={path}" for name, path in order.secrets.items())]
        assert target["secret"] == [*secrets, *(f"id={name},env={name.upper()}" for name in order.secret_texts)]
        assert target["tags"] == [each.tag]
        assert (bake.file().parent / target["context"]).resolve() == order.context.resolve()


def test_a_base_and_a_registry_of_ones_own(docker: str) -> None:
    own = printed(docker, "2-21-cpu", BASE="registry.lab/debian@sha256:1", REPOSITORY="registry.lab/tf")["target"]
    assert own["2-21-cpu"]["args"]["BASE"] == "registry.lab/debian@sha256:1"
    assert own["2-21-cpu"]["tags"] == [f"registry.lab/tf:{variants.variants()[0].tensorflow}-cpu"]
    assert own["2-21-cpu"]["secret"] == ["id=network,env=NETWORK"], "no CA where none is named"
