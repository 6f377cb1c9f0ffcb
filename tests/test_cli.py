"""The command line: exit codes, one JSON document on stdout, lazy imports."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KIT = Path(sys.executable).with_name("kit")
CAPTURE = str(Path(__file__).parent / "hosts/no-gpu-vm.json")


def kit(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [KIT, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=120
    )


def test_help_needs_no_heavy_import() -> None:
    code = "import sys, toolkit.cli; print([m for m in ('docker', 'numpy', 'pynvml', 'yaml') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["doctor", "--replay", CAPTURE], 1, ""),
        (["doctor", "--list"], 0, ""),
        (["doctor", "--simulate", "list"], 0, ""),
        (["doctor", "--simulate", "server-2x-a100"], 0, ""),
        (["doctor", "--simulate", "nouveau"], 1, ""),
        (["doctor", "--simulate", "nouveau", "--fix-script"], 1, ""),
        (["doctor", "--simulate", "computes-slowly"], 0, ""),
        (["doctor", "--simulate", "computes-slowly", "--fail-on", "warning"], 1, ""),
        (["doctor", "--simulate", "nowhere"], 2, "no machine"),
        (["doctor", "--simulate", "nouveau", "--replay", CAPTURE], 2, "two machines"),
        (["explain", "--id", "nouveau-active"], 0, ""),
        (["explain", "--id", "noveau"], 2, "did you mean nouveau-active"),
        (["explain", "--id", "nouveau-active", "--list"], 2, "three questions"),
        (["doctor", "--replay", "/nowhere"], 3, "cannot read the capture"),
        (["doctor", "--replay", "pyproject.toml"], 3, "is no capture"),
        (["build", "--variant", "rocm"], 2, "give auto, gpu or cpu"),
        (["build", "--variant", "cpu", "--tf", "2.9"], 2, "2.21.0, 2.20.0"),
        (["build", "--extra", "latex"], 2, "choose from script, notebook"),
        (["verify", "no/such:image"], 2, "no image"),
        (["run", "workload", "nope"], 2, "choose from shapes, side_effects"),
        (["run", "workload", "--gpus", "many"], 2, "indices as in 0,2"),
        (["run", "workload", "--device", "tpu"], 2, "give auto, cpu, gpu"),
        (["run", "workload", "--engine", "podman"], 2, "give auto, docker or local"),
        (["run", "workload", "--epochs", "0"], 2, "--epochs"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_exit_codes(arguments: list[str], code: int, says: str) -> None:
    done = kit(*arguments)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr


def test_json_is_the_only_thing_on_stdout() -> None:
    document = json.loads(kit("doctor", "--json", "--replay", CAPTURE).stdout)
    assert document["schema"] == "kit.doctor/1"


@pytest.mark.parametrize("arguments", [["--list"], ["--simulate", "list"], ["--quick"]])
def test_every_view_of_the_doctor_has_its_document(arguments: list[str]) -> None:
    assert json.loads(kit("doctor", "--json", *arguments).stdout)["schema"].startswith("kit.")


def test_quick_leaves_the_engine_out() -> None:
    document = json.loads(kit("doctor", "--quick", "--json").stdout)
    assert [rung["rung"] for rung in document["chain"]] == ["pci", "module", "nodes", "nvml"]


def test_errors_are_json_too() -> None:
    done = kit("run", "workload", "nope", "--json")
    assert json.loads(done.stdout)["schema"] == "kit.run/1"
    assert "choose from" in json.loads(done.stdout)["error"]


def test_docker_never_falls_back() -> None:
    done = kit("run", "workload", "--engine", "docker", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert done.returncode == 3
    assert "make engine" in done.stderr


def test_shell_completion_is_offered() -> None:
    done = kit(_KIT_COMPLETE="complete_bash", COMP_WORDS="kit do", COMP_CWORD="1")
    assert done.stdout.split() == ["doctor"]
