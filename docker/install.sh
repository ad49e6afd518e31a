#!/bin/sh
# What both Dockerfiles do in their build stages, written once. POSIX sh: the slim bases have no more.
#   install.sh dependencies LOCK    /opt/gpusmote, a virtual environment with what the lock file lists
#   install.sh package [VERSION]    /opt/app, gpusmote's own wheel, built here
# Two folders, so that a new version of gpusmote is a new layer of a megabyte and the large one stays.
set -eu

case $1 in
dependencies)
  # pip lives in a virtual environment of its own: the image's has none.
  python3 -m venv /build/tools
  /build/tools/bin/pip install --quiet --no-cache-dir --require-hashes --only-binary :all: --requirement requirements-build.txt
  python3 -m venv --without-pip /opt/gpusmote
  /build/tools/bin/pip --python /opt/gpusmote/bin/python install --quiet --no-cache-dir --no-compile \
    --require-hashes --only-binary :all: --requirement "$2"
  site=$(/opt/gpusmote/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  echo /opt/app >"$site/app.pth"
  /opt/gpusmote/bin/python slim.py
  ;;
package)
  /build/tools/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir dist .
  /build/tools/bin/pip --python /opt/gpusmote/bin/python install --quiet --no-index --no-deps --target /opt/app dist/*.whl
  built=$(/opt/app/bin/gpusmote --version)
  if [ -n "${2:-}" ] && [ "$2" != "$built" ]; then
    echo "install.sh: the label would say version $2, but the wheel is $built" >&2
    exit 1
  fi
  ;;
esac
