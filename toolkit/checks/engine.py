"""Rung engine: can the container engine hand GPUs over?"""

from __future__ import annotations

import json
import re
from pathlib import Path

from toolkit.checks import independent
from toolkit.checks.steps import DOCKER_GUIDE, as_root, configure_toolkit, install, install_toolkit, restart
from toolkit.facts import Facts, cdi, container, driver, engine, platform, wsl
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, Sentence, Step, UnknownFactError
from toolkit.versions import numbers

FEATURES = json.loads(Path(__file__).with_name("engine_features.json").read_text(encoding="utf-8"))
GPUS_SINCE = (19, 3)  # Docker Engine release notes, 19.03: --gpus
CGROUP_V2_SINCE = (1, 8)  # NVIDIA/k8s-device-plugin#273: libnvidia-container 1.8.0 brings cgroup v2
# runc 1.1.3 to 1.1.6 drop devices without a link in /dev/char: opencontainers/runc#3671, #3708.
RUNC_DROPS = ((1, 1, 3), (1, 1, 7))
LOCAL_SOCKET = "/var/run/docker.sock"


def gpus(facts: Facts) -> int:
    """Return the GPUs that CDI names, or NVML's where the toolkit hands over whatever there is."""
    docker = facts(engine.state)
    indices = {name.partition(":")[0] for name in docker.cdi_devices if re.fullmatch(r"\d+(:\d+)?", name)}
    uuids = [name for name in docker.cdi_devices if name.startswith("GPU-")]
    if indices or uuids:
        return len(indices or uuids)
    return len(facts(driver.nvml).gpus) if engine.way(facts) else 0


def detail(facts: Facts) -> str:
    docker = facts(engine.state)
    if docker.fault:
        return docker.fault_text
    ways = {"cdi": "CDI", "runtime": "the nvidia runtime", "hook": "the toolkit's hook"}
    return f"Docker {docker.version}, {ways.get(engine.way(facts) or '', 'no way to hand GPUs over')}"


def _answering(facts: Facts) -> engine.Engine | None:
    """Return the engine of this machine, None where none answers or another finding says that it is the wrong one."""
    docker = facts(engine.state)
    wrong = docker.fault or docker.podman or docker.snap or _in_desktop_machine(facts)
    return None if wrong else docker


def _in_desktop_machine(facts: Facts) -> bool:
    machine = facts.maybe(platform.machine)
    # On Windows, and in its WSL, Docker Desktop hands the GPUs over.
    return facts(engine.state).desktop and not (machine and (machine.wsl or machine.system != "linux"))


def _proven(facts: Facts) -> bool:
    """Return whether a container did get GPUs, whatever the host's files let one expect."""
    inside = facts.maybe(container.inside)
    return inside is not None and inside.cuda_gpus > 0


def _restart(facts: Facts) -> Command:
    """Return the command that restarts this daemon, a rootless one by its user."""
    docker = facts(engine.state)
    if docker.rootless or "/run/user/" in docker.endpoint:
        return Command("systemctl --user restart docker")
    return restart(facts, "docker")


def _configure(facts: Facts) -> list[Step]:
    if not facts(engine.state).rootless:
        return configure_toolkit(facts)
    file = "$HOME/.config/docker/daemon.json"
    return [Command(f"nvidia-ctk runtime configure --runtime=docker --config={file}"), _restart(facts)]


def _use_local_engine() -> list[Step]:
    return [
        Sentence(f"Docker Engine must be installed on this machine: {DOCKER_GUIDE}"),
        Command("unset DOCKER_HOST DOCKER_CONTEXT"),
        Command("docker context use default"),
    ]


@independent
def docker_not_installed(facts: Facts) -> Finding | None:
    """A container engine is installed"""
    docker = facts(engine.state)
    subsystem = facts.maybe(wsl.state)
    if docker.fault != "not-installed" or docker.podman or (subsystem and subsystem.docker_desktop):
        return None
    return finding(
        "docker-not-installed",
        "There is no Docker on this machine.",
        [Sentence(f"Install Docker Engine: {DOCKER_GUIDE}, or in a checkout of kit: sudo make engine")],
        [Evidence("Docker API", docker.fault_text)],
    )


