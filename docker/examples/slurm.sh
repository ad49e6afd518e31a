#!/usr/bin/env bash
#SBATCH --job-name=gpusmote
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=01:00:00
#SBATCH --signal=TERM@60
# sbatch slurm.sh FOLDER resample table.parquet --target class --output out.parquet
#
# Apptainer needs no daemon and no root: make the image once from a Docker archive or a registry,
#   apptainer build gpusmote.sif docker-archive:gpusmote.tar
# --nv brings the node's driver in; --containall keeps the home folder and the environment out. The job's steps get
# SIGTERM a minute before the time is over, and gpusmote then leaves the destination as it was.
set -euo pipefail
folder=$(cd "$1" && pwd)
shift
exec srun apptainer run --nv --containall --bind "$folder:/data" --pwd /data "${IMAGE:-gpusmote.sif}" "$@"
