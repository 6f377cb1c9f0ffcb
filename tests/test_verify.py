"""kit verify on a real engine: good images pass, each way in which an image is not good has its finding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from toolkit import paths, records
from toolkit.engine.docker import Docker, docker_command
from toolkit.engine.plan import Exit
from toolkit.images import proof, variants, verify
from toolkit.images.started import Told
from toolkit.model import document

KIT = str(Path(sys.executable).with_name("kit"))
Derived = Callable[..., str]

# What an image of somebody else's has in common with kit's: nothing that says what it is for, and an entrypoint.
FOREIGN = 'LABEL org.kit.variant=""\nENTRYPOINT ["/bin/bash"]\n'
SITE = "/opt/venv/lib/python3*/site-packages"
CUDNN = f"{SITE}/nvidia/cudnn/lib"


def kit_verify(image: str, **environment: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [KIT, "verify", image, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **environment},
    )
    return done.returncode, json.loads(done.stdout)


def ids(record: dict[str, Any]) -> list[str]:
    return [each["id"] for each in record["findings"]]


@pytest.fixture
def derived(engine: Docker, tmp_path: Path) -> Iterator[Derived]:
    """Give a function that builds an image from a Dockerfile's text and C sources, each compiled to a shared library."""
    made: list[str] = []

    def make(recipe: str, platform: str = "", **sources: str) -> str:
        for name, source in sources.items():
            library = tmp_path / name.replace("_so_", ".so.")
            compiler = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library), f"-Wl,-soname,{library.name}"]
            subprocess.run(compiler, input=source, text=True, check=True)
        (tmp_path / "Dockerfile").write_text(recipe)
        command = [docker_command(), "build", "-q", *(["--platform", platform] if platform else []), str(tmp_path)]
        made.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        return made[-1]

    yield make
    for image_id in made:
        subprocess.run([docker_command(), "rmi", "-f", image_id], capture_output=True, check=False)
        records.image_record(image_id).unlink(missing_ok=True)


# --- good images -----------------------------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.image
def test_gpu_image_counts_loads_trains_and_writes_as_its_caller(gpu_image: variants.Variant, engine: Docker) -> None:
    code, record = kit_verify(gpu_image.tag)
    assert code == 0, record
    assert list(record) == ["schema", "image", "image_id", "versions", "verified", "findings"]
    assert (record["schema"], record["image"], ids(record)) == ("kit.verify/1", gpu_image.tag, [])
    proven = record["verified"]
    assert list(proven) == [
        "status", "gpus", "simulated", "libraries", "library_versions", "training", "uid", "seconds",
    ]  # fmt: skip
    given = proven["gpus"]["expected"]
    assert given > 0
    assert proven["gpus"] == {"expected": given, "container": given, "tensorflow": given}
    assert {"libcudart.so.12", "libcusolver.so.11", "libcudnn.so.9", "libcudnn_adv.so.9"} <= set(proven["libraries"])
    assert all(proven["libraries"].values())
    assert proven["library_versions"].keys() >= {"cudart", "cudnn", "cublas", "cufft", "cusparse"}
    trained = proven["training"]
    assert (trained["epochs"], trained["device"], trained["reason"]) == (
        3,
        "cpu" if proven["simulated"] else "gpu",
        None,
    )
    assert trained["accuracy"] > 0.5
    assert proven["uid"] == paths.caller()[0]
    known = verify.verified(record["image_id"])
    assert known == proven
    assert record["image_id"] == engine.image(gpu_image.tag)["Id"]  # type: ignore[index]


@pytest.mark.engine
@pytest.mark.image
def test_verifying_again_keeps_what_the_build_recorded(cpu_image: variants.Variant, engine: Docker) -> None:
    file = records.image_record(engine.image(cpu_image.tag)["Id"])  # type: ignore[index]
    before = records.read_json(file) or {}
    code, record = kit_verify(cpu_image.tag)
    after = records.read_json(file) or {}
    assert code == 0
    assert record["verified"]["gpus"] == {"expected": 0, "container": 0, "tensorflow": 0}
    assert record["verified"]["training"]["epochs"] == 3
    changed = {"verified", "versions", "findings"}
    assert {name: value for name, value in before.items() if name not in changed}.items() <= after.items()
    assert after["verified"] == record["verified"]


@pytest.mark.engine
@pytest.mark.image
@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as sudo does")
def test_under_sudo_the_image_writes_as_the_user_behind_it(cpu_image: variants.Variant, tmp_path: Path) -> None:
    code, record = kit_verify(cpu_image.tag, SUDO_UID="4242", SUDO_GID="4243", XDG_STATE_HOME=str(tmp_path))
    assert (code, record["verified"]["uid"]) == (0, 4242)
    kept = tmp_path / "kit" / "images"
    assert {file.stat().st_uid for file in (kept, *kept.iterdir())} == {4242}


