"""tensorflow.json, read from the wheels of the package index: `python -m toolkit.compat.refresh [RECORD]`.

RECORD is a file for what was read of the wheels; tests/compat/wheels.json is the one that the tests parse again.
No command of kit imports this module.
"""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import re
import sys
import urllib.request
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from email.parser import HeaderParser
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from toolkit.model import KitError

OLDEST = Version("2.10")
PLATFORMS = {
    "linux": (r"manylinux.*_x86_64", {"platform_system": "Linux", "platform_machine": "x86_64"}),
    "linux-aarch64": (r"manylinux.*_aarch64", {"platform_system": "Linux", "platform_machine": "aarch64"}),
    "windows": (r"win_amd64", {"platform_system": "Windows", "platform_machine": "AMD64", "sys_platform": "win32"}),
}
# Up to 2.15 the wheels of ARM and up to 2.18 those of Windows hold no code: they require the one that does.
CARRIERS = {"linux-aarch64": "tensorflow-cpu-aws", "windows": "tensorflow-intel"}
BLOCK = 16384  # bytes of a request, at least
BUILD_INFO = "tensorflow/python/platform/build_info.py"
READ = re.compile(r"(Requires-Python|Requires-Dist: *(numpy|keras|protobuf|tensorflow-(intel|cpu-aws))\b|.*and-cuda)")
TABLE = Path(__file__).with_name("tensorflow.json")
ABOUT = (
    "What the official TensorFlow wheels are and need, a row a stable release and operating system (made by "
    "refresh.py). capabilities: sm_XY is code for X.Y and later of the same X; compute_XY is that and PTX, from which "
    "the driver compiles code for newer cards at first start (TensorFlow, configure.py). cuda: the toolkit that it was "
    "built with; cudnn: that of its pins (a range's lower bound), before 2.14 of TensorFlow's tested builds; pins: the "
    "and-cuda extra, {} where the build has no CUDA; numpy: the range of the oldest Python, numpy_by_python those of "
    "the Pythons that differ. A release that no Python can install (2.11.1 on linux-aarch64) has no row."
)


@dataclass(frozen=True, slots=True)
class Release:
    """What is read of a TensorFlow release on one operating system."""

    tensorflow: str
    os: str
    wheels: tuple[tuple[str, ...], ...]  # names of tensorflow's, then its carrier's; the last of each was read
    metadata: tuple[str, ...]
    build_info: str


