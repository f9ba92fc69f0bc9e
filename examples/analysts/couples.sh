#!/usr/bin/env bash
# Which files always change together? Such a couple is one thing in two places, or a dependency that no import shows.
# Prints one JSON object; what it does meanwhile goes to stderr. Needs git and awk only.
set -euo pipefail
cat > /dev/null # The task is on stdin; this analyst knows it already.

root=$(git rev-parse --show-toplevel)
cd "$root"
commits=$(git rev-list --count --no-merges --max-count=3000 HEAD 2> /dev/null || echo 0)
echo "reading $commits commits" >&2

{
  git -c core.quotePath=false ls-files | sed 's/^/file /'
  if [ "$commits" -gt 0 ]; then
    git -c core.quotePath=false log --no-merges --no-renames --max-count=3000 --format='commit %h' --name-only HEAD | sed '/^$/d; /^commit /!s/^/touch /'
  fi
} | awk -v commits="$commits" '
  function json(text,  out, i, c) {
    for (i = 1; i <= length(text); i++) {
      c = substr(text, i, 1)
      if (c == "\\" || c == "\"") out = out "\\" c
      else if (c < " ") out = out " "
      else out = out c
    }
    return "\"" out "\""
  }
  function summary(many, commits) {
    if (commits == 0) return "Nothing is committed yet"
    if (many == 0) return "No two files were changed together in three commits or more"
    return (many == 1 ? "One couple" : many " couples") " in three commits or more"
  }
  # A commit of very many files couples nothing.
  function close_commit(  i, j, a, b) {
    if (files <= 25)
      for (i = 1; i <= files; i++) {
        changes[list[i]]++
        for (j = i + 1; j <= files; j++) {
          a = list[i]; b = list[j]
          if (a > b) { a = list[j]; b = list[i] }
          together[a "\t" b]++
        }
      }
    files = 0
  }
  $1 == "commit" { close_commit(); next }
  { kind = $1; path = substr($0, length(kind) + 2) }
  kind == "file" { present[path] = 1; next }
  (path in present) && path !~ /(^|\/)[^\/]*(\.lock|-lock\.json|\.sum)$/ { list[++files] = path }
  END {
    close_commit()
    for (pair in together) {
      split(pair, file, "\t")
      least = changes[file[1]] < changes[file[2]] ? changes[file[1]] : changes[file[2]]
      share = together[pair] / least
      if (together[pair] >= 3 && share >= 0.6) { score[pair] = together[pair] * share; of[pair] = least; many++ }
    }
    printf "{\"title\": \"Files that change together\", \"summary\": %s, \"findings\": [", json(summary(many + 0, commits))
    for (n = 0; n < 12; n++) {
      best = ""
      for (pair in score) if (best == "" || score[pair] > score[best] || (score[pair] == score[best] && pair < best)) best = pair
      if (best == "") break
      split(best, file, "\t")
      printf "%s{\"where\": %s, \"and\": %s, \"what\": %s}", (n ? ", " : ""), json(file[1]), json(file[2]), json(together[best] " of " of[best] " changes were made together")
      delete score[best]
    }
    print "]}"
  }'
echo "done" >&2
