#!/usr/bin/env bash
# Makes sure that a base image is in the engine: pulls it, or where no registry answers makes it from a mirror.
# usage: base.sh debian:bookworm-slim|ubuntu:24.04 [--bootstrap]    with --bootstrap no registry is asked
set -euo pipefail

image=$1
[ -x /usr/bin/docker ] && export PATH="/usr/bin:$PATH"
say() { printf 'base: %s\n' "$*" >&2; }

docker image inspect "$image" >/dev/null 2>&1 && exit 0
if [ "${2:-}" != --bootstrap ]; then
  say "pulling $image"
  refusal=$(timeout 60 docker pull -q "$image" 2>&1 >/dev/null) && exit 0
  say "no registry gives it: ${refusal##*$'\n'}"
fi

sources=() keyring=debian-archive-keyring
case $image in
  debian:*-slim)
    suite=${image#debian:} suite=${suite%-slim}
    sources=("deb ${DEBIAN_MIRROR:-http://deb.debian.org/debian} $suite main"
      "deb ${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security} $suite-security main") ;;
  ubuntu:22.04 | ubuntu:24.04)
    keyring=ubuntu-keyring
    case $image in *:22.04) suite=jammy ;; *) suite=noble ;; esac
    mirror=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}
    sources=("deb $mirror $suite main universe" "deb $mirror $suite-updates main universe"
      "deb $mirror $suite-security main universe") ;;
  *) say "cannot pull $image; only debian:<suite>-slim, ubuntu:22.04 and ubuntu:24.04 can be made from a mirror"; exit 3 ;;
esac
[ "$(id -u)" = 0 ] || { say "no registry answers, and making $image needs root; run: sudo make engine"; exit 3; }
command -v mmdebstrap >/dev/null || {
  say "installing mmdebstrap to make $image"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap "$keyring" </dev/null >/dev/null
}
say "making $image from ${sources[0]}"
# The same reductions as Docker's official slim images: no documentation, manuals or translations.
# The result is stamped with what it is, so that nobody takes it for the registry's.
mmdebstrap --quiet --variant=minbase \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/info/*' \
  --aptopt='Acquire::Languages "none"' \
  "$suite" - "${sources[@]}" |
  docker import --change 'CMD ["bash"]' --change "LABEL org.kit.base=mmdebstrap" - "$image" >/dev/null
say "$image is ready ($(docker image inspect --format '{{.Size}}' "$image" | numfmt --to=si)B)"