@pytest.mark.engine
@pytest.mark.image
def test_foreign_image_needs_neither_scikit_learn_nor_python_by_that_name(
    gpu_image: variants.Variant, derived: Derived
) -> None:
    image = derived(
        f"FROM {gpu_image.tag}\nUSER root\nRUN cd /opt/venv/bin && ln -sf /usr/bin/python3 python3 && rm python "
        f"&& rm -r {SITE}/sklearn\n{FOREIGN}"
    )
    code, record = kit_verify(image)
    assert (code, ids(record)) == (0, [])
    assert record["verified"]["gpus"]["tensorflow"] == record["verified"]["gpus"]["expected"] > 0
    trained = record["verified"]["training"]
    assert trained["accuracy"] > 0.5
    assert trained["reason"] is None


@pytest.mark.engine
@pytest.mark.image
def test_foreign_image_without_cuda_is_expected_to_count_none(cpu_image: variants.Variant, derived: Derived) -> None:
    image = derived(f"FROM {cpu_image.tag}\n{FOREIGN}ENV PYTHONPATH=/opt/own\nUSER root\nRUN mkdir /opt/own\n")
    code, record = kit_verify(image)
    assert (code, ids(record), record["verified"]["libraries"]) == (0, [], {})
    assert record["verified"]["gpus"]["expected"] == record["verified"]["gpus"]["tensorflow"] == 0
    assert record["verified"]["training"]["epochs"] == 3


# --- images that are not good ----------------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.image
def test_official_style_image_with_a_wrong_cudnn(gpu_image: variants.Variant, derived: Derived) -> None:
    image = derived(
        f"FROM {gpu_image.tag}\nUSER root\nCOPY libcudnn.so.9 /tmp/\nRUN mv /tmp/libcudnn.so.9 {CUDNN}/\n{FOREIGN}",
        libcudnn_so_9="#include <stddef.h>\nsize_t cudnnGetVersion(void) { return 90100; }\n",
    )
    code, record = kit_verify(image)
    assert (code, ids(record)) == (1, ["cudnn-version-mismatch"])
    assert record["verified"]["library_versions"]["cudnn"] == "9.1.0"
    found = record["findings"][0]
    assert "is cuDNN 9.1.0, and TensorFlow 2.21.0 is built for 9.3.0" in found["cause"]
    assert "'nvidia-cudnn-cu12<10.0,>=9.3.0.75'" in found["fix"][0]["sentence"]
    assert verify.verified(record["image_id"]) is None, "it is recorded as failed"


@pytest.mark.engine
@pytest.mark.image
@pytest.mark.parametrize(
    ("damage", "library", "words"),
    [
        # TensorFlow asks cuDNN for its version as it counts the GPUs, and cuDNN ends the process without this part.
        (f"rm {CUDNN}/libcudnn_graph.so.9", None, "ended with code 134"),
        (f"truncate -s 9 {CUDNN}/libcudnn_cnn.so.9", "libcudnn_cnn.so.9", "which is there and broken"),
    ],
)
def test_cudnn_that_lacks_a_file(
    gpu_image: variants.Variant, derived: Derived, damage: str, library: str | None, words: str
) -> None:
    code, record = kit_verify(derived(f"FROM {gpu_image.tag}\nUSER root\nRUN {damage}\n{FOREIGN}"))
    assert (code, ids(record), record["verified"]["status"]) == (1, ["cudnn-missing"], "failed")
    assert [name for name, loads in record["verified"]["libraries"].items() if not loads] == (
        [library] if library else []
    )
    assert words in record["findings"][0]["cause"]


@pytest.mark.engine
@pytest.mark.image
def test_older_cuda_libraries(gpu_image: variants.Variant, derived: Derived) -> None:
    image = derived(
        f"FROM {gpu_image.tag}\nUSER root\nCOPY libcufft.so.11 /tmp/\n"
        f"RUN mv /tmp/libcufft.so.11 {SITE}/nvidia/cufft/lib/\n{FOREIGN}",
        libcufft_so_11="int cufftGetProperty(int part, int *value) { *value = (int[]){11, 1, 9}[part]; return 0; }\n",
    )
    code, record = kit_verify(image)
    assert (code, ids(record)) == (1, ["cuda-version-mismatch"])
    assert "libcufft is 11.1.9 and not 11.2.3" in record["findings"][0]["cause"]


