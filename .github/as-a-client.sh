#!/usr/bin/env bash
# Asks the service as a client does: is it well, and does a picture go all the way? What was uploaded is deleted again.
# PUBLIC_URL and TRUSS_IMAGE_API_KEY may be empty; IMAGE has the client in it.
set -euo pipefail

if [[ -z $PUBLIC_URL ]]; then
  echo "::notice::PUBLIC_URL is not set: nothing was asked from outside"
  exit 0
fi
curl --fail --silent --show-error --retry 5 --retry-all-errors --max-time 20 "$PUBLIC_URL/images/health"
if [[ -z $TRUSS_IMAGE_API_KEY ]]; then
  echo "::notice::SMOKE_API_KEY is not set: no picture was uploaded"
  exit 0
fi
submitted=$(docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --env TRUSS_IMAGE_API_KEY \
  --env TRUSS_IMAGE_URL="$PUBLIC_URL" --entrypoint sh "$IMAGE" -c '
    python -c "import pyvips; pyvips.Image.gaussnoise(640, 480).cast(\"uchar\").write_to_file(\"/tmp/smoke.png\")" &&
    truss-image submit --json --timeout 120 /tmp/smoke.png')
unique_id=$(python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())["uniqueId"])' <<< "$submitted")
curl --fail --silent --show-error --max-time 30 --request DELETE \
  --header @<(printf 'X-Api-Key: %s' "$TRUSS_IMAGE_API_KEY") "$PUBLIC_URL/images/image/$unique_id"
