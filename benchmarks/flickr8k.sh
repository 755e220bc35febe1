#!/usr/bin/env bash
# Flickr8k end to end: all pictures through the pipeline, training, scores on the dev split, export.
# Takes half an hour on 2 cores. Everything lands in benchmark-output/.
set -euo pipefail
if [[ ! -d "${1:-}" || ! -f "${2:-}" ]]; then
  echo 'usage: make benchmark FLICKR8K=directory WEIGHTS=mobilenet_v2.weights.h5' >&2
  echo '  FLICKR8K: Flickr8k in its text layout; WEIGHTS: MobileNetV2 without top, ImageNet' >&2
  exit 2
fi
python=.venv/bin/python
out=${OUT:-benchmark-output}
set -x
time $python -m pipeline --source=flickr8k --input="$1" --output="$out/dataset" \
  --encoder=mobilenet_v2 --encoder_weights="$2" --features=grid
time $python -m trainer train --data="$out/dataset" --run="$out/run"
time $python -m trainer evaluate --run="$out/run" --split=validation --beam_width=1
time $python -m trainer evaluate --run="$out/run" --split=validation --beam_width=3
time $python -m trainer evaluate --run="$out/run" --split=validation --beam_width=5
time $python -m trainer export --run="$out/run" --output="$out/export" --beam_width=3
