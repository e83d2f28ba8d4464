#!/usr/bin/env bash
# Hosts on nodes of Slurm, four of them: sbatch --array=1-4 slurm.sh
# Each ends when it has had nothing to do for five minutes, and gives its node back.
#SBATCH --job-name=mlp-host
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=10G
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --output=mlp-host-%j.log
set -euo pipefail

# MLP_DATABASE_URL, MLP_ARTIFACTS_URL and the bucket's key; a file that only you can read.
set -a
# shellcheck source=/dev/null
. "${MLP_ENVIRONMENT:-$HOME/.config/mlp-service.env}"
set +a

# On the node itself: what must stay is in the database and the bucket. Hosts of one user that are on
# the same node, one after another or side by side, share the data sets.
place="${TMPDIR:-/tmp}/mlp-service-$(id -u)"
mkdir -p "$place"
chmod 700 "$place"  # fails if somebody else has made it
export MLP_DATASETS_DIR="${MLP_DATASETS_DIR:-$place/datasets}"

# Slurm sends SIGTERM a minute before the time is over; the host then gives its jobs back.
exec "${MLP_SERVICE:-mlp-service}" work --slots "$SLURM_CPUS_PER_TASK" --until-idle 300 \
  --data-dir "$place/$SLURM_JOB_ID"