@independent
def docker_daemon_down(facts: Facts) -> Finding | None:
    """The Docker daemon answers"""
    docker = facts(engine.state)
    if docker.fault != "down" or docker.podman or _in_desktop_machine(facts):
        return None
    evidence = [Evidence("Docker API", docker.fault_text)]
    look = Command("journalctl -u docker -n 30 --no-pager")
    config = facts.maybe(engine.daemon_config)
    if config and config.error:
        cause = f"The Docker daemon does not start: its configuration {config.file} cannot be read, {config.error}."
        evidence.append(Evidence(config.file, config.error))
        mend: Step = Sentence(f"Mend {config.file}; this shows where it breaks: python3 -m json.tool {config.file}")
        return finding("docker-daemon-down", cause, [mend, _restart(facts)], evidence)
    if config and config.duplicates:
        keys = ", ".join(config.duplicates)
        cause = f"The Docker daemon refuses to start where {config.file} and its command line both set {keys}."
        evidence.append(Evidence(f"{config.file}, {config.unit}", f"both set {keys}"))
        mend = Sentence(f"Take {keys} out of {config.file}, or the option out of a drop-in (systemctl edit docker)")
        return finding("docker-daemon-down", cause, [mend, _restart(facts)], evidence)
    cause = "Docker is installed and its daemon does not answer."
    return finding("docker-daemon-down", cause, [_restart(facts), look], evidence)


@independent
def docker_permission_denied(facts: Facts) -> Finding | None:
    """This user may use the Docker daemon"""
    docker = facts(engine.state)
    if docker.fault != "permission-denied" or docker.podman:
        return None
    evidence = [Evidence(docker.endpoint.removeprefix("unix://") or LOCAL_SOCKET, "permission denied")]
    group = facts.maybe(engine.socket_group)
    if group and group.listed and not group.effective:
        evidence.append(Evidence("/etc/group, id -nG", "docker lists this user, and this login does not have it"))
        return finding(
            "docker-permission-denied",
            "This user was added to the group docker after this login began, so that it is not yet in effect here.",
            [Sentence("Log out and in again; until then, in each terminal:"), Command("newgrp docker")],
            evidence,
        )
    steps: list[Step] = [
        as_root(facts, "usermod -aG docker $USER"),
        Sentence("Log out and in again, so that the group takes effect"),
    ]
    if group and not group.exists:
        evidence.append(Evidence("/etc/group", "there is no group docker"))
        steps = [as_root(facts, "groupadd docker"), *steps[:1], restart(facts, "docker"), *steps[1:]]
    return finding(
        "docker-permission-denied", "The daemon runs and this user may not open its socket.", steps, evidence
    )


@independent
def docker_context_remote(facts: Facts) -> Finding | None:
    """The engine is this machine's, as its GPUs are"""
    docker = facts(engine.state)
    if docker.fault != "remote":
        return None
    return finding(
        "docker-context-remote",
        "Docker's client talks to an engine elsewhere: the GPUs of this machine are not that engine's to hand over.",
        [*_use_local_engine(), Sentence("Or run kit on the machine where the engine is")],
        [Evidence("DOCKER_HOST or the Docker context", docker.endpoint or docker.fault_text)],
    )


@independent
def docker_desktop_linux_gpu(facts: Facts) -> Finding | None:
    """The engine is not in Docker Desktop's virtual machine, which has no GPU"""
    docker = facts(engine.state)
    if docker.fault == "remote" or not _in_desktop_machine(facts):
        return None
    return finding(
        "docker-desktop-linux-gpu",
        "The current Docker context is Docker Desktop's: its containers run in a virtual machine without the GPU.",
        _use_local_engine(),
        [Evidence("Docker context", f"{docker.context or 'by DOCKER_HOST'}, {docker.endpoint}")],
    )


