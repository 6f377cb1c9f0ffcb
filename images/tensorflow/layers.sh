# Parts /opt/venv into the two trees that become layers: /cuda, whose libraries several TensorFlow releases share, and
# /packages, with NCCL, which changes with each. All of it has the time SOURCE_DATE_EPOCH.
set -eu
cd /opt/venv/lib/python3*/site-packages
site=$PWD
mkdir -p "/cuda$site" nvidia
mv nvidia "/cuda$site/"
mkdir nvidia
for part in "/cuda$site"/nvidia/nccl "/cuda$site"/nvidia/*.py; do
  if [ -e "$part" ]; then mv "$part" nvidia/; fi
done
cd /
mkdir /packages
mv /opt /packages/opt
mkdir /opt
find /cuda /packages -exec touch -hcd "@$SOURCE_DATE_EPOCH" {} +
# The folders of kit_pack.bin: a time that no later change to them gives.
if [ -s /tmp/sealed ]; then { read -r time && sed 's|^|/packages|' | xargs touch -cd "@$time"; } </tmp/sealed; fi
