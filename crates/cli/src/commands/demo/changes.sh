# The source files that change most often without a test changing beside them: COUNT, PATH, WORDS, separated by tabs.
set -eu
. "$BACKSTAY_WORKFLOW_DIR/paced.sh"
cd "$(git rev-parse --show-toplevel)"
echo "reading the last commits for files that change without a test" >&2
{
  git -c core.quotePath=false ls-files | sed 's/^/F /'
  git -c core.quotePath=false log --no-merges --no-renames --max-count=3000 --format=tformat:C --name-only | sed '/^$/d; /^C$/!s/^/T /'
} | awk '
  function is_test(path) { return path ~ /(^|\/)(tests?|specs?|__tests__|testing)\// || path ~ /[._-](test|tests|spec)\.[a-z]+$/ || path ~ /(^|\/)test_[^\/]*$/ }
  function is_source(path) { return path ~ /\.(rs|py|js|jsx|ts|tsx|go|java|kt|c|cc|cpp|h|hpp|cs|rb|php|swift|scala|sh|sql|ex|exs|lua|pl|zig)$/ }
  function end_commit(  path) {
    for (path in touched) { changes[path]++; if (!with_test) bare[path]++ }
    split("", touched); with_test = 0
  }
  $0 == "C" { end_commit(); next }
  { path = substr($0, 3) }
  /^F / { if (is_source(path) && !is_test(path)) present[path] = 1; next }
  is_test(path) { with_test = 1; next }
  path in present { touched[path] = 1 }
  END {
    end_commit()
    for (path in bare) printf "%d\t%s\t%d of %d changes came without a test\n", bare[path], path, bare[path], changes[path]
  }' | sort -t "$(printf '\t')" -k1,1nr -k2,2 | awk 'NR <= 12' | paced
