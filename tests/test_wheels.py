"""A folder of wheels: what is in it is what was locked, and a download that was cut off goes on where it was."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import platform
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toolkit.cli import app
from toolkit.images import debs, variants, wheels
from toolkit.images.variants import Variant
from toolkit.images.wheels import Target
from toolkit.model import KitError, UsageError

HERE = Target("3.11", "x86_64")


def wheel(name: str, version: str = "1.0") -> bytes:
    """Return a wheel that uv takes for one, the same each time."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        info = f"{name}-{version}.dist-info"
        file.writestr(zipfile.ZipInfo(f"{name}.py"), b"#" * 300_000)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        file.writestr(zipfile.ZipInfo(f"{info}/METADATA"), metadata)
        file.writestr(
            zipfile.ZipInfo(f"{info}/WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "")
    return made.getvalue()


@dataclass
class Index:
    """A package index on this machine: its files, and how it misbehaves."""

    files: dict[str, bytes]
    url: str = ""
    breaks_after: dict[str, int] = field(default_factory=dict)  # file -> bytes, for its next download
    ranges: bool = True
    password: str | None = None
    sent: list[tuple[str, int]] = field(default_factory=list)  # file and bytes of each download

    def handler(self) -> type[BaseHTTPRequestHandler]:
        index = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                return None

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                given = self.headers.get("Authorization", "")
                if index.password and given != "Basic " + base64.b64encode(index.password.encode()).decode():
                    self.send_response(401)
                    self.end_headers()
                elif found := re.fullmatch(r"/simple/([\w-]+)/", self.path):
                    self.page(found[1])
                elif (name := self.path.removeprefix("/files/")) in index.files:
                    self.file(name, index.files[name])
                else:
                    self.send_error(404)

            def page(self, package: str) -> None:
                rows = "".join(
                    f'<a href="/files/{name}#sha256={hashlib.sha256(data).hexdigest()}">{name}</a>'
                    for name, data in index.files.items()
                    if name.startswith(package.replace("-", "_") + "-")
                )
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(f"<!DOCTYPE html><html><body>{rows}</body></html>".encode())

            def file(self, name: str, data: bytes) -> None:
                asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if index.ranges else None
                start = int(asked[1]) if asked else 0
                end = int(asked[2]) + 1 if asked and asked[2] else len(data)
                if asked and start >= len(data):
                    self.send_error(416)
                    return
                body = data[start:end]
                self.send_response(206 if asked else 200)
                if asked:
                    self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
                self.send_header("Accept-Ranges", "bytes" if index.ranges else "none")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "HEAD" or "uv" in self.headers.get("User-Agent", ""):
                    self.wfile.write(b"" if self.command == "HEAD" else body)
                    return
                body = body[: index.breaks_after.pop(name, None)]
                index.sent.append((name, len(body)))
                self.wfile.write(body)

        return Handler


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    """Give an index of two packages, which uv and kit ask alone."""
    each = Index({f"{name}-1.0-py3-none-any.whl": wheel(name) for name in ("one", "two_parts")})
    server = ThreadingHTTPServer(("127.0.0.1", 0), each.handler())
    each.url = f"http://127.0.0.1:{server.server_port}/simple/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    for name in ("UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", each.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(wheels.time, "sleep", lambda _: None)
    yield each
    server.shutdown()
    thread.join()
    server.server_close()


Locked = Callable[[dict[str, bytes]], Variant]


@pytest.fixture
def locked(tmp_path: Path) -> Locked:
    """Give a function that makes a variant whose lock asks for files."""

    def made(files: dict[str, bytes]) -> Variant:
        lines = []
        for name, data in files.items():
            package, version, *_ = name.split("-")
            digest = hashlib.sha256(data).hexdigest()
            lines.append(
                f"{package.replace('_', '-')}=={version} ; sys_platform == 'linux' \\\n    --hash=sha256:{digest}\n"
            )
        each = Variant("kit/test", tmp_path / "image", "2.21.0", "cpu", "debian:bookworm-slim")
        each.lock_file.parent.mkdir(parents=True)
        each.lock_file.write_text("".join(lines), encoding="utf-8")
        return each

    return made


def fetch(each: Variant, folder: Path) -> wheels.WheelsRecord:
    return wheels.fetch(each, folder, HERE, lambda *_: None)


def test_every_wheel_of_the_lock_is_fetched_once(index: Index, locked: Locked, tmp_path: Path) -> None:
    each, folder = locked(index.files), tmp_path / "wheels"
    assert wheels.missing(folder, each.locks, HERE) == ("one==1.0", "two-parts==1.0")
    record = fetch(each, folder)
    assert sorted(record.wheels) == sorted(record.fetched) == sorted(index.files)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == index.files
    assert record.size_bytes == sum(map(len, index.files.values()))
    assert wheels.missing(folder, each.locks, HERE) == ()
    sent = len(index.sent)
    assert fetch(each, folder).fetched == ()
    assert len(index.sent) == sent


def test_a_broken_connection_goes_on_where_it_was(index: Index, locked: Locked, tmp_path: Path) -> None:
    file, data = next(iter(index.files.items()))
    index.breaks_after[file] = 123_456
    fetch(locked({file: data}), tmp_path / "wheels")
    whole = 123_456 // wheels.PIECE_BYTES * wheels.PIECE_BYTES
    assert index.sent == [(file, 123_456), (file, len(data) - whole)]
    assert whole > 0
    assert (tmp_path / "wheels" / file).read_bytes() == data


def test_an_interrupted_download_goes_on_where_it_was(index: Index, locked: Locked, tmp_path: Path) -> None:
    file, data = next(iter(index.files.items()))
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / f"{file}.partial").write_bytes(data[:200_000])
    fetch(locked({file: data}), folder)
    assert index.sent == [(file, len(data) - 200_000)]
    assert [each.name for each in folder.iterdir()] == [file]


def test_an_index_that_gives_no_parts_gives_the_whole(index: Index, locked: Locked, tmp_path: Path) -> None:
    index.ranges = False
    file, data = next(iter(index.files.items()))
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / f"{file}.partial").write_bytes(data[:200_000])
    fetch(locked({file: data}), folder)
    assert index.sent == [(file, len(data))]
    assert (folder / file).read_bytes() == data


