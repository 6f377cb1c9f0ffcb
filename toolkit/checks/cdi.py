"""Further checks of the rung engine: CDI specs that are stale, or that the daemon does not read."""

from __future__ import annotations

from toolkit.checks.engine import _proven
from toolkit.checks.steps import configure_toolkit, generate_cdi, restart
from toolkit.facts import Facts, cdi, driver, engine
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence, Step

RUNG: RungName = "engine"

CDI_SINCE = (25,)  # cncf-tags/container-device-interface#84: an opt-in feature as of Docker 25
CDI_ON_SINCE = (28, 2)  # Docker Engine 28 release notes, 28.2.0: "CDI is now enabled by default"


def cdi_spec_stale(facts: Facts) -> Finding | None:
    """The CDI spec that the daemon reads fits the driver and the GPUs that are here"""
    specs = [spec for spec in facts(cdi.specs) if spec.read_by_daemon]
    if facts(engine.state).fault or not specs:
        return None
    version, nodes = facts(driver.module).version, facts(driver.nodes)
    there = {f"/dev/{name}" for name in nodes.gpus}
    for spec in _in_force(specs):
        other = [named for named in spec.driver_versions if version and named != version]
        gone = [node for node in spec.nodes if node.startswith("/dev/nvidia") and node[11:].isdigit()]
        gone = [node for node in gone if node not in there]
        if other:
            cause = f"{spec.path} names libraries of driver {', '.join(other)}, and {version} is loaded"
        elif gone:
            cause = f"{spec.path} names {', '.join(gone)}, and /dev has no such node"
        else:
            continue
        return finding(
            "cdi-not-set-up",
            f"The CDI spec is stale: {cause}. Containers with GPUs do not start, or start with another driver's files.",
            generate_cdi(facts, spec.path),
            [
                Evidence(spec.path, f"driver {', '.join(spec.driver_versions) or 'not named'}"),
                Evidence("/proc/driver/nvidia/version, /dev", f"{version}; {', '.join(sorted(there))}"),
            ],
            "warning" if _proven(facts) else "error",
        )
    return _too_few(facts, specs)


def _in_force(specs: list[cdi.Spec]) -> list[cdi.Spec]:
    """Return the specs of which a device counts: a later folder's takes the place of its namesake in an earlier one.

    Source: container-device-interface, pkg/cdi/doc.go (Device Precedence).
    """
    last = {device: spec.folder for spec in specs for device in spec.devices}
    return [spec for spec in specs if any(last[device] == spec.folder for device in spec.devices)]


def _too_few(facts: Facts, specs: list[cdi.Spec]) -> Finding | None:
    """Return the finding where the specs name fewer GPUs, by index, than the driver has."""
    there = len(facts(driver.nvml).gpus)
    named = {name.partition(":")[0] for spec in specs for name in spec.devices if name[:1].isdigit()}
    if not named or len(named) >= there:
        return None
    path = specs[0].path
    return finding(
        "cdi-not-set-up",
        f"The CDI spec is stale: {path} names {len(named)} GPU(s), and the driver has {there}.",
        generate_cdi(facts, path),
        [Evidence(path, f"devices {', '.join(sorted(named))}"), Evidence("NVML", f"{there} GPUs")],
    )


def cdi_spec_not_read(facts: Facts) -> Finding | None:
    """The daemon reads the CDI spec that is there"""
    docker = facts(engine.state)
    unread = [spec for spec in facts(cdi.specs) if not spec.read_by_daemon]
    if docker.fault or docker.snap or docker.podman or docker.desktop or docker.cdi_devices or not unread:
        return None
    path = unread[0].path
    works = "nvidia" in docker.runtimes or bool(facts.maybe(engine.hook_installed))
    steps: list[Step]
    if docker.cdi_enabled:
        cause = f"{path} is in none of the folders that the daemon reads: {', '.join(docker.cdi_folders)}"
        steps = generate_cdi(facts, f"{docker.cdi_folders[0]}/nvidia.yaml")
    elif docker.release < CDI_SINCE:
        cause = f"Docker {docker.version} does not know CDI, so that it does not read {path}"
        steps = configure_toolkit(facts)
    else:
        told = "off in its configuration" if docker.release >= CDI_ON_SINCE else "off unless it is asked for"
        cause = f"CDI is {told} in Docker {docker.version}, so that it does not read {path}"
        enable = Sentence(f'Add "features": {{"cdi": true}} to {engine.DAEMON_FILE}')
        steps = [enable, restart(facts, "docker")]
    if works:
        cause += "; GPUs go by the NVIDIA Container Toolkit's runtime meanwhile"
    return finding(
        "cdi-not-set-up",
        f"{cause}.",
        steps,
        [Evidence(path, f"devices {', '.join(unread[0].devices)}"), Evidence("docker info", _told(docker))],
        "info" if works else "error",
    )


def cdi_spec_absent(facts: Facts) -> Finding | None:
    """A CDI spec is there where the toolkit is set to need one"""
    docker = facts(engine.state)
    if docker.fault or "nvidia" not in docker.runtimes or _proven(facts):
        return None
    config, specs = facts(engine.toolkit_config), facts(cdi.specs)
    if specs or config.mode != "cdi":
        return None
    return finding(
        "cdi-not-set-up",
        "The nvidia runtime is set to hand GPUs over by CDI alone, and no CDI spec is there.",
        generate_cdi(facts),
        [Evidence(engine.TOOLKIT_FILE, 'mode = "cdi"'), Evidence(", ".join(cdi.FOLDERS), "no spec of nvidia.com/gpu")],
    )


def _told(docker: engine.Engine) -> str:
    return f"CDISpecDirs {', '.join(docker.cdi_folders) or 'none'}, ServerVersion {docker.version}"
