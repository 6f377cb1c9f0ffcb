"""Captured machines: answers written to a file, redacted, and a machine that answers from such a file."""

from __future__ import annotations

import getpass
import json
import re
import socket
from pathlib import Path
from typing import Any

from toolkit.host import Host, from_json, to_json
from toolkit.model import Answer, KitError, NotAsked

SCHEMA = "kit.capture/1"

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b")
KEPT = (
    "localhost",
    "ubuntu",
    "debian",
    "fedora",
    "arch",
    "nvidia",
    "docker",
)  # host names that say nothing, and mean more
ADDRESS = re.compile(r"(//|@|\binet )(?:\d{1,3}\.){3}\d{1,3}\b")  # bare ones may be versions
WINDOWS_HOME = re.compile(r"(C:(?:/|\\\\+)Users(?:/|\\\\+))[^/\\\s:\";]+", re.IGNORECASE)
USER = re.compile(r'"user": "([^"]+)"')
OF_USERS = ("process:", "holders:", "run:id ", "first-line:/etc/group")
# Variables whose values are about GPUs and say nothing of a person.
VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "CUDA_PATH", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "XLA_FLAGS",
    "TF_USE_LEGACY_KERAS", "LD_LIBRARY_PATH", "PATH", "HOME", "WSL_DISTRO_NAME", "KUBERNETES_SERVICE_HOST",
)  # fmt: skip
HOME = re.compile(r"/(?:home|Users|mnt/[a-z]/Users)/[^/\s:\"]+")
REMOTE = re.compile(r"((?:ssh|tcp|https?)://)[^/\s\"]+")  # user@host:port


def write(host: Host, file: Path) -> None:
    """Write all answers that a host gave, redacted. Raises KitError where the file cannot be written."""
    document = {"schema": SCHEMA, "answers": to_json(host.answers)}
    try:
        file.write_text(json.dumps(redacted(document), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise KitError(f"cannot write the capture {file}: {error.strerror}") from error


def replay(file: Path) -> Host:
    """Return the machine of a capture. A question that it was never asked is unknown, never absent.

    Raises KitError where the file is no capture.
    """
    answers = read(file)["answers"]

    def answer(key: str) -> Answer:
        return from_json(answers[key]) if key in answers else NotAsked("not in this capture")

    return Host(answer)


def read(file: Path) -> dict[str, Any]:
    """Return a capture's document; one that `extends` another file beside it has that one's answers with its own over them.

    A composed answer of null takes the other's away, so that it is unknown. Raises KitError where the file is no capture.
    """
    document = _document(file)
    if base := extends(file):
        document["answers"] = {**read(file.with_name(base))["answers"], **document["answers"]}
    return document


def extends(file: Path) -> str | None:
    """Return the name of the capture that another one extends, None where it stands alone."""
    base = _document(file).get("extends")
    if base is None:
        return None
    if base != Path(str(base)).name or base == file.name:
        raise KitError(f"{file} extends {base}: give the name of another file beside it")
    return str(base)


def own_answers(file: Path) -> dict[str, Any]:
    """Return the answers that stand in a capture itself, without those of the one it extends."""
    answers: dict[str, Any] = _document(file)["answers"]
    return answers


def _document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise KitError(f"cannot read the capture {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise KitError(f"{file} is no capture of kit doctor: it is not JSON ({error})") from error
    if not (
        isinstance(document, dict) and document.get("schema") == SCHEMA and isinstance(document.get("answers"), dict)
    ):
        raise KitError(f'{file} is no capture of kit doctor: it lacks "schema": "{SCHEMA}" with answers')
    return document


def redacted(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without names of users, hosts and homes, addresses, UUIDs, and what variables hold that are
    not on the allow-list.

    Equal ones are replaced by equal ones, so that relations between answers survive.
    """
    answers = document.get("answers", {})
    kept = {key: _without_secrets(key, answer) for key, answer in answers.items()}
    text = json.dumps({**document, **({"answers": kept} if answers else {})})
    uuids: dict[str, str] = {}
    text = UUID.sub(lambda match: uuids.setdefault(match[0], f"00000000-0000-0000-0000-{len(uuids):012x}"), text)
    text = MAC.sub("00:00:00:00:00:00", text)
    text = REMOTE.sub(r"\g<1>remote", text)
    text = ADDRESS.sub(r"\g<1>0.0.0.0", text)
    text = WINDOWS_HOME.sub(r"\g<1>user", HOME.sub("/home/user", text))
    name = socket.gethostname()
    if len(name) > 2 and name not in KEPT:
        text = re.sub(rf"\b{re.escape(name)}\b", "host", text)
    result: dict[str, Any] = json.loads(text)
    return result


def _without_secrets(key: str, answer: Any) -> Any:
    """Return an answer without a variable's value that may be secret, and without names of users where they stand."""
    scheme, _, rest = key.partition(":")
    if scheme == "env" and "value" in answer and rest not in VARIABLES:
        return {"value": "redacted"}
    if key.startswith(OF_USERS):
        names = {name for name in USER.findall(json.dumps(answer)) if name != "root"} | {_own_name()} - {"root", ""}
        text = json.dumps(answer)
        for number, name in enumerate(sorted(names)):
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", f"user{number or ''}", text)
        return json.loads(text)
    return answer


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
