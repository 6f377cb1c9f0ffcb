"""The extras of the images: thin layers, and a Jupyter that any user can start and nobody enters without the token."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from toolkit.engine.docker import Docker, docker_command
from toolkit.images.variants import Variant, spec

pytestmark = [pytest.mark.engine, pytest.mark.image]

TOKEN = "a-token-of-the-test"
STARTED_SECONDS = 30


def docker(*arguments: str) -> str:
    done = subprocess.run([docker_command(), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def files(image: str) -> dict[str, tuple[int, int, float]]:
    """Return the size, mode and time of every file of an image, folders aside."""
    command = ("find", "/", "-xdev", "-not", "-type", "d", "-printf", "%s %m %T@ %p\\n")
    listed = docker("run", "--rm", "--network", "none", "--user", "0", image, *command)
    found = (line.split(maxsplit=3) for line in listed.splitlines())
    mounted = (
        "/proc/",
        "/sys/",
        "/dev/",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
        "/etc/mtab",
        "/.dockerenv",
    )
    return {
        path: (int(size), int(mode, 8), float(changed))
        for size, mode, changed, path in found
        if not path.startswith(mounted)
    }


def test_an_extra_is_only_its_own_new_files(notebook_image: Variant, cpu_image: Variant) -> None:
    below, above = files(cpu_image.tag), files(notebook_image.tag)
    assert not set(below) - set(above)
    assert {path for path in below if below[path] != above[path]} == set()
    new = {path: above[path] for path in set(above) - set(below)}
    assert not [path for path in new if not path.startswith("/opt/venv/") or "/.cache/" in path]
    assert not [
        path for path in new if path.endswith("/uv") or "/pandas/tests/" in path or "/matplotlib/tests/" in path
    ]
    assert not [path for path, (_, mode, _) in new.items() if mode & 0o6000]
    assert {changed for _, _, changed in new.values()} == {spec()["epoch"]}
    # A file that a layer only touches is in it a second time, whatever its time is afterwards.
    history = docker("history", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", notebook_image.tag)
    layers = [int(line.split()[0]) for line in history.splitlines() if "_LOCK=" in line and " RUN " in f" {line} "]
    assert len(layers) == 2
    assert sum(layers) < 1.02 * sum(size for size, _, _ in new.values())


def test_what_scripts_need_works_without_a_display(notebook_image: Variant) -> None:
    program = (
        "import matplotlib, pandas, PIL.Image, matplotlib.pyplot as plot; plot.plot([1, 2]); plot.savefig('/tmp/x.png');"
        "table = pandas.DataFrame({'age': [64, 65]}); table.to_csv('/tmp/x.csv');"
        "assert pandas.read_csv('/tmp/x.csv')['age'].sum() == 129;"
        "print(matplotlib.get_backend().lower(), PIL.Image.open('/tmp/x.png').format)"
    )
    run = ("run", "--rm", "--network", "none", "--user", "4242:4242", notebook_image.tag, "python", "-c", program)
    assert docker(*run) == "agg PNG"


@dataclass(frozen=True)
class Server:
    """A container that answers at a URL."""

    container: str
    url: str


@contextmanager
def server(image: str, port: int, *options: str, command: tuple[str, ...] = ()) -> Iterator[Server]:
    """Give a container of an image that listens, by the image's own command where none is named; it is gone afterwards."""
    container = docker("run", "--detach", "--rm", "--publish", f"127.0.0.1::{port}", *options, image, *command)
    try:
        found = Server(container, f"http://{docker('port', container, str(port)).splitlines()[0]}")
        answer(f"{found.url}/api", within=STARTED_SECONDS)
        yield found
    finally:
        subprocess.run([docker_command(), "rm", "--force", container], capture_output=True, check=False)


def answer(url: str, token: str | None = None, within: float = 0.0) -> tuple[int, str]:
    """Return what a server answers, once it does."""
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"} if token else {})
    until = time.monotonic() + within
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as given:
                return given.status, given.geturl() + "\n" + given.read().decode(errors="replace")
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode(errors="replace")
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


@pytest.mark.parametrize("user", [None, "4242:4242"])
def test_jupyter_starts_as_any_user_and_asks_for_the_token(notebook_image: Variant, user: str | None) -> None:
    options = ("--env", f"JUPYTER_TOKEN={TOKEN}", *(("--user", user) if user else ()))
    with server(notebook_image.tag, 8888, *options) as each:
        assert answer(f"{each.url}/api/contents")[0] == 403
        assert answer(f"{each.url}/api/contents", "another")[0] == 403
        assert "/login?" in answer(f"{each.url}/lab")[1].splitlines()[0], "people are asked for the token"
        code, text = answer(f"{each.url}/api/kernelspecs", TOKEN)
        assert (code, list(json.loads(text.partition("\n")[2])["kernelspecs"])) == (200, ["python3"])
        assert docker("exec", each.container, "sh", "-c", "id -u; touch ~/x && echo ~") == (
            f"{user.partition(':')[0] if user else 1000}\n/home/kit"
        )


def test_without_a_token_of_ones_own_jupyter_makes_one_up(notebook_image: Variant) -> None:
    with server(notebook_image.tag, 8888, "--env", "JUPYTER_TOKEN=") as each:
        assert answer(f"{each.url}/api/contents")[0] == 403
        logs = subprocess.run([docker_command(), "logs", each.container], capture_output=True, text=True, check=True)
        (token,) = {line.partition("?token=")[2] for line in logs.stderr.splitlines() if "/lab?token=" in line}
        assert len(token) >= 32
        assert answer(f"{each.url}/api/contents", token)[0] == 200


def test_tensorboard_serves(notebook_image: Variant) -> None:
    start = ("tensorboard", "--logdir", "/tmp/logs", "--bind_all")
    with server(notebook_image.tag, 6006, command=start) as each:
        code, text = answer(f"{each.url}/data/environment")
        assert (code, json.loads(text.partition("\n")[2])["version"].count(".")) == (200, 2)


def test_it_says_what_it_serves(notebook_image: Variant, engine: Docker) -> None:
    config: Any = engine.image(notebook_image.tag)
    assert set(config["Config"]["ExposedPorts"]) == {"8888/tcp", "6006/tcp"}
    assert config["Config"]["User"] == "1000:1000"