@pytest.mark.parametrize("left", [b"x" * 200_000, b"x" * 1_000_000], ids=["shorter", "longer"])
def test_a_wrong_beginning_is_fetched_again(index: Index, locked: Locked, tmp_path: Path, left: bytes) -> None:
    file, data = next(iter(index.files.items()))
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / f"{file}.partial").write_bytes(left)
    fetch(locked({file: data}), folder)
    assert (folder / file).read_bytes() == data


def test_a_damaged_wheel_in_the_folder_is_fetched_again(index: Index, locked: Locked, tmp_path: Path) -> None:
    file, data = next(iter(index.files.items()))
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / file).write_bytes(data[:-1] + b"x")
    assert fetch(locked({file: data}), folder).fetched == (file,)
    assert (folder / file).read_bytes() == data


def test_a_wheel_that_is_not_what_was_locked_is_not_kept(index: Index, locked: Locked, tmp_path: Path) -> None:
    file, data = next(iter(index.files.items()))
    each, folder = locked({file: data}), tmp_path / "wheels"
    (found,) = wheels.found(wheels.pins(each.locks, HERE), HERE)
    index.files[file] = data[:-1] + b"x"  # between the index's page and the download
    folder.mkdir()
    with wheels._session() as session, pytest.raises(KitError, match="is not what was locked: its sha256 is"):
        wheels._download(session, found, folder, lambda _: None)
    assert list(folder.iterdir()) == []


def test_an_index_without_the_locked_wheel_is_told(index: Index, locked: Locked, tmp_path: Path) -> None:
    file, data = next(iter(index.files.items()))
    each = locked({file: data + b"another"})
    with pytest.raises(KitError, match="one"):
        fetch(each, tmp_path / "wheels")
    each.lock_file.write_text("three==1.0 --hash=sha256:aa\n")
    with pytest.raises(KitError, match="uv does not find the wheels"):
        fetch(each, tmp_path / "wheels")


def test_the_password_of_an_index_is_used(
    index: Index, locked: Locked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.password = "lab:s3cret/"
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url.replace("//", "//lab:s3cret%2F@"))
    assert len(fetch(locked(index.files), tmp_path / "wheels").fetched) == 2


def test_markers_are_those_of_the_image_and_not_of_this_machine(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "numpy==2.2.6 ; python_full_version < '3.12' and platform_machine == 'x86_64' \\\n    --hash=sha256:aa\n"
        "numpy==2.4.6 ; python_full_version >= '3.12' \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "# a comment\n"
        "keras==3.1 ; platform_machine == 'aarch64' --hash=sha256:dd\n"
        "colorama==1 ; sys_platform == 'win32' --hash=sha256:ee\n"
    )
    asked = {
        on: {pin.name: (pin.version, pin.sha256) for pin in wheels.pins([lock], on).values()}
        for on in (HERE, Target("3.13", "aarch64"))
    }
    assert asked[HERE] == {"numpy": ("2.2.6", {"aa"})}
    assert asked[Target("3.13", "aarch64")] == {"numpy": ("2.4.6", {"bb", "cc"}), "keras": ("3.1", {"dd"})}


