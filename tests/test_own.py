"""People's own code: scripts, notebooks and a shell in real containers, their plans, and why they fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import browser
from tests.test_plans import CDI, machine
from toolkit.engine import standin, store
from toolkit.engine.docker import Docker, build_command, container_options
from toolkit.engine.plan import Exit, GpuRequest, Port
from toolkit.images import variants
from toolkit.images.plan import RECIPE, Sources
from toolkit.model import KitError, Sentence, UsageError
from toolkit.own import container, layer, notebook, shell
from toolkit.own import script as own
from toolkit.own.container import Options, Place
from toolkit.own.failure import Ended, failure

KIT = str(Path(sys.executable).with_name("kit"))
HERE = Path(__file__).parent / "own"
SCRIPTS = HERE / "scripts"
SECONDS = 120
EXPECTED = json.loads((HERE / "expected.json").read_text())
NOWHERE: Any = None  # a plan asks no engine


def kit(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [KIT, "run", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, **environment},
    )


def place(gpus: int = 0, wanted: Options | None = None) -> Place:
    facts = machine(gpus, CDI)
    return Place(NOWHERE, facts, "kit/tensorflow:x", container.wanted(wanted or Options(), facts)[1])


def options(given: Options, gpus: int = 0) -> dict[str, Any]:
    """Return what the engine is asked for to run a script."""
    order = own.plan(
        own.Script(Path("/home/me/train.py"), ("--epochs", "3")), given, place(gpus, given), Path("/r/1"), 1 << 30
    )
    return container_options(order)


# --- plans ---------------------------------------------------------------------------------------------------------


def test_a_script_has_its_folder_to_read_and_the_runs_to_write() -> None:
    asked = options(Options())
    assert asked["command"][-3:] == ["/work/train.py", "--epochs", "3"]
    mounts = {mount["Target"]: (mount["Source"], mount["ReadOnly"]) for mount in asked["mounts"]}
    assert mounts["/work"] == ("/home/me", True)
    assert mounts["/out"] == ("/r/1/out", False)
    assert (asked["working_dir"], asked["environment"]["KIT_OUT"]) == ("/work", "/out")
    assert (asked["network_mode"], asked["ports"], asked["read_only"]) == ("none", {}, True)
    assert asked["labels"]["org.kit.run"] == "1"
    assert asked["stop_signal"] == "SIGINT", "Ctrl-C is a KeyboardInterrupt to it"


def test_memory_grows_unless_it_is_left_alone() -> None:
    assert options(Options())["environment"]["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert "TF_FORCE_GPU_ALLOW_GROWTH" not in options(Options(growth=False))["environment"]


def test_the_network_comes_with_what_this_machine_needs_for_it(tmp_path: Path) -> None:
    there = replace(place(), proxies={"HTTPS_PROXY": "http://proxy:3128"}, ca=tmp_path / "ca.pem")
    given = own.Script(tmp_path / "train.py")
    on, off = (own.plan(given, Options(network=network), there, tmp_path, 1 << 30) for network in (True, False))
    assert container_options(on)["network_mode"] == "bridge"
    assert on.environment["HTTPS_PROXY"] == "http://proxy:3128"
    assert on.environment["SSL_CERT_FILE"] in {mount.target for mount in on.mounts}
    assert not {"HTTPS_PROXY", "SSL_CERT_FILE"} & set(off.environment)


@pytest.mark.parametrize(
    ("asked", "gpus", "request_", "visible", "device"),
    [
        (Options(), 0, None, None, "auto"),
        (Options(), 2, GpuRequest("cdi", ("all",)), None, "auto"),
        (Options(device="cpu"), 2, None, None, "auto"),
        (Options(gpus="1", device="gpu"), 2, GpuRequest("cdi", ("0",)), None, "gpu"),
        (Options(device="gpu:1"), 2, GpuRequest("cdi", ("all",)), "1", "gpu"),
    ],
)
def test_gpus(asked: Options, gpus: int, request_: GpuRequest | None, visible: str | None, device: str) -> None:
    assert container.wanted(asked, machine(gpus))[1] == request_
    given = options(asked, gpus)
    assert given["environment"].get("CUDA_VISIBLE_DEVICES") == visible
    assert given["command"][2] == device


@pytest.mark.parametrize("device", ["gpu", "gpu:2"])
def test_a_gpu_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="kit doctor tells why"):
        container.wanted(Options(device=device), machine(0 if device == "gpu" else 2))


def test_notebooks_are_reached_from_this_machine_alone(tmp_path: Path) -> None:
    ports = (Port(8888, 49001), Port(6006, 49002))
    asked = container_options(notebook.plan(tmp_path, Options(), place(), 1 << 30, ports, "a-token"))
    assert asked["ports"] == {"8888/tcp": ("127.0.0.1", 49001), "6006/tcp": ("127.0.0.1", 49002)}
    assert asked["network_mode"] == "bridge"
    assert asked["environment"]["JUPYTER_TOKEN"] == "a-token"
    assert "a-token" not in " ".join(asked["command"])
    assert asked["mounts"][0]["ReadOnly"] is False


def test_a_port_that_is_taken_is_refused() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="in use"):
        notebook.free_port(taken.getsockname()[1])


@pytest.mark.parametrize("terminal", [True, False])
def test_a_shell_has_a_terminal_where_there_is_one(tmp_path: Path, terminal: bool) -> None:
    asked = container_options(shell.plan(tmp_path, Options(), place(), 1 << 30, terminal=terminal))
    assert (asked["stdin_open"], asked["tty"], asked["network_mode"]) == (True, terminal, "none")


# --- packages of one's own -----------------------------------------------------------------------------------------

CPU = variants.variant("cpu", extra="script")


def test_a_layer_is_of_its_requirements_and_those_they_name(tmp_path: Path) -> None:
    asked, named = tmp_path / "requirements.txt", tmp_path / "more.txt"
    asked.write_text("tabulate\n-r more.txt\n")
    named.write_text("tqdm\n")
    first = layer.inputs(CPU, asked)
    assert layer.inputs(CPU, asked) == first
    named.write_text("tqdm==4.67\n")
    assert layer.inputs(CPU, asked) != first
    assert layer.inputs(variants.variant("gpu"), asked) != layer.inputs(CPU, asked)
    asked.write_text("tabulate\n-rmore.txt\n-r requirements.txt\n")  # itself too
    assert layer.inputs(CPU, asked) != first
    named.unlink()
    with pytest.raises(UsageError, match=re.escape("more.txt")):
        layer.inputs(CPU, asked)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("tabulate\n".encode("utf-16"), "is not UTF-8; save it as such"),
        (b"--extra-index-url https://x\ntorch\n", "name an index by the environment, as UV_INDEX="),
        (b"-i https://x\n", "name an index by the environment"),
    ],
)
def test_requirements_that_kit_cannot_follow_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "requirements.txt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(says)):
        layer.inputs(CPU, file)


def test_a_layer_is_built_by_its_own_dockerfile_on_the_tagged_image() -> None:
    nothing = Path("/nothing")
    order = layer.plan(CPU, Sources(nothing, nothing, nothing, "", ""), Path("/lock"), "0123")
    command = " ".join(build_command(order, [], "default"))
    assert f"--file {CPU.folder}/layer.Dockerfile" in command
    assert f"BASE={CPU.tag} " in command
    assert "own=/lock" in command
    assert "layer.Dockerfile" not in RECIPE, "a change of it makes no image outdated"


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ("numpy\nscipy>=1.0 # comment\n", []),
        ("NumPy==1.26.4\n", ["  NumPy==1.26.4 is asked for, and NumPy 2.4.6 is there"]),
        ("tensorflow==2.10\n", ["  tensorflow==2.10 is asked for, and tensorflow 2.21.0 is there"]),
        ("-r other.txt\n--index-url https://x\ntabulate==0.9.0\n", []),
    ],
)
def test_conflicts_with_the_image_name_both_versions(asked: str, rows: list[str]) -> None:
    assert layer.conflicts(asked, {"numpy": "2.4.6", "scipy": "1.17.1", "tensorflow": "2.21.0"}) == rows


@pytest.mark.engine
@pytest.mark.image
def test_requirements_are_a_layer_that_is_made_once(
    cpu_image: variants.Variant, engine: Docker, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    asked = work / "requirements.txt"
    asked.write_text(f"tensorflow\nnumpy>=1\ntabulate==0.9.0  # {uuid.uuid4()}\n")
    (work / "uses.py").write_text("import tabulate, numpy; print(tabulate.__version__)")
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    arguments = ("script", str(work / "uses.py"), "--gpus", "none", "--json", "--out", str(tmp_path / "runs"))
    first = kit(*arguments, **state)
    assert first.returncode == 0, first.stderr
    record = json.loads(first.stdout)
    try:
        assert "0.9.0\n" in first.stderr
        image, below = (
            engine.image(tag) or {} for tag in (record["image"], variants.variant("cpu", extra="script").tag)
        )
        assert image["RootFS"]["Layers"][:-1] == below["RootFS"]["Layers"], "one layer, and nothing below it changed"
        assert image["Size"] - below["Size"] < 2e6, "neither TensorFlow nor NumPy is there twice"
        assert image["Config"]["User"] == "1000:1000"
        again = kit(*arguments, **state, UV_OFFLINE="1", DOCKER_BUILDKIT="0")
        assert json.loads(again.stdout)["image"] == record["image"], again.stderr
        assert "resolving" not in again.stderr
        asked.write_text("numpy==1.26.4\n")
        refused = kit(*arguments, **state)
        assert (refused.returncode, json.loads(refused.stdout)["schema"]) == (2, "kit.run/1")
        assert re.search(r"numpy==1\.26\.4 is asked for, and numpy 2\.\S+ is there", refused.stderr)
    finally:
        store.remove(engine, record["image"])


# --- scripts -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ready(engine: Docker) -> Place:
    """Return the image that scripts have, built where it is missing."""
    return container.ready(engine, Options(gpus="none"), "script", None, lambda _: None)


@pytest.mark.engine
@pytest.mark.image
@pytest.mark.parametrize("name", EXPECTED)
def test_a_failure_is_explained_by_the_scripts_own_line(ready: Place, name: str, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    said: list[bytes] = []
    record = own.run(own.script(SCRIPTS / name, ()), Options(), ready, tmp_path, lambda _, piece: said.append(piece))
    (found,) = record.findings
    assert (record.status, record.results["exit_code"]) == ("failed", expected["exit_code"])
    assert (found.id, found.cause) == (expected["finding"], expected["cause"])
    assert any(
        each.where.endswith(expected["evidence"][0]) and each.what == expected["evidence"][1] for each in found.evidence
    )
    (step,) = found.fix
    assert isinstance(step, Sentence)
    assert expected["fix"] in step.sentence
    log = (tmp_path / record.run_id / "log.txt").read_text()
    assert b"".join(said).decode() == log, "the terminal had what the log has"


def test_lack_of_memory_is_named_with_the_limit() -> None:
    ended = Ended(Exit(137, True), {}, ["a line"], 8 << 30, network=False)
    found = failure(ended, Path("/home/me/train.py"), Path("/r/log.txt"))
    assert found.id == "host-out-of-memory"
    assert "8.6 GB" in found.cause


@pytest.mark.engine
@pytest.mark.image
def test_a_script_runs_as_python_runs_it(ready: Place, tmp_path: Path) -> None:
    plain = subprocess.run(
        [sys.executable, "like_python.py", "a", "--b"],
        cwd=shutil.copytree(SCRIPTS, tmp_path / "work"),
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    contained = kit("script", str(SCRIPTS / "like_python.py"), "--out", str(tmp_path / "runs"), "--", "a", "--b")
    assert contained.returncode == 0, contained.stderr
    assert contained.stdout == plain.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    record = json.loads((folder / "result.json").read_text())
    assert record["workload"] == "like_python.py"
    assert record["options"]["arguments"] == ["a", "--b"]
    assert record["versions"]["python"]
    assert record["gpus"]["container"] == 0
    assert {file.stat().st_uid for file in folder.iterdir()} == {os.getuid()}


@pytest.mark.engine
@pytest.mark.image
def test_a_script_gets_what_is_piped_to_kit_where_it_is_asked_for(ready: Place, tmp_path: Path) -> None:
    (tmp_path / "reads.py").write_text("import sys\nprint(len(sys.stdin.read()))\n")
    arguments = ("script", str(tmp_path / "reads.py"), "--out", str(tmp_path / "runs"))
    piped = "a line of some length\n" * 100_000
    assert kit(*arguments, "--stdin", text=piped).stdout == f"{len(piped)}\n"
    assert kit(*arguments, text=piped).stdout == "0\n", "a loop over a list of scripts keeps its list"


@pytest.mark.engine
@pytest.mark.image
def test_files_of_a_script_are_its_own_whatever_their_names(ready: Place, tmp_path: Path) -> None:
    done = kit("script", str(SCRIPTS / "writes_kits_names.py"), "--out", str(tmp_path), "--json")
    record = json.loads(done.stdout)
    folder = tmp_path / record["run_id"]
    own = ("result.json", "log.txt", "events.jsonl")
    assert [(folder / "out" / name).read_text() for name in own] == ["mine"] * 3
    assert {f"out/{name}" for name in own} <= set(record["artifacts"])
    assert json.loads((folder / "result.json").read_text()) == record
    assert (folder / "log.txt").read_text().endswith("\nwritten\n")
    assert record["versions"]["python"], "told by an event"


@pytest.mark.engine
@pytest.mark.image
def test_what_the_image_no_longer_has_is_told_before_the_script_runs(ready: Place, tmp_path: Path) -> None:
    arguments = ("script", str(SCRIPTS / "old_keras.py"), "--gpus", "none", "--out", str(tmp_path))
    refused = kit(*arguments)
    assert (refused.returncode, list(tmp_path.iterdir())) == (1, []), refused.stderr
    assert re.search(r"old_keras\.py:3:1 .*np_utils.*--no-check", refused.stderr, re.DOTALL)
    assert "ImportError" in kit(*arguments, "--no-check").stderr


@pytest.mark.engine
@pytest.mark.image
def test_ctrl_c_lets_a_script_save_and_leaves_a_record(ready: Place, engine: Docker, tmp_path: Path) -> None:
    command = [KIT, "run", "script", str(SCRIPTS / "saves_at_ctrl_c.py"), "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout
        assert running.stdout.readline() == "epoch 1\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(SECONDS) == 130
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    assert (folder / "out/saved.txt").read_text() == "what it has"
    assert not engine._client.containers.list(all=True, filters={"label": f"org.kit.run={folder.name}"})


@pytest.mark.engine
@pytest.mark.image
@pytest.mark.parametrize(("growth", "gpus"), [(True, 2), (False, 1)])
def test_a_script_has_the_gpus_of_its_container(
    gpu_image: variants.Variant, ready: Place, tmp_path: Path, growth: bool, gpus: int
) -> None:
    given = replace(ready, image=gpu_image.tag)
    (tmp_path / "out").mkdir()
    (tmp_path / "events.jsonl").touch()
    order = own.plan(own.script(SCRIPTS / "sees_gpus.py", ()), Options(growth=growth), given, tmp_path, 8 << 30)
    mounts, devices = standin.given(gpus)
    lines: list[str] = []
    assert ready.engine.run(
        replace(order, mounts=(*order.mounts, *mounts), devices=devices), lambda _, line: lines.append(line)
    ) == Exit(0, False)
    assert f"Num GPUs Available:  {gpus}" in lines
    assert f"seen {gpus} {'true' if growth else None}" in lines
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    counts = [(event["container"], event["tensorflow"]) for event in events if event["event"] == "gpus"]
    assert counts == [(gpus, None), (gpus, gpus)]


def test_gpus_that_tensorflow_did_not_see_are_a_note() -> None:
    assert own.lost({"host": 2, "container": 2, "tensorflow": 2}) == ()
    assert own.lost({"host": 2, "container": 2, "tensorflow": None}) == ()
    assert "saw 0 of the container's 2 GPUs" in own.lost({"host": 2, "container": 2, "tensorflow": 0})[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("script", "nowhere.py"), "there is no script nowhere.py"),
        (("script", str(SCRIPTS)), "is a folder: name the script in it"),
        (("script", str(SCRIPTS / "exits.py"), "--epochs", "3"), "of the script's stands after --"),
        (("script", str(HERE / "count_gpus.ipynb")), "is a notebook: open it by kit run notebook"),
        (("notebook", str(SCRIPTS / "exits.py")), "give the folder that it is in"),
        (("shell", "nowhere"), "nowhere is not there"),
    ],
)
def test_what_cannot_be_run_is_refused(arguments: tuple[str, ...], said: str) -> None:
    done = kit(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


# --- shell and notebooks -------------------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.image
def test_a_shell_reads_commands_and_its_exit_code_is_kits(ready: Place, tmp_path: Path) -> None:
    commands = (
        "python -c 'import os; print(os.getcwd(), os.environ[\"TF_FORCE_GPU_ALLOW_GROWTH\"])'; touch made; exit 5"
    )
    done = kit("shell", str(tmp_path), "--gpus", "none", text=commands)
    assert (done.returncode, done.stdout) == (5, "/work true\n"), done.stderr
    assert (tmp_path / "made").stat().st_uid == os.getuid()


@contextmanager
def driven() -> Iterator[Any]:
    """Give Chromium, driven by its own driver; skip, or fail where KIT_REQUIRE_ENGINE=1, where they are not here."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    program, driver = browser.chromium(), shutil.which("chromedriver")
    if not program or not driver:
        missing = f"{browser.HOW} chromium-driver"
        if os.environ.get("KIT_REQUIRE_ENGINE") == "1":
            pytest.fail(f"KIT_REQUIRE_ENGINE=1 and {missing}")
        pytest.skip(missing)
    asked = webdriver.ChromeOptions()
    asked.binary_location = program
    for flag in (*browser.FLAGS, "--disable-dev-shm-usage", "--no-proxy-server", "--window-size=1200,700"):
        asked.add_argument(flag)
    chrome = webdriver.Chrome(options=asked, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


@pytest.mark.engine
@pytest.mark.image
def test_a_notebook_in_a_real_browser(notebook_image: variants.Variant, engine: Docker, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support import expected_conditions as condition
    from selenium.webdriver.support.ui import WebDriverWait

    file = Path(shutil.copy(HERE / "count_gpus.ipynb", tmp_path))
    caller = (4242, 4243) if os.getuid() == 0 else (os.getuid(), os.getgid())
    for path in (tmp_path, file):
        os.chown(path, *caller)
    sudo = {"SUDO_UID": str(caller[0]), "SUDO_GID": str(caller[1])}
    command = [KIT, "run", "notebook", str(tmp_path), "--no-browser", "--gpus", "none"]
    with (
        driven() as chrome,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **sudo}) as served,
    ):
        try:
            assert served.stdout
            link = served.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/lab\?token=\w{48}", link)
            wait = WebDriverWait(chrome, SECONDS)
            chrome.get(link.replace("/lab?", f"/lab/tree/{file.name}?"))
            wait.until(condition.visibility_of_element_located((By.CSS_SELECTOR, ".jp-CodeCell .cm-content"))).click()
            wait.until(lambda _: "| Idle" in chrome.find_element(By.CSS_SELECTOR, "#jp-main-statusbar").text)
            ActionChains(chrome).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
            printed = (By.CSS_SELECTOR, ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stdout']")
            output = wait.until(condition.visibility_of_element_located(printed)).text
            assert output.splitlines() == ["Num GPUs Available:  0", "growth true"]
            assert chrome.save_screenshot(str(Path(os.environ.get("KIT_PICTURES", tmp_path), "notebook.png")))
            ActionChains(chrome).key_down(Keys.CONTROL).send_keys("s").key_up(Keys.CONTROL).perform()
            wait.until(lambda _: '"growth true\\n' in file.read_text())
            assert {path.stat().st_uid for path in tmp_path.rglob("*.ipynb")} == {caller[0]}
            chrome.get("about:blank")  # the page asks on, and each answer brings a cookie
            chrome.execute_cdp_cmd("Network.clearBrowserCookies", {})
            chrome.get(link.partition("?")[0])
            assert "/login?" in chrome.current_url, "nobody comes in without the token"
        finally:
            served.send_signal(signal.SIGINT)
            assert served.wait(SECONDS) == 0
    mine = (each for each in engine._client.containers.list(all=True) if "org.kit.workload" in each.labels)
    assert not [each for each in mine if any(mount["Source"] == str(tmp_path) for mount in each.attrs["Mounts"])]


@pytest.mark.engine
@pytest.mark.image
def test_a_server_that_ends_at_once_is_told_with_its_last_words(engine: Docker, ready: Place, tmp_path: Path) -> None:
    with pytest.raises(KitError, match=r"Jupyter ended with code 127; its last words:\n.*jupyter: not found"):
        notebook.run(tmp_path, Options(), ready, None, lambda _: None)
