# The notes to oneself in comments that have waited longest: DAYS, PATH:LINE, TEXT, separated by tabs.
set -eu
. "$BACKSTAY_WORKFLOW_DIR/paced.sh"
cd "$(git rev-parse --show-toplevel)"
# In parts, so that this file does not find itself.
mark='(TO''DO|FIX''ME)'
now=$(date +%s)
echo "asking git for the age of notes in comments" >&2
# That nothing is found is no failure.
{ git -c core.quotePath=false grep -nIE "(#|//|/[*]|[*]|--|;|%|<!--)+[[:space:]]*$mark([^[:alnum:]_]|\$)" || test $? = 1; } | awk 'NR <= 24' | while IFS=: read -r path line text; do
  since=$(git blame --porcelain -L "$line,$line" -- "$path" 2> /dev/null | awk '$1 == "author-time" { print $2 }')
  text=$(printf '%s' "$text" | tr '\t' ' ' | sed 's/^ *//' | cut -c 1-100)
  printf '%d\t%s:%s\t%s\n' "$(((now - ${since:-$now}) / 86400))" "$path" "$line" "$text"
done | sort -t "$(printf '\t')" -k1,1nr -k2,2 | awk 'NR <= 12' | paced
