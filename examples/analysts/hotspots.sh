#!/usr/bin/env bash
# Which source files change most often without a test changing beside them?
# Prints one JSON object; what it does meanwhile goes to stderr. Needs git and awk only.
set -euo pipefail
cat > /dev/null # The task is on stdin; this analyst knows it already.

root=$(git rev-parse --show-toplevel)
cd "$root"
commits=$(git rev-list --count --no-merges --max-count=3000 HEAD 2> /dev/null || echo 0)
echo "reading $commits commits" >&2

{
  # Source files of today, and those that hold tests of their own.
  git -c core.quotePath=false ls-files | sed 's/^/file /'
  git -c core.quotePath=false grep -lIE '#\[cfg\(test\)\]|#\[test\]|def test_|describe\(|func Test' 2> /dev/null | sed 's/^/tested /' || true
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
  function is_test(path) { return path ~ /(^|\/)(tests?|specs?|__tests__|testing)\// || path ~ /[._-](test|tests|spec)\.[a-z]+$/ || path ~ /(^|\/)test_[^\/]*$/ }
  function is_source(path) { return path ~ /\.(rs|py|js|jsx|ts|tsx|go|java|kt|c|cc|cpp|h|hpp|cs|rb|php|swift|scala|sh|sql|ex|exs|lua|pl|zig)$/ }
  function summary(many, commits) {
    if (commits == 0) return "Nothing is committed yet"
    if (many == 0) return "No source file changed without a test beside it, in " count(commits, "commit")
    return count(many, "source file") " changed without a test beside " (many == 1 ? "it" : "them") ", in " count(commits, "commit")
  }
  function count(number, what) { return number " " what (number == 1 ? "" : "s") }
  function close_commit(  path) {
    for (path in touched) { changes[path]++; if (!with_test && !(path in tested)) bare[path]++ }
    split("", touched); with_test = 0
  }
  $1 == "commit" { close_commit(); next }
  { kind = $1; path = substr($0, length(kind) + 2) }
  kind == "file" { if (is_source(path) && !is_test(path)) present[path] = 1; next }
  kind == "tested" { tested[path] = 1; next }
  is_test(path) { with_test = 1; next }
  path in present { touched[path] = 1 }
  END {
    close_commit()
    printf "{\"title\": \"Changed often, tested rarely\", \"summary\": "
    for (path in bare) many++
    printf "%s, \"findings\": [", json(summary(many + 0, commits))
    for (n = 0; n < 12; n++) {
      best = ""
      for (path in bare) if (best == "" || bare[path] > bare[best] || (bare[path] == bare[best] && path < best)) best = path
      if (best == "") break
      printf "%s{\"where\": %s, \"what\": %s}", (n ? ", " : ""), json(best), json(bare[best] " of " changes[best] " changes came without a test")
      delete bare[best]
    }
    print "]}"
  }'
echo "done" >&2
