#!/bin/sh
# A sweep on Ray: two workers on this machine, or a cluster that sees the same folders.
#
#   pip install '.[train,ray]'    # in a clone
#   sh examples/ray/two_workers.sh [local|auto|ADDRESS]
#
# Two learning rates × two objectives × one seed. Warm starts, trainings and evaluations are
# Ray tasks of one CPU each, two at a time here; what needs another waits for it. If it breaks off,
# `pkpo sweep --resume runs/ray-two-workers` goes on, with the same results as without the break.
# Run as it stands, but for WARM=50 STEPS=30, on a machine with 2 cores and a load of 10: four runs on
# two Ray workers in 387 seconds. Ray only started there with
# RAY_raylet_start_wait_time_s=180 RAY_agent_register_timeout_ms=300000 (busy machines alone need these).
set -e
OUT=${OUT:-runs/ray-two-workers}
pkpo sweep --task grid-programs --objectives mean "max@8" \
    --vary learning_rate=1e-3,3e-3 --seeds 0 \
    --warm-start-steps "${WARM:-300}" --steps "${STEPS:-200}" \
    --ray "${1:-local}" --workers 2 --out "$OUT"
pkpo report "$OUT"
