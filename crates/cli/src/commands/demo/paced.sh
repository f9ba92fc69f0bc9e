# Hands out what stands on stdin line by line, with a small pause after each: so that a kill falls into the middle.
# The pauses are all that is staged. Where there is nothing to hand out, it says so on stderr.
paced() {
  beats=16
  while [ "$beats" -gt 0 ]; do
    if IFS= read -r line; then printf '%s\n' "$line"; else echo "nothing more was found; pausing, $beats" >&2; fi
    beats=$((beats - 1))
    sleep 0.7
  done
}
