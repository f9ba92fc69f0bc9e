#!/usr/bin/env bash
# Which notes to oneself have waited longest? Looks for the two usual marks and asks git for the age of each line.
# Prints one JSON object; what it does meanwhile goes to stderr. Needs git and awk only.
set -euo pipefail
cat > /dev/null # The task is on stdin; this analyst knows it already.

root=$(git rev-parse --show-toplevel)
cd "$root"
most=80
# Spelled in parts, so that this file does not find itself.
mark='(TO''DO|FIX''ME)'
# A mark counts where a comment begins with it; where it is only spoken of, nothing waits.
found=$(git -c core.quotePath=false grep -nIE "(#|//|/[*]|[*]|--|;|%|<!--)+[[:space:]]*$mark([^[:alnum:]_]|\$)" 2> /dev/null || true)
count=$(printf '%s' "$found" | grep -c '' || true)
echo "$count notes found, asking for the age of at most $most" >&2

now=$(date +%s)
done_=0
printf '%s\n' "$found" | head -n "$most" | while IFS=: read -r file line text; do
  [ -n "$file" ] || continue
  # A line that is not committed yet has waited for no time.
  since=$(git blame --porcelain -L "$line,$line" -- "$file" 2> /dev/null | awk '$1 == "author-time" { print $2 }' || true)
  printf '%s\t%s:%s\t%s\n' "${since:-$now}" "$file" "$line" "$text"
  done_=$((done_ + 1))
  if [ $((done_ % 10)) -eq 0 ]; then echo "$done_ looked at" >&2; fi
done | sort -n | awk -F '\t' -v now="$now" -v count="$count" '
  function json(text,  out, i, c) {
    for (i = 1; i <= length(text); i++) {
      c = substr(text, i, 1)
      if (c == "\\" || c == "\"") out = out "\\" c
      else if (c < " ") out = out " "
      else out = out c
    }
    return "\"" out "\""
  }
  BEGIN { printf "{\"title\": \"Notes that wait\", \"summary\": %s, \"findings\": [", json(count == 0 ? "No comment begins with such a mark" : count == 1 ? "One note" : count " notes, the oldest first") }
  NR <= 12 {
    sub(/^[ \t]+/, "", $3)
    days = int((now - $1) / 86400)
    printf "%s{\"where\": %s, \"what\": %s}", (NR > 1 ? ", " : ""), json($2), json(days (days == 1 ? " day: " : " days: ") substr($3, 1, 120))
  }
  END { print "]}" }'
echo "done" >&2
