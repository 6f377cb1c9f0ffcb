"""The container engine and the GPUs that it can hand over."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from typing import Any, Literal

from toolkit.facts import Facts, cdi
from toolkit.host import Host
from toolkit.model import Absent, EngineFault, Failed, NotAsked, Unknown, Value
from toolkit.versions import numbers

DAEMON_FILE = "/etc/docker/daemon.json"
TOOLKIT_FILE = "/etc/nvidia-container-runtime/config.toml"
UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)  # the first wins: systemd.unit(5)
# Source: docker/cli, cli-plugins/manager/manager_unix.go, and the user's own folder before them.
PLUGIN_FOLDERS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)


@dataclass(frozen=True, slots=True)
class Engine:
    """The container engine and what it can hand over."""

    fault: EngineFault | None = None
    fault_text: str = ""
    version: str = ""
    runtimes: tuple[str, ...] = ()
    cdi_devices: tuple[str, ...] = ()  # device names of kind nvidia.com/gpu, in folders that the daemon reads
    cdi_folders: tuple[str, ...] = ()  # that the daemon reads
    cdi_enabled: bool = False
    rootless: bool = False
    snap: bool = False
    podman: bool = False
    security: tuple[str, ...] = ()
    context: str = ""
    endpoint: str = ""
    operating_system: str = ""
    cgroup_driver: str = ""
    cgroup_version: str = ""
    runc_version: str | None = None

    @property
    def release(self) -> tuple[int, ...]:
        """The version's numbers, (26, 1, 5) say; empty where it has none."""
        return numbers(self.version)

    @property
    def desktop(self) -> bool:
        """Whether it is Docker Desktop's, which runs in a virtual machine."""
        return (
            self.operating_system == "Docker Desktop"
            or self.context == "desktop-linux"
            or ".docker/desktop/" in self.endpoint
        )


@dataclass(frozen=True, slots=True)
class ToolkitConfig:
    """The settings of the NVIDIA Container Toolkit that containers fail by."""

    no_cgroups: bool = False
    ldconfig: str | None = None  # as it is set, "@" before a path of the host
    ldconfig_missing: bool = False  # a path of the host that does not exist
    mode: str = "auto"


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """Why the Docker daemon would not start by its own configuration."""

    file: str
    error: str | None  # what is wrong with the file itself
    duplicates: tuple[str, ...]  # keys that the unit's command line sets too
    unit: str | None


@dataclass(frozen=True, slots=True)
class SocketGroup:
    """The group that may open the Docker socket, and this login's part in it."""

    exists: bool
    listed: bool  # /etc/group names the user
    effective: bool  # this login has it


def state(host: Host) -> Engine | Unknown:
    """Return the engine's state.

    Samples: {"fault": "down", "text": "the Docker engine does not answer …"} or {"ServerVersion": "26.1.5",
    "Runtimes": ["nvidia", "runc"], "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"], "SecurityOptions": ["name=rootless"],
    "Context": "default", "Endpoint": "unix:///var/run/docker.sock", "RuncCommit": {"ID": "v1.1.12-0-g51d5e94"}}.
    """
    match host.ask("docker:info"):
        case Value({"fault": str(), "text": str(text)}) if host.text("system:") == "Windows":
            return Unknown(f"native Windows can do without containers ({text})")
        case Value({"fault": str(fault), "text": str(text)} as info):
            return Engine(
                fault=fault,  # type: ignore[arg-type]
                fault_text=text,
                podman=fault in ("down", "not-installed", "permission-denied") and _podman_shim(host),
                context=str(info.get("Context") or ""),
                endpoint=str(info.get("Endpoint") or ""),
            )
        case Value({"ServerVersion": str(version)} as info):
            return _answering(host, version, info)
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
        case Absent():
            return Engine(fault="not-installed", fault_text="no container engine")
    return Unknown("the engine's description is not understood")


def _answering(host: Host, version: str, info: dict[str, Any]) -> Engine:
    folders = tuple(str(folder) for folder in info.get("CDISpecDirs") or [])
    security = tuple(str(option) for option in info.get("SecurityOptions") or [])
    specs = cdi.specs(host)
    named = () if isinstance(specs, Unknown) else (spec.devices for spec in specs if spec.read_by_daemon)
    runc = re.search(r"\d+\.\d+\.\d+", str((info.get("RuncCommit") or {}).get("ID", "")))
    endpoint = str(info.get("Endpoint") or "")
    return Engine(
        version=version,
        runtimes=tuple(sorted(str(name) for name in info.get("Runtimes") or [])),
        cdi_devices=tuple(device for devices in named for device in devices),
        cdi_folders=folders,
        cdi_enabled=bool(folders),
        rootless=any("rootless" in option for option in security),
        snap=str(info.get("DockerRootDir", "")).startswith("/var/snap/"),
        # Podman's answer alone has this field. Source: containers/podman, pkg/api/handlers/compat/info.go.
        podman=bool(info.get("BuildahVersion")) or "/podman/" in endpoint,
        security=security,
        context=str(info.get("Context") or ""),
        endpoint=endpoint,
        operating_system=str(info.get("OperatingSystem") or ""),
        cgroup_driver=str(info.get("CgroupDriver") or ""),
        cgroup_version=str(info.get("CgroupVersion") or ""),
        runc_version=runc[0] if runc else None,
    )


