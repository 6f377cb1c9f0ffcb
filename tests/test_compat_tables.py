"""The tables are what the wheels and NVIDIA's listings say: read again from what was recorded of them, in order, once each."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from toolkit import compat
from toolkit.compat import products, refresh, tables
from toolkit.model import KitError
from toolkit.versions import numbers

RECORDED = Path(__file__).parent / "compat"


def read(file: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return table


def table(name: str) -> dict[str, Any]:
    return read(refresh.TABLE.with_name(f"{name}.json"))


BUILDS = table("tensorflow")["builds"]
TESTED = table("tested_builds")
RELEASES = [refresh.Release(**row) for row in read(RECORDED / "wheels.json")["releases"]]
PRODUCTS = read(RECORDED / "products.json")
APART = {row["product"]: row for row in PRODUCTS["apart"]}


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: f"{release.tensorflow}-{release.os}")
def test_a_build_is_what_its_wheels_say(release: refresh.Release) -> None:
    found = [row for row in BUILDS if (row["tensorflow"], row["os"]) == (release.tensorflow, release.os)]
    assert found == [refresh.parse(release, TESTED)]


def test_the_table_is_what_refresh_writes() -> None:
    rows = [refresh.parse(release, TESTED) for release in RELEASES]
    assert refresh.TABLE.read_text(encoding="utf-8") == refresh.rows_text("builds", refresh.ABOUT, rows)


def test_every_minor_version_is_there() -> None:
    releases = {(row["tensorflow"], row["os"]) for row in BUILDS}
    for minor in range(10, 22):
        for os in refresh.PLATFORMS:
            assert any(numbers(each)[:2] == (2, minor) for each, system in releases if system == os), (minor, os)
    assert ("2.15.0.post1", "linux") in releases
    assert ("2.11.1", "linux-aarch64") not in releases  # its tensorflow-cpu-aws has a wheel for Python 3.7 alone


@pytest.mark.parametrize("row", BUILDS, ids=lambda row: f"{row['tensorflow']}-{row['os']}")
def test_builds_make_sense(row: dict[str, Any]) -> None:
    assert row["gpu"] == bool(row["cuda"]) == bool(row["cudnn"]) == bool(row["capabilities"])
    assert row["gpu"] == (row["os"] == "linux" or (row["os"] == "windows" and numbers(row["tensorflow"]) < (2, 11)))
    assert bool(row["glibc"]) == (row["os"] != "windows")
    assert all(each in SpecifierSet(row["requires_python"]) for each in row["python"])
    assert set(row["numpy_by_python"]) < set(row["python"])
    for spec in (row["numpy"], row["keras"], row["protobuf"], *row["numpy_by_python"].values(), *row["pins"].values()):
        assert str(SpecifierSet(spec)) == spec
    if row["gpu"]:
        assert tables.toolkit_driver(row["cuda"], windows=row["os"] == "windows")
        assert [each for each in row["capabilities"] if each.startswith("compute_")] == row["capabilities"][-1:]
        assert compat.tensorflow_build(row["tensorflow"]) == tuple(row["capabilities"])
    assert bool(row["pins"]) == (row["gpu"] and numbers(row["tensorflow"]) >= (2, 14))


def test_facts_of_some_builds() -> None:
    rows = {(row["tensorflow"], row["os"]): row for row in BUILDS}
    newest, older = rows["2.21.0", "linux"], rows["2.16.1", "linux"]
    assert (newest["python"], newest["cuda"], newest["cudnn"]) == (["3.10", "3.11", "3.12", "3.13"], "12.5.1", "9.3.0")
    assert newest["pins"]["nvidia-cudnn-cu12"] == "<10.0,>=9.3.0.75"
    assert (older["numpy"], older["numpy_by_python"]) == ("<2.0.0,>=1.23.5", {"3.12": "<2.0.0,>=1.26.0"})
    assert rows["2.15.0", "linux"]["pins"]["tensorrt-libs"] == "==8.6.1"  # what made 2.15.0.post1 necessary
    assert (rows["2.10.1", "windows"]["cuda"], rows["2.10.1", "windows"]["cudnn"]) == ("11.2", "8.1")
    assert rows["2.18.1", "windows"]["numpy"] == "<2.1.0,>=1.26.0"  # of tensorflow-intel


def test_tested_builds_are_of_the_cuda_that_the_wheels_say() -> None:
    for row in TESTED["builds"]:
        build = next(
            each for each in BUILDS if each["tensorflow"] == f"{row['tensorflow']}.0" and each["os"] == row["os"]
        )
        assert (build["cuda"], build["cudnn"]) == (row["cuda"], row["cudnn"])


@pytest.mark.parametrize(
    ("text", "plain"), [("64_112", "11.2"), ("64_101", "10.1"), ("12.5.1", "12.5.1"), ("12.2", "12.2")]
)
def test_cuda_as_windows_writes_it(text: str, plain: str) -> None:
    assert refresh.cuda(text) == plain


def test_requirements_hold_by_system_python_and_extra() -> None:
    lines = [
        "numpy<2.0.0,>=1.23.5; python_version <= '3.11'",
        "numpy<2.0.0,>=1.26.0; python_version >= '3.12'",
        'tensorflow-intel ==2.18.0 ; platform_system == "Windows"',
        "nvidia-cudnn-cu12 ==9.3.0.75 ; extra == 'and-cuda'",
        'io>=0.23.1; (sys_platform != "win32" and python_version < "3.13") and extra == "gcs"',
    ]
    assert refresh.requirements(lines, "linux", "3.9") == {"numpy": "<2.0.0,>=1.23.5"}
    assert refresh.requirements(lines, "linux", "3.12") == {"numpy": "<2.0.0,>=1.26.0"}
    assert refresh.requirements(lines, "windows", "3.12").keys() == {"numpy", "tensorflow-intel"}
    assert refresh.requirements(lines, "linux", "3.12", extra="and-cuda") == {"nvidia-cudnn-cu12": "==9.3.0.75"}
    assert refresh.requirements(lines, "windows", "3.12", extra="gcs") == {}


class Ranges(BaseHTTPRequestHandler):
    """Serves files as an index and its file host do: whole, or the span that is asked for."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        data, span = self.files[self.path], self.headers["Range"]
        if not span:
            self._answer(200, data, {"Content-Type": "application/vnd.pypi.simple.v1+json"})
            return
        self.asked.append(span)
        first, last = span.removeprefix("bytes=").split("-")
        start = int(first) if first else max(0, len(data) - int(last))
        stop = min(int(last) + 1, len(data)) if first else len(data)
        self._answer(206, data[start:stop], {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for url in serve(Ranges):
        Ranges.files, Ranges.asked = {}, []
        monkeypatch.delenv("UV_INDEX_URL", raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", f"{url}/simple/")
        yield url


def wheel(metadata: str, build_info: str | None, ballast: int = 0) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("tensorflow/big.so", bytes(ballast))
        if build_info is not None:
            archive.writestr(refresh.BUILD_INFO, f'"""Generated."""\nimport collections\n\nbuild_info = {build_info}\n')
        archive.writestr(
            "tensorflow-9.dist-info/METADATA", f"Name: tensorflow\n{metadata}\n\nRequires-Dist: not-a-header"
        )
    return data.getvalue()


def publish(project: str, wheels: dict[str, bytes]) -> None:
    files = [{"filename": name, "url": f"../../files/{name}"} for name in wheels]
    Ranges.files[f"/simple/{project}/"] = json.dumps({"files": files}).encode()
    Ranges.files.update({f"/files/{name}": data for name, data in wheels.items()})


def test_an_index_is_read_by_ranges(index: str, caplog: pytest.LogCaptureFixture) -> None:
    cuda = "collections.OrderedDict([('cuda_compute_capabilities', ['compute_90']), ('cuda_version', '12.5.1'), ('is_cuda_build', True)])"
    plain = "collections.OrderedDict([('is_cuda_build', False)])"
    needs = "Requires-Python: >=3.9\nRequires-Dist: numpy>=1.26\nRequires-Dist: keras>=3\nRequires-Dist: protobuf>=5\nRequires-Dist: six"
    pins = "Requires-Dist: nvidia-cudnn-cu12<10.0,>=9.3.0.75; extra == 'and-cuda'"
    carried = "Requires-Python: >=3.9\nRequires-Dist: tensorflow-intel==2.30.0; platform_system == 'Windows'"
    publish(
        "tensorflow",
        {
            "tensorflow-2.9.0-cp39-cp39-manylinux_2_17_x86_64.whl": b"too old to be read",
            "tensorflow-2.30.0rc0-cp312-cp312-manylinux_2_27_x86_64.whl": b"not stable",
            "tensorflow-2.30.0-cp39-cp39-manylinux_2_27_x86_64.whl": b"not the newest Python's",
            "tensorflow-2.30.0-cp310-cp310-manylinux_2_27_x86_64.whl": wheel(f"{needs}\n{pins}", cuda, 10_000_000),
            "tensorflow-2.30.0-cp310-cp310-win_amd64.whl": wheel(carried, None),
            "tensorflow-2.30.0-cp310-cp310-manylinux_2_27_aarch64.whl": wheel(carried, None),
            "tensorflow-2.30.0-cp310-cp310-macosx_12_0_arm64.whl": b"macOS is not in the table",
            "tensorflow-2.31.0-cp310-cp310-manylinux_2_27_x86_64.whl": wheel(
                needs, "collections.OrderedDict([('is_cuda_build', True)])"
            ),
        },
    )
    publish("tensorflow-intel", {"tensorflow_intel-2.30.0-cp310-cp310-win_amd64.whl": wheel(needs, plain)})
    publish(
        "tensorflow-cpu-aws", {"tensorflow_cpu_aws-2.30.0-cp37-cp37m-manylinux_2_17_aarch64.whl": wheel(needs, plain)}
    )

    linux, windows = (refresh.parse(release, TESTED) for release in refresh.releases())
    assert (linux["tensorflow"], linux["os"], linux["python"], linux["glibc"]) == (
        "2.30.0",
        "linux",
        ["3.9", "3.10"],
        "2.27",
    )
    assert (linux["cuda"], linux["cudnn"], linux["capabilities"]) == ("12.5.1", "9.3.0", ["compute_90"])
    assert linux["pins"] == {"nvidia-cudnn-cu12": "<10.0,>=9.3.0.75"}
    assert (windows["os"], windows["gpu"], windows["numpy"]) == ("windows", False, ">=1.26")
    assert "tensorflow_intel-2.30.0" in windows["source"]
    assert "2.30.0 on linux-aarch64: left out, no Python" in caplog.text
    assert "2.31.0 on linux: left out, its build_info.py does not say its CUDA" in caplog.text
    spans = [[int(each) for each in span[6:].split("-")] for span in Ranges.asked if not span.startswith("bytes=-")]
    assert sum(last - first for first, last in spans) < 1_000_000  # of 10 MB


def test_a_remote_file_reads_as_the_file_does(index: str) -> None:
    data = bytes(range(256)) * 1000
    Ranges.files["/file"] = data
    remote = refresh.Remote(f"{index}/file")
    for start, count in ((0, 10), (16380, 20), (100_000, 70_000), (len(data) - 5, 50), (len(data) + 5, 1)):
        remote.seek(start)
        assert remote.read(count) == data[start : start + count]
    assert remote.seek(-4, io.SEEK_END) == len(data) - 4
    assert remote.read() == data[-4:]


def test_a_server_without_ranges_is_said_to_be_one() -> None:
    for url in serve(SimpleHTTPRequestHandler):
        with pytest.raises(KitError, match="does not answer range requests"):
            refresh.fetch_range(f"{url}/", "-10")


def test_tables_are_in_order_and_say_each_thing_once() -> None:
    order = list(refresh.PLATFORMS)
    keys: dict[str, list[Any]] = {
        "tensorflow": [(Version(row["tensorflow"]), order.index(row["os"])) for row in BUILDS],
        "tested": [(numbers(row["tensorflow"]), order.index(row["os"])) for row in TESTED["builds"]],
        "toolkits": [numbers(row["cuda"]) for row in reversed(table("cuda_drivers")["toolkits"])],
        "families": [row["cuda"] for row in table("cuda_drivers")["families"]],
        "architectures of CUDA": [numbers(row["cuda"]) for row in table("cuda_architectures")["toolkits"]],
        "cudnn": [numbers(row["from"]) for row in table("cudnn")["versions"]],
    }
    for name, found in keys.items():
        assert found == sorted(set(found)), name
    devices = [device for row in table("architectures")["chips"] for device in row["devices"]]
    assert len(devices) == len(set(devices))
    products = [name for row in table("forward_compatibility")["classes"] for name in row["products"]]
    assert len(products) == len(set(products))


def test_cudnn_versions_follow_each_other_and_hold_every_build() -> None:
    rows = table("cudnn")["versions"]
    assert [row["before"] for row in rows[:-1]] == [row["from"] for row in rows[1:]]
    for build in BUILDS:
        if build["gpu"]:
            wanted = numbers(build["cudnn"])[:2]
            row = next(row for row in rows if numbers(row["from"]) <= wanted < numbers(row["before"]))
            assert build["cuda"].split(".")[0] in row["drivers"]
    oldest = {row["from"]: row["min_capability"] for row in rows}
    assert (oldest["8.6"], oldest["8.8"], oldest["9.7"], oldest["9.11"]) == ("3.5", "5.0", "5.0", "7.5")


def test_cuda_serves_what_tensorflow_was_compiled_for() -> None:
    toolkits = {row["cuda"]: row for row in table("cuda_architectures")["toolkits"]}
    for row in toolkits.values():
        assert [row["min_capability"], row["max_capability"]] == [row["capabilities"][0], row["capabilities"][-1]]
        assert row["capabilities"] == sorted(row["capabilities"], key=numbers)
    for build in BUILDS:
        for name in build["capabilities"]:
            capability = ".".join(str(each) for each in compat.capability(name))
            assert capability in toolkits[".".join(build["cuda"].split(".")[:2])]["capabilities"]
    first = {
        each: next(cuda for cuda, row in toolkits.items() if each in row["capabilities"])
        for each in ("8.9", "9.0", "12.0")
    }
    assert first == {"8.9": "11.8", "9.0": "11.8", "12.0": "12.8"}
    last = {
        each: [cuda for cuda, row in toolkits.items() if each in row["capabilities"]][-1] for each in ("3.7", "7.0")
    }
    assert last == {"3.7": "11.8", "7.0": "12.9"}


def test_toolkits_driver_is_not_older_than_its_familys() -> None:
    for row in table("cuda_drivers")["toolkits"]:
        family = compat.family_driver(row["cuda"])
        assert family
        assert numbers(row["linux"])[:1] >= numbers(family)[:1]
    cuda = {numbers(row["cuda"])[:2] for row in table("cuda_drivers")["toolkits"]}
    assert {numbers(row["cuda"]) for row in table("cuda_architectures")["toolkits"]} - cuda == {(13, 4), (13, 5)}


def known(name: str) -> str | None:
    card = products.product(name)
    integrated = {row["product"]: row["compute_capability"] for row in table("architectures")["integrated"]}
    return card.compute_capability if card else integrated.get(name)


@pytest.mark.parametrize(
    ("product", "listed"),
    [(name, row["compute_capability"]) for row in PRODUCTS["listings"] for name in row["products"]],
)
def test_products_have_the_capability_that_nvidia_lists(product: str, listed: str) -> None:
    apart = APART.get(product)
    assert known(product) == (apart["ours"] if apart else listed)
    assert not apart or apart["listed"] == listed


def test_listed_products_are_many_and_of_every_generation() -> None:
    listed = [name for row in PRODUCTS["listings"] for name in row["products"]]
    assert len(listed) == len(set(listed)) > 150
    assert {numbers(row["compute_capability"])[0] for row in PRODUCTS["listings"]} == {3, 5, 6, 7, 8, 9, 10, 11, 12}
    assert set(APART) < set(listed)
    assert all(row["source"] for part in ("listings", "apart") for row in PRODUCTS[part])


def test_recorded_lines_are_those_of_metadata() -> None:
    for release in RELEASES:
        for text in release.metadata:
            for line in text.splitlines():
                name, _, value = line.partition(": ")
                assert name in {"Requires-Python", "Requires-Dist", "Provides-Extra"}
                if name == "Requires-Dist":
                    Requirement(value)
