"""CDI specs: what the files on the host hand over of NVIDIA's GPUs, and whether the container daemon reads them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from toolkit.host import Host
from toolkit.model import Failed, NotAsked, Unknown, Value

KIND = "nvidia.com/gpu"
FOLDERS = ("/etc/cdi", "/var/run/cdi")  # where tools write specs unless told otherwise. Source: CDI SPEC.md
DRIVER_FILE = re.compile(r"/lib(?:cuda|nvidia-ml)\.so\.(\d{3,}\.\d+(?:\.\d+)?)$")


@dataclass(frozen=True, slots=True)
class Spec:
    """One CDI spec of kind nvidia.com/gpu."""

    path: str
    devices: tuple[str, ...]
    driver_versions: tuple[str, ...]  # those in the names of the driver libraries that it mounts
    nodes: tuple[str, ...]  # the device nodes that it takes from the host
    read_by_daemon: bool

    @property
    def folder(self) -> str:
        """The folder that it is in."""
        return self.path.rpartition("/")[0]


def specs(host: Host) -> tuple[Spec, ...] | Unknown:
    """Return NVIDIA's specs in the folders of the daemon, in its order, and in the usual ones.

    Sample of /etc/cdi/nvidia.yaml: 'cdiVersion: 0.5.0\\nkind: nvidia.com/gpu\\ndevices:\\n- name: "0"\\n  containerEdits:
    {deviceNodes: [{path: /dev/nvidia0}]}\\ncontainerEdits:\\n  mounts:\\n
    - {hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15, containerPath: …}'. Source: CDI SPEC.md.
    """
    match host.ask("docker:info"):
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
        case Value({"CDISpecDirs": list(folders)}):
            read = [str(folder) for folder in folders]
        case _:
            read = []
    same = {_one_name(folder) for folder in read}
    found = []
    for folder in (*read, *(folder for folder in FOLDERS if folder not in same)):
        for name in host.names(f"list:{folder}"):
            if not name.endswith((".yaml", ".yml", ".json")):
                continue
            spec = _parsed(host.text(f"file:{folder}/{name}") or "")
            if spec is not None:
                found.append(_spec(f"{folder}/{name}", spec, _one_name(folder) in same))
    return tuple(found)


def _one_name(folder: str) -> str:
    """Return a folder's name without the two ways to name /run."""
    return re.sub(r"^/run/", "/var/run/", folder.rstrip("/"))


@lru_cache(maxsize=8)
def _parsed(text: str) -> dict[str, Any] | None:
    """Return a spec of NVIDIA's kind, None where the text is another's or none. The cache serves several parsers."""
    import yaml  # takes longer to import than the rest of kit's host rungs to judge

    # Ten times as fast as the pure one, where PyYAML was built with libyaml: a real spec has a thousand lines.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        spec = json.loads(text) if text.startswith("{") else yaml.load(text, loader)
    except (ValueError, yaml.YAMLError, RecursionError):
        return None
    return spec if isinstance(spec, dict) and spec.get("kind") == KIND else None


def _spec(path: str, spec: dict[str, Any], read_by_daemon: bool) -> Spec:
    devices = [device for device in spec.get("devices") or [] if isinstance(device, dict) and "name" in device]
    edits = [each for each in (spec, *devices) if isinstance(each.get("containerEdits"), dict)]
    mounts = [mount for each in edits for mount in each["containerEdits"].get("mounts") or []]
    nodes = [node for each in edits for node in each["containerEdits"].get("deviceNodes") or []]
    versions = [DRIVER_FILE.search(str(mount.get("hostPath", ""))) for mount in mounts]
    return Spec(
        path=path,
        devices=tuple(str(device["name"]) for device in devices),
        driver_versions=tuple(sorted({match[1] for match in versions if match})),
        nodes=tuple(sorted({str(node.get("hostPath") or node.get("path")) for node in nodes})),
        read_by_daemon=read_by_daemon,
    )