def parse(release: Release, tested: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a release. `tested` is tested_builds.json; samples are in tests/compat/wheels.json."""
    headers = [HeaderParser().parsestr(text) for text in release.metadata]
    lines = [line for each in headers for line in each.get_all("Requires-Dist", [])]
    pythons = sorted(set.intersection(*(set(map(python, names)) for names in release.wheels)), key=Version)
    needs = {each: requirements(lines, release.os, each) for each in pythons}
    oldest = needs[pythons[0]]
    built = build_info(release.build_info)
    gpu = built["is_cuda_build"]
    pins = requirements(lines, release.os, pythons[-1], extra="and-cuda") if gpu else {}
    cudnn, cudnn_source = cudnn_of(release, pins, tested) if gpu else (None, "")
    read = " and ".join(names[-1] for names in release.wheels)
    page = f"https://pypi.org/project/tensorflow/{release.tensorflow}/"
    return {
        "tensorflow": release.tensorflow,
        "os": release.os,
        "python": pythons,
        "requires_python": headers[-1]["Requires-Python"],
        "glibc": glibc(name for names in release.wheels for name in names),
        "gpu": gpu,
        "cuda": cuda(built["cuda_version"]) if gpu else None,
        "cudnn": cudnn,
        "capabilities": built["cuda_compute_capabilities"] if gpu else [],
        "pins": pins,
        "numpy": oldest["numpy"],
        "numpy_by_python": {each: need["numpy"] for each, need in needs.items() if need["numpy"] != oldest["numpy"]},
        "keras": oldest["keras"],
        "protobuf": oldest["protobuf"],
        "source": f"{page} {read}: METADATA, {BUILD_INFO}{cudnn_source}",
    }


def cudnn_of(release: Release, pins: dict[str, str], tested: dict[str, Any]) -> tuple[str | None, str]:
    """Return the cuDNN of a release and what to add to its source: of its pins, else of TensorFlow's tested builds."""
    pinned = next((spec for name, spec in pins.items() if name.startswith("nvidia-cudnn-")), None)
    if pinned:
        return lowest(pinned), ""
    minor = ".".join(release.tensorflow.split(".")[:2])
    row = next((row for row in tested["builds"] if (row["tensorflow"], row["os"]) == (minor, release.os)), None)
    return (row["cudnn"], f"; cudnn: {row['source']}") if row else (None, "")


def requirements(lines: Iterable[str], os: str, python: str, extra: str = "") -> dict[str, str]:
    """Return {distribution: version range} of the Requires-Dist lines that hold; of an extra, those that it adds."""
    environment = {"sys_platform": "linux", "python_version": python, **PLATFORMS[os][1]}

    def holds(each: Requirement, extra: str) -> bool:
        return each.marker is None or each.marker.evaluate({**environment, "extra": extra})

    asked = [each for each in map(Requirement, lines) if holds(each, extra) and not (extra and holds(each, ""))]
    return {each.name: str(each.specifier) for each in asked}


def build_info(text: str) -> dict[str, Any]:
    """Return the dictionary of a build_info.py: `build_info = collections.OrderedDict([('cuda_version', '12.5.1'), …])`."""
    call = next(
        node.value for node in ast.parse(text).body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
    )
    return dict(ast.literal_eval(call.args[0]))


def cuda(version: str) -> str:
    """Return "11.2" of "64_112", as Windows wheels write it in the way of cudart64_112.dll; others as they are."""
    return re.sub(r"^64_(\d+)(\d)$", r"\1.\2", version)


def lowest(spec: str) -> str:
    """Return "9.3.0" of "==9.3.0.75" and of "<10.0,>=9.3.0.75": cuDNN's own version, without its packaging's number."""
    bound = next(part for part in spec.split(",") if part.startswith(("==", ">=")))
    return ".".join(bound[2:].split(".")[:3])


def python(wheel: str) -> str:
    """Return "3.11" of a wheel's name with cp311 in it."""
    tag = next(iter(parse_wheel_filename(wheel)[3]))
    return f"{tag.interpreter[2]}.{tag.interpreter[3:]}"


def glibc(wheels: Iterable[str]) -> str | None:
    """Return the newest glibc that the wheels' names ask for ("manylinux_2_17_x86_64"), None on Windows."""
    found = {f"{major}.{minor}" for name in wheels for major, minor in re.findall(r"manylinux_(\d+)_(\d+)_", name)}
    return max(found, key=Version, default=None)


class Remote(io.RawIOBase):
    """A file of a web server that answers range requests, read in blocks."""

    def __init__(self, url: str) -> None:
        self.url, self.position, self.blocks = url, 0, dict[int, bytes]()
        tail, self.size = fetch_range(url, "-65536")
        first = -(-(self.size - len(tail)) // BLOCK)
        self._keep(first, tail[first * BLOCK - (self.size - len(tail)) :])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence] + offset
        return self.position

    def readinto(self, buffer: Any) -> int:
        end = min(self.position + len(buffer), self.size)
        if end <= self.position:
            return 0
        wanted = range(self.position // BLOCK, (end - 1) // BLOCK + 1)
        missing = [block for block in wanted if block not in self.blocks]
        if missing:
            last = min((missing[-1] + 1) * BLOCK, self.size) - 1
            self._keep(missing[0], fetch_range(self.url, f"{missing[0] * BLOCK}-{last}")[0])
        data = b"".join(self.blocks[block] for block in wanted)[self.position % BLOCK :][: end - self.position]
        buffer[: len(data)] = data
        self.position = end
        return len(data)

    def _keep(self, first: int, data: bytes) -> None:
        self.blocks |= {first + i: data[i * BLOCK :][:BLOCK] for i in range(-(-len(data) // BLOCK))}


def fetch_range(url: str, span: str) -> tuple[bytes, int]:
    """Return the bytes of a span ("0-99", "-100") of a file on a web server, and the size of the whole file."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={span}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        if answer.status != 206:
            raise KitError(f"{url}: the server does not answer range requests")
        return answer.read(), int(answer.headers["Content-Range"].rpartition("/")[2])


def index(name: str) -> dict[str, str]:
    """Return {wheel's name: URL} of a project on the package index."""
    root = os.environ.get("UV_INDEX_URL") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    url = f"{root.rstrip('/')}/{name}/"
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    wheels = [each for each in files if each["filename"].endswith(".whl") and not each.get("yanked")]
    return {each["filename"]: urljoin(url, each["url"]) for each in wheels}


def by_release(names: Iterable[str]) -> dict[tuple[Version, str], tuple[str, ...]]:
    """Return {(version, operating system): wheels' names, the newest Python's last} of the stable releases."""
    found = defaultdict[tuple[Version, str], list[str]](list)
    for name in names:
        _, version, _, tags = parse_wheel_filename(name)
        for system, (platform, _) in PLATFORMS.items():
            if any(re.fullmatch(platform, tag.platform) for tag in tags):
                found[version, system].append(name)
    return {
        release: tuple(sorted(wheels, key=lambda name: Version(python(name))))
        for release, wheels in found.items()
        if release[0] >= OLDEST and not release[0].is_prerelease
    }


def releases() -> Iterator[Release]:
    """Yield what the index has, by version and operating system."""
    urls = {name: index(name) for name in ("tensorflow", *CARRIERS.values())}
    wheels = {name: by_release(found) for name, found in urls.items()}
    with ThreadPoolExecutor(4) as pool:
        read = partial(read_release, wheels, {name: url for each in urls.values() for name, url in each.items()})
        yield from filter(None, pool.map(read, sorted(wheels["tensorflow"])))


def read_release(
    wheels: dict[str, dict[tuple[Version, str], tuple[str, ...]]], urls: dict[str, str], key: tuple[Version, str]
) -> Release | None:
    """Return a release as its wheels have it, None where no Python can install it or they do not say their CUDA."""
    version, system = key
    names = [wheels["tensorflow"][key]]
    text, built = read_wheel(urls[names[0][-1]])
    metadata = [text]
    if not built:
        names.append(wheels[CARRIERS[system]].get(key, ()))
        if not {*map(python, names[0])} & {*map(python, names[1])}:
            logging.warning("tensorflow %s on %s: left out, no Python has all of its wheels", version, system)
            return None
        text, built = read_wheel(urls[names[1][-1]])
        metadata.append(text)
    facts = build_info(built)
    if facts["is_cuda_build"] and "cuda_compute_capabilities" not in facts:
        logging.warning("tensorflow %s on %s: left out, its build_info.py does not say its CUDA", version, system)
        return None
    return Release(str(version), system, tuple(names), tuple(metadata), built)


def read_wheel(url: str) -> tuple[str, str]:
    """Return the lines of a wheel's METADATA that parse reads, and the statement of its build_info.py ("" without one)."""
    with zipfile.ZipFile(Remote(url)) as wheel:
        names = wheel.namelist()
        metadata = wheel.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
        built = wheel.read(BUILD_INFO).decode() if BUILD_INFO in names else ""
    header = metadata.partition("\n\n")[0].splitlines()
    return (
        "\n".join(line for line in header if READ.match(line)),
        "\n".join(line for line in built.splitlines() if line.startswith("build_info = ")),
    )


def rows_text(name: str, about: str, rows: Iterable[Any]) -> str:
    """Return a table as JSON, a row a line."""
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    return f'{{\n "about": {json.dumps(about)},\n "{name}": [\n{lines}\n ]\n}}\n'


def main(record: Path | None) -> None:
    """Write tensorflow.json, and what was read of the wheels to a file where one is named."""
    tested = json.loads(TABLE.with_name("tested_builds.json").read_text(encoding="utf-8"))
    found = list(releases())
    TABLE.write_text(rows_text("builds", ABOUT, [parse(each, tested) for each in found]), encoding="utf-8")
    if record:
        about = (
            "What toolkit/compat/refresh.py read of the wheels: the lines of METADATA and build_info.py that it uses."
        )
        record.write_text(rows_text("releases", about, map(asdict, found)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