@independent
def podman_instead_of_docker(facts: Facts) -> Finding | None:
    """The engine is Docker, not Podman under its name"""
    docker = facts(engine.state)
    if not docker.podman:
        return None
    where = docker.endpoint if docker.version else "/usr/bin/docker"
    no_daemon = "its socket is root's" if docker.fault == "permission-denied" else "no daemon answers"
    what = f"Podman {docker.version}" if docker.version else f"a shell script that runs podman; {no_daemon}"
    return finding(
        "podman-instead-of-docker",
        "What answers as Docker here is Podman, which does not take the GPU requests of Docker's API from kit.",
        [
            Sentence("Remove podman-docker, or leave Podman aside: unset DOCKER_HOST"),
            Sentence(f"Install Docker Engine: {DOCKER_GUIDE}"),
        ],
        [Evidence(where, what)],
    )


def snap_docker(facts: Facts) -> Finding | None:
    """Docker is not the snap, which cannot see the host's driver"""
    docker = facts(engine.state)
    if not docker.snap or _proven(facts):
        return None
    return finding(
        "snap-docker",
        "Docker runs from snap, confined away from the host's driver libraries.",
        [as_root(facts, "snap remove docker"), Sentence(f"Install Docker Engine: {DOCKER_GUIDE}")],
        [Evidence("docker info", "DockerRootDir under /var/snap")],
    )


def docker_engine_too_old(facts: Facts) -> Finding | None:
    """The engine knows all that kit asks of it"""
    docker = _answering(facts)
    if docker is None or not docker.release:
        return None
    lacking = [row for row in FEATURES if docker.release < numbers(row["since"])]
    if not lacking:
        return None
    too_old = docker.release < GPUS_SINCE
    without = "; ".join(f"no {row['feature']} (since {row['since']}): {row['without']}" for row in lacking)
    return finding(
        "docker-engine-too-old",
        f"Docker {docker.version} is {'too old to hand GPUs over' if too_old else 'old'}: {without}.",
        [Sentence(f"Install a current Docker Engine: {DOCKER_GUIDE}")],
        [Evidence("docker info", f"ServerVersion {docker.version}")],
        "error" if too_old else "warning",
    )


def nvidia_runtime_not_configured(facts: Facts) -> Finding | None:
    """The engine has a way to hand GPUs over: CDI devices or the nvidia runtime"""
    docker = _answering(facts)
    if docker is None or engine.way(facts) or docker.release < GPUS_SINCE:
        return None
    specs = facts(cdi.specs)
    if specs:  # unread ones: the checks of CDI name them
        return None
    evidence = [
        Evidence("docker info", f"runtimes: {', '.join(docker.runtimes)}"),
        Evidence(
            "CDI folders of the daemon", "no device of kind nvidia.com/gpu" if docker.cdi_enabled else "CDI is off"
        ),
    ]
    if facts(engine.toolkit_installed):
        cause = "The NVIDIA Container Toolkit is installed and Docker does not know it."
        return finding("nvidia-runtime-not-configured", cause, _configure(facts), evidence)
    cause = "The NVIDIA Container Toolkit is not installed, so Docker cannot hand GPUs to containers."
    steps = install_toolkit(facts)
    if docker.rootless:
        steps = [*steps[: -len(configure_toolkit(facts))], *_configure(facts)]
    return finding("nvidia-runtime-not-installed", cause, steps, evidence)


def no_cgroups_setting_wrong(facts: Facts) -> Finding | None:
    """The toolkit's no-cgroups fits the engine: true for a rootless one, false for another"""
    if _answering(facts) is None or engine.way(facts) not in ("runtime", "hook") or _proven(facts):
        return None
    rootless, config = facts(engine.state).rootless, facts(engine.toolkit_config)
    if config.no_cgroups == rootless or config.mode == "cdi" or (config.no_cgroups and facts(engine.inside_lxc)):
        return None
    if rootless:
        cause = "The engine is rootless and may set no device rules, and the toolkit tries to: no container starts."
    else:
        cause = "The toolkit leaves the device rules out, so that containers get nodes which they may not open."
    wanted = str(rootless).lower()
    return finding(
        "no-cgroups-setting-wrong",
        f"{cause} no-cgroups must be {wanted} for this engine.",
        [
            as_root(facts, f"nvidia-ctk config --set nvidia-container-cli.no-cgroups={wanted} --in-place"),
            _restart(facts),
        ],
        [
            Evidence(engine.TOOLKIT_FILE, f"no-cgroups = {str(config.no_cgroups).lower()}"),
            Evidence("docker info", "rootless" if rootless else "not rootless"),
        ],
    )


