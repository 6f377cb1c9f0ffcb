"""Measures kit's GPU image against the plain recipe, both built in this run: size, build and start. `make bench`."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from toolkit.engine.docker import Docker, EngineError, docker_command
from toolkit.engine.downloads import ca_bundle
from toolkit.images.variants import variant

KIT = str(Path(sys.executable).with_name("kit"))
PLAIN = "kit-bench/plain:gpu"
STARTS = 9


def main() -> None:
    try:
        engine = Docker()
    except EngineError as error:
        print(f"\nimages: not measured, {error}")
        return
    ours = variant("gpu").tag
    ca = ca_bundle(dict(os.environ))
    secret = ["--secret", f"id=ca,src={ca}"] if ca else []
    recipe = Path(__file__).with_name("plain.Dockerfile")
    plain_build = [docker_command(), "buildx", "build", "--builder", engine.builder, "--load", "--provenance", "false"]
    plain_build += [*secret, "-t", PLAIN, "-f", str(recipe), str(recipe.parent / "simgpu")]
    our_build = [KIT, "build", "--variant", "gpu", "--json"]
    print(
        "\nkit's GPU image and the plain recipe (tests/plain.Dockerfile); first each is built once, for its downloads"
    )
    for command in (plain_build, our_build):
        seconds(command)
    row("cold build, downloads cached (s)", seconds([*our_build, "--no-cache"]), seconds([*plain_build, "--no-cache"]))
    row("build with nothing changed (s)", seconds(our_build), seconds(plain_build))
    size = {tag: (engine.image(tag) or {"Size": 0})["Size"] / 1e9 for tag in (ours, PLAIN)}
    row("size (GB)", size[ours], size[PLAIN])
    for what, arguments in {"import tensorflow": ("python", "-c", "import tensorflow"), "true": ("true",)}.items():
        taken: dict[str, list[float]] = {ours: [], PLAIN: []}
        for _ in range(STARTS):  # in turn, so that the machine's moods meet both
            for tag, times in taken.items():
                times.append(seconds([docker_command(), "run", "--rm", "--network", "none", tag, *arguments]))
        row(f"fresh container, {what} (s)", statistics.median(taken[ours]), statistics.median(taken[PLAIN]))
    reproducible(our_build, lambda: layers(engine, ours))
    subprocess.run([docker_command(), "rmi", "-f", PLAIN], capture_output=True, check=False)


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, env=os.environ)
    return time.perf_counter() - began


def row(what: str, ours: float, plain: float) -> None:
    print(f"{what:42} kit {ours:7.2f}   plain {plain:7.2f}   ratio {ours / plain:5.2f}", flush=True)


def layers(engine: Docker, tag: str) -> list[str]:
    found: list[str] = (engine.image(tag) or {})["RootFS"]["Layers"]
    return found


def reproducible(build: list[str], digests: Callable[[], list[str]]) -> None:
    """Print the layers of two builds that share nothing but their downloads."""
    first = digests()
    seconds([*build, "--no-cache"])
    again = digests()
    print("layers of two independent builds" + (", the same:" if first == again else " DIFFER:"))
    for one, other in zip(first, again, strict=True):
        print(f"  {one}  {other if other != one else '='}")


if __name__ == "__main__":
    main()