def _podman_shim(host: Host) -> bool:
    """Return whether `docker` is podman-docker's shell script. Sample of its start, as hex: '23212f62696e2f7368' (#!/bin/sh)."""
    script = (host.text("hex:/usr/bin/docker") or "").startswith("2321")
    return script and isinstance(host.ask("access:/usr/bin/podman"), Value)


def way(facts: Facts) -> Literal["cdi", "runtime", "hook"] | None:
    """Return the way in which kit asks this engine for GPUs: CDI, the registered nvidia runtime, or the toolkit's hook;
    None where it has none or does not answer."""
    docker = facts.maybe(state)
    if docker is None or docker.fault:
        return None
    if docker.cdi_devices:
        return "cdi"
    if "nvidia" in docker.runtimes:
        return "runtime"
    return "hook" if facts.maybe(hook_installed) else None


def hook_installed(host: Host) -> bool | Unknown:
    """Return whether the toolkit's hook is there, by which Docker hands GPUs over without a registered runtime."""
    answer = host.ask("access:/usr/bin/nvidia-container-runtime-hook")
    return Unknown("/usr/bin cannot be read") if isinstance(answer, NotAsked | Failed) else isinstance(answer, Value)


def toolkit_installed(host: Host) -> bool | Unknown:
    """Return whether the NVIDIA Container Toolkit's programs are on the host."""
    answers = [host.ask(f"access:/usr/bin/{name}") for name in ("nvidia-ctk", "nvidia-container-runtime")]
    if any(isinstance(answer, Value) for answer in answers):
        return True
    return False if all(isinstance(answer, Absent) for answer in answers) else Unknown("/usr/bin cannot be read")


def toolkit_version(host: Host) -> tuple[int, ...] | Unknown:
    """Return the toolkit's version as numbers, by its older command line where nvidia-ctk is not there yet.

    Samples: 'NVIDIA Container Toolkit CLI version 1.17.8\\ncommit: …', 'cli-version: 1.7.0\\nlib-version: 1.7.0\\n…'.
    """
    if toolkit_installed(host) is not True:
        return Unknown("the NVIDIA Container Toolkit is not installed")
    for command in ("nvidia-ctk --version", "nvidia-container-cli --version"):
        match host.ask(f"run:{command}"):
            case Value({"stdout": str(text)}) if found := re.search(r"version:? (\d+\.\d+\.\d+)", text):
                return numbers(found[1])
            case NotAsked(reason) | Failed(reason):
                return Unknown(reason)
    return Unknown("the NVIDIA Container Toolkit does not tell its version")


def toolkit_config(host: Host) -> ToolkitConfig | Unknown:
    """Return the toolkit's settings, its defaults where there is no file.

    Sample: '[nvidia-container-cli]\\nldconfig = "@/sbin/ldconfig.real"\\nno-cgroups = true\\n\\n
    [nvidia-container-runtime]\\nmode = "auto"\\n'.
    """
    match host.ask(f"file:{TOOLKIT_FILE}"):
        case Value(str(text)):
            config = tomllib.loads(text)
        case Absent():
            return ToolkitConfig()
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
        case _:
            return Unknown(f"{TOOLKIT_FILE} is not understood")
    command_line, runtime = config.get("nvidia-container-cli", {}), config.get("nvidia-container-runtime", {})
    ldconfig = command_line.get("ldconfig")
    on_host = isinstance(ldconfig, str) and ldconfig.startswith("@")
    return ToolkitConfig(
        no_cgroups=command_line.get("no-cgroups") is True,
        ldconfig=ldconfig,
        ldconfig_missing=on_host and isinstance(host.ask(f"access:{ldconfig[1:]}"), Absent),
        mode=str(runtime.get("mode", "auto")),
    )


