"""kit build that fails or is stopped, on a real engine: one finding that says why, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from toolkit import doctor
from toolkit.engine.docker import Docker
from toolkit.images import build, variants
from toolkit.images.sources import Options
from toolkit.model import BuildRecord

pytestmark = [pytest.mark.engine, pytest.mark.image]

BASE = "debian:bookworm-slim"
# kit's own command line with one more command, since `kit build` builds the variants of image.toml alone.
KIT = """
import sys
from dataclasses import replace
from pathlib import Path
from toolkit.cli import app, main
from toolkit.cli.frame import failing
from toolkit.engine.docker import Docker
from toolkit.doctor import this_machine
from toolkit.images import build, variants

@app.command("build-folder")
def build_folder(folder: Path, base: str) -> None:
    each = replace(variants.variant("cpu"), folder=folder, repository="kit/test-stopped", base=base)
    with failing("build", True), Docker() as engine:
        build.build(engine, each, this_machine(), lambda line: print(line, file=sys.stderr, flush=True))

main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a copy of the image's folder, for another Dockerfile, and see that no build's name is left."""
    shutil.copytree(variants.variant("cpu").folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / ".dockerignore").unlink()
    yield tmp_path
    assert names(f"org.kit/building:{os.getpid()}") == []
    assert names("kit/test-failing") == names("kit/test-stopped") == []


def names(repository: str) -> list[str]:
    command = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", repository]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def built(engine: Docker, folder: Path, steps: str, base: str = BASE, options: Options | None = None) -> BuildRecord:
    (folder / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}} AS image\n{steps}\n")
    each = replace(variants.variant("cpu"), folder=folder, repository="kit/test-failing", base=base)
    return build.build(engine, each, doctor.this_machine(), lambda _: None, options)


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("RUN --network=none apt-get update -qq && apt-get install -y -qq tree", "network-unreachable"),
        ("RUN apt-get update -qq -o Acquire::Max-ValidTime=1", "apt-mirror-broken"),
        ("RUN apt-get update -qq -o Acquire::Max-FutureTime=-900000000", "clock-wrong"),
        ("RUN rm -r /etc/apt/trusted.gpg.d /usr/share/keyrings; apt-get update -qq", "apt-mirror-broken"),
        ("RUN --mount=type=tmpfs,target=/small,size=65536 cp /usr/bin/perl /small/", "disk-full"),
        ("RUN sh -c 'kill -9 $$'; exit $?", "host-out-of-memory"),
        ("COPY program /program\nRUN chmod +x /program && exec /program", "image-arch-mismatch"),
        ("RUN echo 'No space left on device'\nRUN no-such-command", "build-failed"),
        ("COPY no-such-file /", "build-failed"),
        ("RUM true", "build-failed"),
    ],
    ids=lambda text: text.partition(" ")[2][:40] or text,
)
def test_a_step_that_fails_gives_its_finding_and_no_image(engine: Docker, folder: Path, step: str, fault: str) -> None:
    (folder / "program").write_bytes(of_another_processor())
    record = built(engine, folder, step)
    (found,) = record.findings
    assert (record.tag, record.image_id, found.id) == (None, "", fault), found
    assert found.evidence
    for each in found.evidence:
        file, _, number = each.where.rpartition(":")
        assert file == record.log
        assert each.what in Path(file).read_text().splitlines()[int(number) - 1]


def of_another_processor() -> bytes:
    """Return a program's head for a processor that is not this machine's: ARM64 on x86-64, and the other way round."""
    machine = 62 if Path("/lib/ld-linux-aarch64.so.1").exists() else 183
    return b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "base", ["127.0.0.1:9/no/such:1", "registry.invalid/no/such:1"], ids=["refused", "no such registry"]
)
def test_a_base_that_cannot_be_had_gives_its_finding(engine: Docker, folder: Path, base: str) -> None:
    record = built(engine, folder, "RUN true", base)
    assert [found.id for found in record.findings] == ["network-unreachable"]
    assert any("--bootstrap-base" in str(step) or "--wheelhouse" in str(step) for step in record.findings[0].fix)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Give what is asked of any server by HTTP from here on; nothing is there."""
    addresses: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return None

        def do_GET(self) -> None:
            addresses.append(self.path)
            self.send_error(404)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    for name in ("no_proxy", "NO_PROXY", "DEBIAN_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    yield addresses
    server.shutdown()
    thread.join()
    server.server_close()


def keyring(base: str) -> Path:
    """Return the file of a distribution's keys, without which its packages cannot be checked: Debian has no Ubuntu's."""
    return Path(f"/usr/share/keyrings/{base.partition(':')[0]}-archive-keyring.gpg")


UBUNTU = (
    ("ubuntu:24.04", "http://mirror.lab/ubuntu", {"mirror.lab"}),
    ("ubuntu:24.04", None, {"archive.ubuntu.com"}),
)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a base")
@pytest.mark.parametrize(
    ("base", "mirror", "hosts"),
    [
        ("debian:no-such-slim", "http://mirror.lab/debian", {"mirror.lab"}),
        ("debian:no-such-slim", "http://mirror.lab/apt", {"mirror.lab"}),
        ("debian:no-such-slim", "http://mirror.lab", {"mirror.lab"}),
        ("debian:no-such-slim", None, {"deb.debian.org"}),
        *(UBUNTU if keyring("ubuntu").exists() else ()),
    ],
)
def test_a_base_whose_mirror_fails_leaves_no_image_and_asks_no_other(
    engine: Docker, folder: Path, asked: list[str], base: str, mirror: str | None, hosts: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if engine.image(base) or not keyring(base).exists():
        pytest.skip(f"{base} is here already, or {keyring(base)} is not")
    scratch = folder / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    record = built(engine, folder, "RUN true", base, Options(bootstrap_base=True, debian_mirror=mirror))
    assert [found.id for found in record.findings] == ["apt-mirror-broken"], record.findings
    assert engine.image(base) is None
    assert list(scratch.iterdir()) == []
    assert {urlsplit(address).hostname for address in asked} == hosts
    security = [address for address in asked if "/debian-security/" in address]
    assert bool(security) == (base.startswith("debian") and mirror in (None, "http://mirror.lab/debian"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_a_build_that_is_stopped_leaves_nothing_and_goes_on_from_the_cache(
    engine: Docker, folder: Path, how: signal.Signals
) -> None:
    marker = f"4242.{time.time_ns() % 10**9}"  # which step's sleep it is, among all processes
    once = f"RUN echo {marker}; echo made $(cat /proc/sys/kernel/random/uuid)"
    steps = f"{once}\nRUN --mount=type=bind,source=wait,target=/wait sh /wait\nRUN false"
    (folder / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}} AS image\n{steps}\n")
    (folder / "wait").write_text(f"echo now waiting\nsleep {marker}\n")
    code, document, log = stopped(folder, BASE, " now waiting", how)
    assert (code, document) == (1, {"schema": "kit.build/1", "error": "interrupted"})
    deadline = time.monotonic() + 20
    while asleep(marker) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not asleep(marker), "the step goes on"
    (folder / "wait").write_text("true\n")
    again = built(engine, folder, steps)
    assert len(made(log)) == 1
    # BuildKit says CACHED of what it kept, or for a while after a build that was stopped its output once more.
    assert made(Path(again.log).read_text()) <= made(log)
    assert "RUN false" in Path(again.log).read_text()


def made(log: str) -> set[str]:
    """Return what the first step made up. Sample: '#6 0.154 made 2f1d…'."""
    return set(re.findall(r"^#\d+ [\d.]+ made (\S+)$", log, re.MULTILINE))


def test_a_build_that_is_stopped_while_it_is_proven_leaves_nothing(folder: Path, cpu_image: variants.Variant) -> None:
    (folder / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}} AS image\nLABEL stopped={time.time_ns()}\n")
    code, document, _ = stopped(folder, cpu_image.tag, "verifying", signal.SIGTERM)
    assert (code, document) == (1, {"schema": "kit.build/1", "error": "interrupted"})


def stopped(folder: Path, base: str, when: str, how: signal.Signals) -> tuple[int, dict[str, str], str]:
    """Return the exit code, the document and the log of a build that gets a signal once it says something."""
    command = [sys.executable, "-c", KIT, "build-folder", str(folder), base]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        log = ""
        for line in process.stderr:
            log += line
            if line.rstrip().endswith(when):
                break
        process.send_signal(how)
        out, rest = process.communicate(timeout=60)
    assert names(f"org.kit/building:{process.pid}") == []
    command = ["docker", "ps", "--all", "--format", '{{.Label "org.kit.owner"}}', "--filter", "label=org.kit.owner"]
    owners = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not [owner for owner in owners if owner.split("/")[2] == str(process.pid)], "its container is left"
    return process.returncode, json.loads(out), log + rest


def asleep(seconds: str) -> bool:
    """Return whether a process sleeps for so long."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file.read_bytes() == f"sleep\0{seconds}\0".encode():
                return True
        except OSError:  # it ended meanwhile
            continue
    return False
