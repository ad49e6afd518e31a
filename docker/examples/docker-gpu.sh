#!/usr/bin/env bash
# One table on a cloud instance with an NVIDIA driver and the NVIDIA container toolkit:
#   docker-gpu.sh FOLDER resample table.parquet --target class --output out.parquet
# IMAGE is what was built or pulled; paths are relative to FOLDER, which the container sees as /data.
set -euo pipefail
folder=$(cd "$1" && pwd)
shift
exec docker run --rm --gpus all --user "$(id -u):$(id -g)" --read-only --tmpfs /tmp --network none \
  --cap-drop ALL --security-opt no-new-privileges --volume "$folder:/data" "${IMAGE:-gpusmote}" "$@"
