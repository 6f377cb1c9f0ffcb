# Installs Debian packages: from the folder of debs where it has some, else from the mirror; with DOWNLOAD it only keeps
# them there.
set -eu
export DEBIAN_FRONTEND=noninteractive
if [ -s /tmp/network ]; then . /tmp/network; fi
options=
if [ -s /tmp/ca ]; then options="-o Acquire::https::CAInfo=/tmp/ca"; fi
if [ -n "${DEBIAN_MIRROR:-}" ]; then
  # For this step alone: the image keeps the sources that its base has.
  . /etc/os-release
  echo "deb $DEBIAN_MIRROR $VERSION_CODENAME main" >/tmp/mirror.list
  options="$options -o Dir::Etc::sourcelist=/tmp/mirror.list -o Dir::Etc::sourceparts=-"
fi
# Docker's bases empty the cache that the next build uses; that is put back, since a removed file leaves its time.
clean=/etc/apt/apt.conf.d/docker-clean
if [ -e "$clean" ]; then
  mv "$clean" /tmp/docker-clean
  trap 'mv /tmp/docker-clean "$clean"' EXIT
fi
debs=$(find "/tmp/debs/$1" -name '*.deb' 2>/dev/null) || debs=
if [ -n "$debs" ]; then
  # $debs and $options are lists.
  # shellcheck disable=SC2086
  apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends $debs >/dev/null
  # What came with it is as automatic as from the mirror: the same layer either way.
  for deb in $debs; do dpkg-deb --field "$deb" Package; done | grep -Fvx "$1" | xargs -r apt-mark auto >/dev/null
  exit
fi
# shellcheck disable=SC2086
apt-get $options update -qq
if [ -n "${DOWNLOAD:-}" ]; then
  for package in "$@"; do
    mkdir -p "$DOWNLOAD/$package/partial"
    # shellcheck disable=SC2086
    apt-get $options install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends --download-only -o Dir::Cache::archives="$DOWNLOAD/$package" "$package" >/dev/null
    rm -rf "$DOWNLOAD/$package/partial" "$DOWNLOAD/$package/lock"
  done
else
  # shellcheck disable=SC2086
  apt-get $options install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >/dev/null
fi
rm -f /tmp/mirror.list