def toolkit_ldconfig_path(facts: Facts) -> Finding | None:
    """The toolkit's ldconfig exists on this machine"""
    if _answering(facts) is None or engine.way(facts) not in ("runtime", "hook") or _proven(facts):
        return None
    config = facts(engine.toolkit_config)
    if not config.ldconfig_missing or config.mode == "cdi":
        return None
    return finding(
        "toolkit-ldconfig-path",
        f"The toolkit runs {str(config.ldconfig)[1:]} of the host at every start of a container with GPUs, and it is "
        "not there (only Ubuntu has /sbin/ldconfig.real).",
        [as_root(facts, "nvidia-ctk config --set nvidia-container-cli.ldconfig=@/sbin/ldconfig --in-place")],
        [Evidence(engine.TOOLKIT_FILE, f'ldconfig = "{config.ldconfig}"')],
    )


def cgroup_v2_toolkit_too_old(facts: Facts) -> Finding | None:
    """The toolkit knows the machine's cgroups"""
    docker = _answering(facts)
    if docker is None or engine.way(facts) not in ("runtime", "hook") or docker.cgroup_version != "2" or _proven(facts):
        return None
    version = facts(engine.toolkit_version)
    if version >= CGROUP_V2_SINCE:
        return None
    shown = ".".join(map(str, version))
    return finding(
        "cgroup-v2-toolkit-too-old",
        f"This machine has cgroup v2, and the NVIDIA Container Toolkit {shown} knows v1 alone (v2 since 1.8).",
        install_toolkit(facts),
        [Evidence("docker info", "CgroupVersion 2"), Evidence("the toolkit's --version", shown)],
    )


def containers_lose_gpus_on_reload(facts: Facts) -> Finding | None:
    """Containers keep their GPUs when systemd reloads its units"""
    docker = _answering(facts)
    if docker is None or engine.way(facts) not in ("runtime", "hook") or docker.cgroup_driver != "systemd":
        return None
    links, nodes = facts(engine.char_links), facts(driver.nodes)
    missing = [f"195:{name[6:]}" for name in nodes.gpus if f"195:{name[6:]}" not in links]
    if not missing:
        return None
    if docker.runc_version is None:
        raise UnknownFactError("the engine does not tell its runc's version")
    if not RUNC_DROPS[0] <= numbers(docker.runc_version) < RUNC_DROPS[1]:
        return None
    return finding(
        "cgroup-reload-trap",
        f"A `systemctl daemon-reload`, which package updates run too, will take the GPUs from running containers: "
        f"systemd keeps their device rules, and runc {docker.runc_version} hands it none for "
        "nodes without a link in /dev/char.",
        [
            as_root(facts, "nvidia-ctk system create-dev-char-symlinks --create-all"),
            Sentence("For good: update runc to 1.1.7 or newer, or hand GPUs over by CDI"),
        ],
        [
            Evidence("docker info", f"CgroupDriver systemd, runc {docker.runc_version}"),
            Evidence("/dev/char", f"no {', '.join(missing)}"),
        ],
        "warning",
    )


def buildx_missing(facts: Facts) -> Finding | None:
    """Docker's client has buildx, with which kit builds images"""
    if _answering(facts) is None or facts(engine.buildx_installed):
        return None
    return finding(
        "buildx-missing",
        "Docker's client lacks buildx: kit runs the images that are there, and builds none.",
        [
            install(facts, "docker-buildx"),
            Sentence("Where Docker's own packages are installed, it is docker-buildx-plugin"),
        ],
        [Evidence("the folders of Docker's plugins", "no docker-buildx")],
        "warning",
    )