def daemon_config(host: Host) -> DaemonConfig | Unknown:
    """Return what keeps a daemon that is down from starting: its file, or the file and its unit setting the same key.

    Sample of the unit: 'ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock'; the daemon
    then refuses "hosts" in the file. Source: moby, daemon/config/config.go (findConfigurationConflicts).
    """
    docker = state(host)
    if isinstance(docker, Unknown) or docker.fault != "down":
        return Unknown("the daemon is not down")
    file = f"{host.text('env:HOME')}/.config/docker/daemon.json" if "/run/user/" in docker.endpoint else DAEMON_FILE
    match host.ask(f"file:{file}"):
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
        case Value(str(text)) if text.strip():
            try:
                config = json.loads(text)
            except ValueError as error:
                return DaemonConfig(file, f"it is not JSON: {error}", (), None)
            if not isinstance(config, dict):
                return DaemonConfig(file, "it holds no JSON object", (), None)
        case _:
            config = {}
    unit, flags = _unit_flags(host)
    return DaemonConfig(file, None, tuple(key for key in config if flags & _flags_of(key)), unit)


def _unit_flags(host: Host) -> tuple[str | None, set[str]]:
    """Return the file that starts dockerd and the options that it gives: a drop-in's, else the unit's."""
    folder = "/etc/systemd/system/docker.service.d"
    drop_ins = [f"{folder}/{name}" for name in host.names(f"list:{folder}") if name.endswith(".conf")]
    for file in (*reversed(drop_ins), *(f"{folder}/docker.service" for folder in UNIT_FOLDERS)):
        text = (host.text(f"file:{file}") or "").replace("\\\n", " ")
        commands = re.findall(r"^ExecStart=(\S.*)$", text, re.MULTILINE)
        if commands:
            options = [word.partition("=")[0] for word in shlex.split(commands[-1]) if word.startswith("-")]
            return file, {"host" if option == "-H" else option.lstrip("-") for option in options}
    return None, set()


def _flags_of(key: str) -> set[str]:
    """Return the options of dockerd that set a key of its file: lists have the plural there. Source: dockerd reference."""
    singular = re.sub(r"ies$", "y", key) if key.endswith("ies") else key.removesuffix("s")
    return {key, singular, *(["add-runtime"] if key == "runtimes" else [])}


def socket_group(host: Host) -> SocketGroup | Unknown:
    """Return this login's part in the group docker, where the socket is denied.

    Samples: 'docker:x:999:alice,bob' of /etc/group; {"code": 0, "stdout": "alice sudo\\n"} of `id -nG`.
    """
    docker = state(host)
    if isinstance(docker, Unknown) or docker.fault != "permission-denied":
        return Unknown("the socket is not denied")
    line, groups, user = host.ask("first-line:/etc/group:docker"), host.ask("run:id -nG"), host.ask("run:id -nu")
    match groups, user:
        case Value({"stdout": str(names)}), Value({"stdout": str(name)}):
            pass
        case _:
            return Unknown("this login's groups cannot be read")
    if isinstance(line, Absent):
        return SocketGroup(exists=False, listed=False, effective=False)
    fields = str(line.data).strip().split(":") if isinstance(line, Value) else []
    if len(fields) != 4 or fields[0] != "docker":
        return Unknown("the group docker cannot be read")
    return SocketGroup(True, name.strip() in fields[3].split(","), "docker" in names.split())


def buildx_installed(host: Host) -> bool | Unknown:
    """Return whether Docker's client has buildx, without which kit builds no image."""
    if not isinstance(host.ask("access:/usr/bin/docker"), Value):
        return Unknown("Docker's client is not /usr/bin/docker, and its plugins may be elsewhere too")
    home = host.text("env:HOME")
    folders = [*([f"{home}/.docker/cli-plugins"] if home else []), *PLUGIN_FOLDERS]
    answers = [host.ask(f"list:{folder}") for folder in folders]
    if any(isinstance(answer, Value) and "docker-buildx" in answer.data for answer in answers):
        return True
    unread = any(isinstance(answer, NotAsked | Failed) for answer in answers)
    return Unknown("the folders of Docker's plugins were not read") if unread else False


def char_links(host: Host) -> frozenset[str] | Unknown:
    """Return the numbers under /dev/char, "195:0" for /dev/nvidia0 and "195:255" for /dev/nvidiactl.

    Source of the numbers: Linux, Documentation/admin-guide/devices.txt.
    """
    answer = host.ask("list:/dev/char")
    return frozenset(host.names("list:/dev/char")) if isinstance(answer, Value) else Unknown("/dev/char was not read")


def inside_lxc(host: Host) -> bool | Unknown:
    """Return whether this machine is itself an LXC container, which cannot set device rules. Source: systemd, os-release."""
    match host.ask("file:/run/systemd/container"):
        case Value(str(kind)):
            return kind.strip().startswith("lxc")
        case Absent():
            return False
    return Unknown("/run/systemd/container was not read")
