"""What a build leaves in an image and what it does not, on the real recipe with a lock of one small package."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from toolkit.engine.docker import BuildFailedError, Docker, build_command, docker_command
from toolkit.engine.downloads import ca_bundle
from toolkit.images import debs, wheels
from toolkit.images.plan import plan
from toolkit.images.sources import Options, sources
from toolkit.images.variants import Variant, spec, variant

pytestmark = [pytest.mark.engine, pytest.mark.image]

SIX = """six==1.17.0 \\
    --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274
"""
PASSWORD = "hunter2-of-the-proxy"
MARK = "a line of this network's CA bundle"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    """Return the cpu variant with one package, so that it is built in seconds."""
    folder = tmp_path_factory.mktemp("recipe") / "tensorflow"
    each = variant("cpu")
    shutil.copytree(each.folder, folder)
    (folder / each.lock).write_text(SIX)
    return dataclasses.replace(each, folder=folder, repository="kit/test-small")


@pytest.fixture(scope="module")
def image(engine: Docker, small: Variant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the id of an image that was built behind a proxy with a password and a CA of its own, from nothing cached."""
    ca = tmp_path_factory.mktemp("ca") / "ca.pem"
    own = ca_bundle(dict(os.environ))
    ca.write_text(f"# {MARK}\n" + (own.read_text() if own else ""))
    before = dict(os.environ)
    # Told of a proxy, and to go past it: everything of it is in the build's environment, and nothing needs one here.
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        os.environ[name] = f"http://me:{PASSWORD}@127.0.0.1:9"
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = "deb.debian.org,pypi.org,files.pythonhosted.org"
    try:
        order = plan(small, sources(engine, small, Options(ca=ca, no_cache=True)))
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert PASSWORD in order.secret_texts["network"]
    with ExitStack() as leave:
        log: list[str] = []
        try:
            image_id = leave.enter_context(engine.built(order, log.append))
        except BuildFailedError:
            pytest.fail("\n".join(log[-30:]))
        yield image_id


def files(image_id: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Give every file of every layer, and the image's configuration, with its content."""
    saved = subprocess.run([docker_command(), "save", image_id], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as outer:
        for entry in outer:
            content = outer.extractfile(entry)
            if content is None:
                continue
            data = content.read()
            yield entry, data
            if data[257:262] == b"ustar":
                with tarfile.open(fileobj=io.BytesIO(data)) as layer:
                    for member in layer:
                        inner = layer.extractfile(member) if member.isreg() else None
                        yield member, inner.read() if inner else b""


def shell(image_id: str, command: str, *options: str) -> str:
    run = [docker_command(), "run", "--rm", "--network", "none", *options, image_id, "sh", "-c", command]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_secret_is_in_a_layer_or_in_the_history(image: str, engine: Docker) -> None:
    for member, data in files(image):
        for secret in (PASSWORD, MARK):
            assert secret.encode() not in data, f"{secret} in {member.name}"
    described: Any = engine.image(image)
    history = subprocess.run(
        [docker_command(), "history", "--no-trunc", image], capture_output=True, text=True, check=True
    )
    for secret in (PASSWORD, MARK, "127.0.0.1:9"):
        assert secret not in history.stdout
        assert secret not in json.dumps(described)


def test_no_setuid_file_no_cache_no_history(image: str) -> None:
    assert shell(image, "find / -xdev -perm /6000 -type f", "--user", "0") == ""
    left = "find / -xdev \\( -name '.bash_history' -o -name '.cache' -o -name '*.deb' -o -path '/tmp/*' \\)"
    assert shell(image, left, "--user", "0") == ""
    assert shell(image, "find /var/log -type f -size +0", "--user", "0") == ""
    assert shell(image, "ls /root -A | grep -v '^.bashrc$\\|^.profile$' || true", "--user", "0") == ""


def test_it_is_user_1000_and_any_other_has_a_home_to_write_in(image: str, engine: Docker) -> None:
    described: Any = engine.image(image)
    assert described["Config"]["User"] == "1000:1000"
    assert shell(image, "id -u; whoami; touch ~/x && echo ~") == "1000\nkit\n/home/kit"
    assert shell(image, "id -u; touch ~/x && echo $HOME", "--user", "4242:4242") == "4242\n/home/kit"


def test_it_says_what_it_was_made_from(image: str, engine: Docker) -> None:
    described: Any = engine.image(image)
    labels = described["Config"]["Labels"]
    assert labels["org.opencontainers.image.base.name"] == "debian:bookworm-slim"
    assert labels["org.opencontainers.image.base.digest"].startswith("sha256:")
    assert labels["org.kit.lock"].startswith("sha256:")
    assert labels["org.kit.kit"]
    assert labels["org.opencontainers.image.revision"]


def test_packages_are_compiled_by_content_and_files_have_the_one_time(image: str) -> None:
    site = "/opt/venv/lib/python3.11/site-packages"
    flags = shell(image, f"python -c \"print(open('{site}/__pycache__/six.cpython-311.pyc','rb').read()[4])\"")
    assert flags == "1", "hash-based, and not checked"
    epoch = spec()["epoch"]
    assert shell(image, f"find /opt /etc/ld.so.cache /home/kit -newermt @{epoch}") == ""


def test_built_again_with_no_network_it_has_the_same_layers(
    image: str, engine: Docker, small: Variant, tmp_path: Path
) -> None:
    on = wheels.target(small, None, platform.machine())
    wheels.fetch(small, tmp_path, on, lambda *_: None)
    (wheels.debs(tmp_path, small.base, on.machine) / "left-by-an-older-fetch.deb").mkdir(parents=True)
    fetched = debs.fetch(small, tmp_path, on, lambda _: None)
    assert {name.partition("_")[0] for name in fetched} > {"python3", "binutils"}
    assert "left-by-an-older-fetch.deb" not in fetched

    tag = "kit/test-offline:1"
    order = plan(small, sources(engine, small, Options(wheelhouse=tmp_path, no_cache=True)))
    *command, context = build_command(order, ["--load", "--tag", tag, "--network", "none"], engine.builder)
    environment = {**engine.environment, "KIT_SECRET_NETWORK": ""}
    try:
        done = subprocess.run([*command, context], capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        first: Any = engine.image(image)
        second: Any = engine.image(tag)
        assert first["RootFS"]["Layers"] == second["RootFS"]["Layers"]
    finally:
        engine._unname(tag)