@pytest.mark.engine
@pytest.mark.image
def test_image_with_a_driver_of_its_own(gpu_image: variants.Variant, derived: Derived) -> None:
    image = derived(
        f"FROM {gpu_image.tag}\nUSER root\nCOPY libcuda.so.1 /usr/local/lib/\n"
        f"RUN echo /usr/local/lib >/etc/ld.so.conf.d/000-own.conf && ldconfig\n{FOREIGN}",
        libcuda_so_1="int cuInit(unsigned flags) { return 34 + flags; }\n"  # CUDA_ERROR_STUB_LIBRARY
        "int cuDeviceGetCount(int *count) { *count = 0; return 34; }\n"
        'int cuGetErrorName(int error, const char **name) { *name = "CUDA_ERROR_STUB_LIBRARY"; return error - 34; }\n',
    )
    code, record = kit_verify(image)
    assert (code, ids(record)[0]) == (1, "image-ships-driver-libs")
    assert "/usr/local/lib/libcuda.so.1" in record["findings"][0]["cause"]


@pytest.mark.engine
@pytest.mark.image
def test_image_that_hides_a_gpu(gpu_image: variants.Variant, derived: Derived) -> None:
    code, record = kit_verify(derived(f"FROM {gpu_image.tag}\nENV CUDA_VISIBLE_DEVICES=-1\n"))
    assert (code, ids(record)) == (1, ["cuda-visible-devices-hides-gpu"])
    assert record["verified"]["gpus"]["tensorflow"] == 0


@pytest.mark.engine
@pytest.mark.image
def test_an_image_of_kits_that_cannot_train_is_not_good(cpu_image: variants.Variant, derived: Derived) -> None:
    image = derived(f"FROM {cpu_image.tag}\nENV XLA_FLAGS=--xla_no_such_flag=1\n")
    code, record = kit_verify(image)
    assert (code, ids(record)) == (1, ["workload-failed"])
    assert "--xla_no_such_flag=1" in str(record["findings"][0])


@pytest.mark.engine
@pytest.mark.image
@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (f"rm -r {SITE}/tensorflow", "tensorflow-not-installed"),
        (f"rm -r {SITE}/keras", "tensorflow-broken"),
        ("rm /opt/venv/bin/python* /usr/bin/python3*", "tensorflow-not-installed"),
        # What a CPU without AVX does at the import.
        (
            f"cd {SITE}/keras && rm -r __pycache__ && echo 'import os; os.kill(os.getpid(), 4)' >__init__.py",
            "illegal-instruction-no-avx",
        ),
    ],
)
def test_image_whose_tensorflow_does_not_import(
    cpu_image: variants.Variant, derived: Derived, damage: str, fault: str
) -> None:
    code, record = kit_verify(derived(f"FROM {cpu_image.tag}\nUSER root\nRUN {damage}\n{FOREIGN}"))
    assert (code, ids(record), record["verified"]["status"]) == (1, [fault], "failed")


# An ELF header of an ARM program, which no x86-64 kernel starts; and of an x86-64 one for a machine of the other kind.
@pytest.mark.engine
@pytest.mark.parametrize("shell", [True, False])
def test_image_of_another_architecture(engine: Docker, derived: Derived, tmp_path: Path, shell: bool) -> None:
    arm = engine.info()["Architecture"] == "x86_64"
    program = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + (b"\xb7" if arm else b"\x3e") + b"\x00\x01" + bytes(200)
    (tmp_path / "program").write_bytes(program)
    (tmp_path / "program").chmod(0o755)
    places = ["/usr/bin/python", "/usr/bin/python3", *(["/bin/sh"] if shell else [])]
    recipe = "FROM scratch\nENV PATH=/usr/bin:/bin\n" + "".join(f"COPY program {place}\n" for place in places)
    code, record = kit_verify(derived(recipe, platform="linux/arm64" if arm else "linux/amd64"))
    assert (code, ids(record)) == (1, ["image-arch-mismatch"])


@pytest.mark.engine
def test_image_with_nothing_in_it(derived: Derived) -> None:
    code, record = kit_verify(derived("FROM scratch\nCOPY Dockerfile /\n"))
    assert (code, ids(record)) == (1, ["tensorflow-not-installed"])
    assert record["verified"]["gpus"]["container"] is None


@pytest.mark.engine
@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("kit/no-such-image:1", "docker pull"),
        ("sha256:" + "0" * 64, "docker pull"),
        ("", "docker pull"),
        ("Not A Name", "invalid reference format"),
    ],
)
def test_image_that_is_not_there_is_wrong_usage(engine: Docker, image: str, words: str) -> None:
    code, record = kit_verify(image)
    assert code == 2
    assert words in record["error"]


