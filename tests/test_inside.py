"""What slimming must not lose, and what workloads/ shares, tested inside the images: tests/inside, one container a file."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from toolkit import paths
from toolkit.engine import standin
from toolkit.engine.docker import Docker
from toolkit.engine.plan import Limits, Mount, RunPlan
from toolkit.images import variants

pytestmark = [pytest.mark.engine, pytest.mark.image]

FOLDER = Path(__file__).parent / "inside"
GPUS = 2
# The image of a file that is not of what every image has, which the cpu one stands for.
ON = {
    "cuda_parts": ("gpu",),
    "installed_files": ("cpu", "gpu"),
    "other_backend": ("jax",),
    "tensorboard_server": ("notebook",),
}


def names(file: Path) -> list[str]:
    nodes = ast.parse(file.read_text(encoding="utf-8")).body
    return [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def cases() -> list[tuple[str, str, str]]:
    """Return every test with its file and the image that it is run in."""
    files = [file for file in sorted(FOLDER.glob("*.py")) if file.name != "run.py"]
    return [(on, file.stem, test) for file in files for on in ON.get(file.stem, ("cpu",)) for test in names(file)]


Answers = Callable[[variants.Variant, str], dict[str, str | None]]


@pytest.fixture(scope="session")
def answers(engine: Docker) -> Answers:
    """Give a function that runs a file in an image, once, and returns the error of each of its tests."""

    @cache
    def run(image: variants.Variant, name: str) -> dict[str, str | None]:
        simulated = standin.given(GPUS) if image.hardware == "gpu" else ((), ())
        said: dict[str, str | None] = {}
        log: list[str] = []

        def on_line(stream: str, line: str) -> None:
            if stream == "stdout":
                answer = json.loads(line)
                said[answer["test"]] = answer["error"]
            else:
                log.append(line)

        order = RunPlan(
            command=("/inside/run.py", f"/inside/{name}.py"),
            environment={"HOME": "/tmp", "TF_CPP_MIN_LOG_LEVEL": "1", "PYTHONDONTWRITEBYTECODE": "1"}
            | {"PYTHONPATH": "/workloads"},
            mounts=(Mount(FOLDER, "/inside"), Mount(paths.workloads(), "/workloads"), *simulated[0]),
            image=image.tag,
            entrypoint=("python",),
            user="1000:1000",
            limits=Limits(memory_bytes=6 << 30),
            devices=simulated[1],
            deadline_seconds=300,
        )
        ended = engine.run(order, on_line)
        last_words = f"{name} ended with code {ended.code}:\n" + "\n".join(log[-30:])
        return {test: said.get(test, last_words) for test in names(FOLDER / f"{name}.py")}

    return run


@pytest.mark.parametrize(("on", "file", "test"), cases())
def test_inside(answers: Answers, request: pytest.FixtureRequest, on: str, file: str, test: str) -> None:
    error = answers(request.getfixturevalue(f"{on}_image"), file)[test]
    assert error is None, error
