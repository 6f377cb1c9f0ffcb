# Puts into /opt/venv what makes `import tensorflow` faster; layers.sh seals the folders that it writes to /tmp/sealed.
set -eu
start=$(dirname "$0")
cd /opt/venv/lib/python3*/site-packages
site=$PWD
cp "$start/kit_start.py" "$start/kit_pack.py" .
python -m compileall -q --invalidation-mode unchecked-hash "$site/kit_start.py" "$site/kit_pack.py"
cp "$start/kit_start.pth" .
libraries=$(find tensorflow -maxdepth 1 -name 'libtensorflow_*.so.2' 2>/dev/null) || libraries=
if [ -z "${FULL:-}" ] && [ -n "$libraries" ]; then # --full has the wheels' own
  # $libraries is a list.
  # shellcheck disable=SC2086
  python -B "$start/bind.py" $libraries
fi
# A TensorFlow that cannot be imported has no pack; that the image is no good is found, and told, by its proof.
python -B -m kit_pack >/tmp/sealed 2>/tmp/error || rm -f kit_pack.bin /tmp/sealed
