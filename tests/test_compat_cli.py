"""kit compat: exit codes, the document alone on stdout, the answer in the first line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from toolkit import scenarios
from toolkit.compat import machine, solver
from toolkit.facts import Facts
from toolkit.host import capture
from toolkit.show import compat as view

KIT = Path(sys.executable).with_name("kit")


def kit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([KIT, "compat", *arguments], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "code", "first"),
    [
        (["--tf", "2.19", "--driver", "535.104.05", "--gpu", "RTX 3090"], 0, "Yes, natively: TensorFlow 2.19.1"),
        (["--driver", "580.95.05", "--gpu", "RTX 5090"], 0, "Yes, by JIT: TensorFlow 2.21.0"),
        (
            ["--driver", "590.48.01", "--gpu", "GTX 1080"],
            1,
            "No (TensorFlow 2.21.0): the driver 590.48.01 does not drive",
        ),
        (["--tf", "2.19", "--driver", "525.60.11"], 1, "No (TensorFlow 2.19.1): the driver 525.60.11 is older"),
        (["--tf", "2.19", "--gpu", "RTX 6000"], 0, "Unknown (TensorFlow 2.19.1): several cards go by RTX 6000"),
        (
            ["--tf", "2.19", "--gpu", "A100", "--gpu", "GTX 980"],
            1,
            "No (TensorFlow 2.19.1): TensorFlow is compiled for",
        ),
        (["--os", "windows", "--gpu", "RTX 3060", "--driver", "531.79"], 0, "Yes, natively: TensorFlow 2.10.1"),
        (["--tf", "2.9"], 0, "Unknown: kit's table has no TensorFlow 2.9"),
    ],
)
def test_the_first_line_is_the_answer(arguments: list[str], code: int, first: str) -> None:
    done = kit(*arguments)
    assert (done.returncode, done.stdout.startswith(first)) == (code, True), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tf", "banana"], "--tf banana"),
        (["--driver", "new"], "--driver new"),
        (["--gpu", ""], "--gpu"),
        (["--python", "3"], "--python 3"),
        (["--numpy", "x"], "--numpy x"),
        (["--os", "beos"], "linux, linux-aarch64, wsl2 or windows"),
        (["--here", "--os", "linux"], "leave --os out"),
    ],
)
def test_wrong_usage(arguments: list[str], says: str) -> None:
    done = kit(*arguments, "--json")
    assert done.returncode == 2
    assert says in done.stderr
    assert list(json.loads(done.stdout)) == ["schema", "error"]


def test_json_is_one_document() -> None:
    done = kit("--tf", "2.19", "--driver", "535.104.05", "--gpu", "RTX 3090", "--json")
    document = json.loads(done.stdout)
    assert (document["schema"], document["runs"], document["driver"]) == ("kit.compat/1", "native", "minor")
    assert "versions" not in document


def test_this_machine_has_every_minor_version() -> None:
    document = json.loads(kit("--json").stdout)
    minors = [row["tensorflow"].rpartition(".")[0] for row in document["versions"]]
    assert minors == [f"2.{minor}" for minor in range(21, 9, -1)]
    assert list(document["versions"][0]) == [
        "tensorflow", "runs", "driver", "code", "cuda", "cudnn", "python", "why",
    ]  # fmt: skip


def test_here_reads_what_is_not_given() -> None:
    document = json.loads(kit("--here", "--gpu", "RTX 3090", "--driver", "550.54.15", "--json").stdout)
    assert document["compute_capability"] == "8.6"
    assert document["driver"] in ("minor", "unknown")  # unknown on ARM, whose wheels have no CUDA


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("one-card-too-old-for-tensorflow", ["Take TensorFlow 2.16.2", "NVIDIA A100-SXM4-40GB, Tesla M40", "2.21.0"]),
        ("blackwell-compiled-at-start", ["Take TensorFlow 2.21.0", "2 of NVIDIA GeForce RTX 5090", "JIT"]),
        ("no-gpu-physical", ["Take TensorFlow 2.21.0", "there is no GPU", "no NVIDIA GPU"]),
        ("pascal-open-module", ["no NVIDIA driver works here", "Take TensorFlow 2.21.0"]),
        ("unknown-card-dropped-by-driver", ["10de:0a65 is, is not known"]),
    ],
)
def test_a_machine_is_told_what_to_take(name: str, says: list[str]) -> None:
    asked = machine.question(Facts(capture.replay(scenarios.file(name))))
    output = io.StringIO()
    Console(file=output, width=200).print(view.machine(asked, solver.solve(asked), solver.versions(asked)))
    assert [text for text in says if text not in output.getvalue()] == [], output.getvalue()