def test_a_wheel_for_another_python_machine_or_glibc_does_not_count(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==2.2.6 --hash=sha256:aa\n")
    for file in (
        "numpy-2.2.6-cp312-cp312-manylinux_2_28_x86_64.whl",
        "numpy-2.2.6-cp311-cp311-manylinux_2_28_aarch64.whl",
        "numpy-2.2.6-cp311-cp311-manylinux_2_99_x86_64.whl",
        "numpy-2.2.5-cp311-cp311-manylinux_2_28_x86_64.whl",
        "numpy-2.2.6-cp311-cp311-manylinux_2_28_x86_64.whl.partial",
        "not-a-wheel.whl",
    ):
        (tmp_path / file).touch()
        assert wheels.missing(tmp_path, [lock], HERE) == ("numpy==2.2.6",), file
    (tmp_path / "numpy-2.2.6-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl").touch()
    assert wheels.missing(tmp_path, [lock], HERE) == ()


def test_the_best_wheel_of_a_package_is_taken() -> None:
    files = {
        "tensorboard_data_server-0.7.2-py3-none-any.whl": "aa",
        "tensorboard_data_server-0.7.2-py3-none-manylinux_2_31_x86_64.whl": "bb",
    }
    package = {
        "name": "tensorboard-data-server",
        "wheels": [{"url": f"https://index/{name}", "hashes": {"sha256": digest}} for name, digest in files.items()],
    }
    pin = wheels.Pin("tensorboard-data-server", "0.7.2", frozenset(files.values()))
    order = {tag: rank for rank, tag in enumerate(HERE.tags())}
    assert wheels._best(package, pin, order, "/").sha256 == "bb"


@pytest.mark.parametrize("each", variants.variants(), ids=lambda each: each.core)
def test_the_locks_of_every_variant_are_read(each: Variant) -> None:
    on = wheels.target(each, None, "x86_64")
    pins = wheels.pins(each.locks, on)
    name = "tensorflow" if each.hardware == "gpu" else "tensorflow-cpu"
    assert pins[name].version == each.tensorflow
    assert all(pin.sha256 for pin in pins.values())


@pytest.mark.parametrize(
    ("tensorflow", "python", "machine", "words"),
    [
        ("2.21", "3", "x86_64", "--python 3: "),
        ("2.21", "", "x86_64", "--python : "),
        ("2.21", "3.10", "x86_64", "--python 3.10: the packages of TensorFlow 2.21.0 are locked for Python 3.11, "),
        ("2.21", "3.14", "x86_64", "--python 3.14: the packages of TensorFlow 2.21.0 are locked for Python 3.11, "),
        ("2.15", "3.12", "x86_64", "--python 3.12: the packages of TensorFlow 2.15.1 are locked for Python 3.11 alone"),
        ("2.21", "3.11", "sparc", "--machine sparc: "),
        ("2.21", "3.11", "", "--machine : "),
        ("2.21", "3.11", "aarch64", "--machine aarch64: "),
    ],
)
def test_what_there_are_no_wheels_for_is_wrong_usage(tensorflow: str, python: str, machine: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        wheels.target(variants.variant("gpu", tensorflow), python, machine)


@pytest.mark.parametrize("each", variants.variants(), ids=lambda each: each.core)
def test_every_python_that_is_taken_has_tensorflow_in_the_lock(each: Variant) -> None:
    for python in variants.pythons(each):
        pins = wheels.pins(each.locks, wheels.target(each, python, "x86_64"))
        assert pins["tensorflow" if each.hardware == "gpu" else "tensorflow-cpu"].version == each.tensorflow


def test_wheels_without_their_debian_packages_are_not_all(
    index: Index, locked: Locked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each, folder = locked(index.files), tmp_path / "wheels"
    monkeypatch.setattr(variants, "variant", lambda *_: each)
    other = "aarch64" if platform.machine() == "x86_64" else "x86_64"
    done = CliRunner().invoke(app, ["image", "fetch-wheels", str(folder), "--machine", other, "--json"])
    told = json.loads(done.stdout)
    assert (done.exit_code, sorted(told["wheels"])) == (1, sorted(index.files))
    assert "only a machine of its kind" in told["lacks"]


def test_only_the_images_own_base_tells_which_debian_packages_it_lacks(tmp_path: Path) -> None:
    each = variants.variant("cpu")
    other = "aarch64" if platform.machine() == "x86_64" else "x86_64"
    with pytest.raises(KitError, match=f"only a machine of its kind, {other}"):
        debs.fetch(each, tmp_path, wheels.Target("3.11", other), lambda _: None)
    python = next(row["python"] for row in variants.spec()["base"] if row["name"] == each.base)
    with pytest.raises(KitError, match=rf"{each.base} has Python {python}; name the base that has Python 3\.99"):
        debs.fetch(each, tmp_path, wheels.Target("3.99", platform.machine()), lambda _: None)