# --- kit run ---------------------------------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.image
def test_run_warns_of_an_image_that_is_not_verified(cpu_image: variants.Variant, tmp_path: Path) -> None:
    def notes() -> list[str]:
        command = [KIT, "run", "workload", "--json", "--gpus", "none", "--epochs", "1", "--out", str(tmp_path / "runs")]
        environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, env=environment)
        result: list[str] = json.loads(done.stdout)["notes"]
        return result

    assert notes() == [f"the image {cpu_image.tag} is not verified; do it: kit verify {cpu_image.tag}"]
    assert kit_verify(cpu_image.tag, XDG_STATE_HOME=str(tmp_path))[0] == 0
    assert notes() == []


# --- what is judged without an engine --------------------------------------------------------------------------------


def told(*events: dict[str, Any], log: tuple[str, ...] = (), ended: Exit | None = Exit(0, False)) -> Told:  # noqa: B008
    return Told(events, log, ended)


def epochs(*losses: float) -> list[dict[str, Any]]:
    return [{"event": "epoch", "loss": loss} for loss in losses]


DEVICE = {"event": "device", "device": "gpu"}
RESULTS = {"event": "results", "accuracy": 0.7}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (told(DEVICE, *epochs(0.7, 0.6, 0.5), RESULTS), None),
        (told(DEVICE, *epochs(0.7, 0.7, 0.7), RESULTS), "its loss does not fall: 0.7000, 0.7000, 0.7000"),
        (told(DEVICE, *epochs(0.7, float("nan")), RESULTS), "its loss does not fall: 0.7000, nan"),
        (told(DEVICE, *epochs(0.7), log=("Traceback", "OSError: x", "")), "OSError: x"),
        (told({"event": "failed", "finding": "gpus-lost", "cause": "no GPU"}), "no GPU"),
        (told({"event": "untrained", "reason": "No module named 'sklearn'"}), "No module named 'sklearn'"),
        (told(DEVICE, log=("gave no answer within 120 s",), ended=None), "gave no answer within 120 s"),
    ],
)
def test_training(said: Told, reason: str | None) -> None:
    assert proof.training(said)["reason"] == reason


@pytest.mark.parametrize(
    ("owner", "error", "words"),
    [
        (1000, None, None),
        (100999, None, "belongs to the user 100999, and not to its caller, 1000"),
        (None, "[Errno 13] Permission denied", "[Errno 13] Permission denied"),
        (None, None, "nothing was written"),
    ],
)
def test_who_the_written_file_belongs_to(owner: int | None, error: str | None, words: str | None) -> None:
    found = proof.written(told({"event": "written", "error": error}), owner, 1000)
    assert (found is None) == (words is None)
    assert found is None or (found.id == "output-not-writable" and words and words in found.cause)


@pytest.mark.parametrize(
    ("said", "built_for", "fault"),
    [
        (told(log=("[FATAL tini (7)] exec python failed: Exec format error",), ended=Exit(126, False)), "amd64", "image-arch-mismatch"),
        (told(log=("[FATAL tini (7)] exec python failed: No such file or directory",), ended=Exit(127, False)), "arm64", "image-arch-mismatch"),
        (told(log=('exec: "python3": executable file not found in $PATH',), ended=None), "amd64", "tensorflow-not-installed"),
        (told(ended=Exit(137, True)), "amd64", "host-out-of-memory"),
        (told(ended=Exit(132, False)), "amd64", "illegal-instruction-no-avx"),
        (told(log=("Segmentation fault",), ended=Exit(139, False)), "amd64", "tensorflow-broken"),
    ],
)  # fmt: skip
def test_container_that_does_not_answer(said: Told, built_for: str, fault: str) -> None:
    assert proof.silence(said, "lab/image:1", built_for, "x86_64").id == fault


def test_views_of_a_good_and_a_bad_proof() -> None:
    import io

    from rich.console import Console

    from toolkit.model import VerifyRecord
    from toolkit.show import verify as view

    found = proof.silence(told(ended=Exit(137, True)), "lab/image:1", "amd64", "x86_64")
    nothing = {"expected": 0, "container": None, "tensorflow": None}
    bad = {"status": "failed", "gpus": nothing, "simulated": True, "libraries": {}, "library_versions": {}}
    bad |= {"training": proof.training(told(ended=Exit(137, True))), "uid": None, "seconds": 1.0}
    record = VerifyRecord("lab/image:1", "sha256:" + "a" * 64, {}, bad, (found,))
    console = Console(width=110, file=io.StringIO(), record=True)
    console.print(view.verified(record))
    text = console.export_text()
    assert "✗ lab/image:1" in text
    assert "host-out-of-memory" in text
    assert list(document("verify", record)) == ["schema", "image", "image_id", "versions", "verified", "findings"]
