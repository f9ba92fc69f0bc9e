# The files that nearly always change in the same commits: COUNT, PATH + PATH, WORDS, separated by tabs.
set -eu
. "$BACKSTAY_WORKFLOW_DIR/paced.sh"
cd "$(git rev-parse --show-toplevel)"
echo "reading the last commits for files that change together" >&2
{
  git -c core.quotePath=false ls-files | sed 's/^/F /'
  git -c core.quotePath=false log --no-merges --no-renames --max-count=3000 --format=tformat:C --name-only | sed '/^$/d; /^C$/!s/^/T /'
} | awk '
  # A commit of very many files couples nothing.
  function end_commit(  i, j, a, b) {
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
  $0 == "C" { end_commit(); next }
  { path = substr($0, 3) }
  /^F / { present[path] = 1; next }
  (path in present) && path !~ /(^|\/)[^\/]*(\.lock|-lock\.json|\.sum)$/ { list[++files] = path }
  END {
    end_commit()
    for (pair in together) {
      split(pair, file, "\t")
      least = changes[file[1]] < changes[file[2]] ? changes[file[1]] : changes[file[2]]
      if (together[pair] >= 3 && together[pair] >= 0.6 * least)
        printf "%d\t%s + %s\t%d of %d changes were made together\n", together[pair], file[1], file[2], together[pair], least
    }
  }' | sort -t "$(printf '\t')" -k1,1nr -k2,2 | awk 'NR <= 12' | paced
