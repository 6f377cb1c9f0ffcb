#!/usr/bin/env bash
# Finds a container engine that answers, or installs and starts one (Debian and Ubuntu, as root).
# Idempotent. It adds packages and, only where there is none, /etc/docker/daemon.json; it removes nothing of yours.
set -euo pipefail

say() { printf 'engine: %s\n' "$*" >&2; }
die() { say "$1"; exit 3; }
answers() { timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
has_buildx() { docker buildx version >/dev/null 2>&1; }
has_compose() { docker compose version >/dev/null 2>&1; }
# Bookworm's docker.io 20.10 knows neither CDI nor buildx, and its compose is the old one.
is_old_debian() { [ "$ID" = debian ] && [ "${VERSION_ID:-99}" -lt 13 ]; }

log=/var/log/kit-dockerd.log
packages=(docker.io docker-cli docker-buildx docker-compose containerd runc iptables ca-certificates)

# A client of the wrong age may stand first on PATH without buildx; Debian's own, with the plugin, is in /usr/bin.
[ -x /usr/bin/docker ] && export PATH="/usr/bin:$PATH"

install() { apt-get install -y -qq --no-remove --no-install-recommends "$@" </dev/null >/dev/null; }

# usage: install_from_trixie COUNT PACKAGE…: the first COUNT from trixie, where they need only libc 2.34, the others, and
# everything they depend on, from the distribution that is here.
install_from_trixie() {
  local count=$1 work keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  shift
  work=$(mktemp -d)
  chown _apt "$work" # who downloads
  mkdir -p "$work/lists/partial"
  echo "deb [signed-by=$keyring] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} trixie main" >"$work/sources.list"
  local from=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists")
  apt-get -qq "${from[@]}" update </dev/null &&
    (cd "$work" && apt-get -qq "${from[@]}" download "${@:1:count}" </dev/null) &&
    install "$work"/*.deb "${@:count+1}" || return
  rm -rf "$work"
}

update_lists() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq </dev/null || say "apt-get update reported errors; going on with the lists that are here"
}

install_engine() {
  . /etc/os-release
  update_lists
  if is_old_debian; then
    install_from_trixie 4 "${packages[@]}"
  else
    [ "$ID" = ubuntu ] && packages=(docker.io docker-buildx docker-compose-v2 containerd runc iptables ca-certificates)
    install "${packages[@]}"
  fi
  export PATH="/usr/bin:$PATH"
  hash -r
}

# For images/tensorflow/examples/compose.yaml, beside an engine of the distribution's; one from elsewhere has compose from there.
install_compose() {
  [ "$(id -u)" = 0 ] && dpkg-query -W docker.io >/dev/null 2>&1 || return
  . /etc/os-release
  update_lists
  case $ID in
    ubuntu) install docker-compose-v2 ;;
    debian) if is_old_debian; then install_from_trixie 1 docker-compose; else install docker-compose; fi ;;
  esac
}

write_config() {
  [ -e /etc/docker/daemon.json ] && return
  mkdir -p /etc/docker
  local device mtu=1500
  device=$(awk '$2 == "00000000" {print $1; exit}' /proc/net/route)
  [ -n "$device" ] && mtu=$(cat "/sys/class/net/$device/mtu")
  # A bridge wider than the uplink loses large packets silently.
  if [ "$mtu" -lt 1500 ]; then mtu=", \"mtu\": $mtu"; else mtu=""; fi
  printf '{"features": {"cdi": true, "buildkit": true}%s}\n' "$mtu" >/etc/docker/daemon.json
}

# A process of this name that is not a zombie: a killed daemon may stay one for as long as nobody reaps it.
runs() { pgrep -x --runstates D,R,S "$1" >/dev/null; }

# The files of a dead daemon stop the next one, when their process id is another program's by now.
drop_stale() {
  runs dockerd || rm -f /run/docker.pid /run/docker.sock
  runs containerd || rm -f /run/docker/containerd/containerd.pid
}

start_engine() {
  if [ -d /run/systemd/system ]; then
    systemctl enable --now docker >&2
  else
    drop_stale
    if ! runs dockerd; then
      setsid nohup dockerd </dev/null >>"$log" 2>&1 &
    fi
  fi
  for _ in $(seq 60); do
    answers && return
    sleep 0.5
  done
  tail -n 15 "$log" >&2 2>/dev/null || true
  die "dockerd did not answer within 30 s (log: $log)"
}

if ! answers; then
  [ "$(id -u)" = 0 ] || die "no Docker engine answers and only root can start one; run: sudo make engine"
  if ! command -v dockerd >/dev/null || ! has_buildx; then
    command -v dockerd >/dev/null && die "your Docker has no buildx; install docker-buildx-plugin (Docker's repository) or docker-buildx"
    command -v apt-get >/dev/null || die "no Docker engine here and no apt-get; install one: https://docs.docker.com/engine/install/"
    say "installing the distribution's Docker engine"
    install_engine
  fi
  write_config
  say "starting dockerd"
  start_engine
fi
has_buildx || die "this Docker client has no buildx; install it: apt-get install docker-buildx (or docker-buildx-plugin from Docker's repository)"
has_compose || install_compose || say "no docker compose here: it is for the examples alone"
say "Docker $(docker version --format '{{.Server.Version}}') answers, $(docker buildx version | cut -d' ' -f1,2)"

here=$(dirname "$(readlink -f "$0")")
exec bash "$here/base.sh" "${1:-debian:bookworm-slim}"
