# Makes the worktree that steps work in, and writes its path to $BACKSTAY_OUTPUT.
#
# Done again after any crash it comes to the same: a worktree that is whole is used as it is, and half of one is made anew.
# $BACKSTAY_REFS is what the names of the run's references begin with. Another store may have a run of the same id: a worktree
# that it made is not used, and not made anew.
# $BACKSTAY_WORKTREE_BRANCH is the branch that it gets (empty: one named after the run), $BACKSTAY_WORKTREE_FROM the
# commit that it begins with (empty: the one that is checked out), $BACKSTAY_WORKTREE_STEP the step that it is for (empty:
# all).

# In a hook of git, variables name the user's index and folder to every git that is called.
# shellcheck disable=SC2046 # one name a word
unset $(git rev-parse --local-env-vars)

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

root=$(git rev-parse --show-toplevel) || fail "a worktree needs a git checkout, and $PWD is in none"
prefix=$(git rev-parse --show-prefix)
name=$BACKSTAY_RUN${BACKSTAY_WORKTREE_STEP:+-$BACKSTAY_WORKTREE_STEP}
place=$root.worktrees/$name
branch=${BACKSTAY_WORKTREE_BRANCH:-backstay/$name}
# Stands from before the worktree is begun, and tells whose it is and what it began with.
base=$BACKSTAY_REFS/worktree/$name

is_own() {
    git rev-parse --verify --quiet "$base" >/dev/null
}

is_whole() {
    is_own && [ -e "$place/.git" ] && [ -e "$(git -C "$place" rev-parse --absolute-git-dir)/backstay-is-whole" ]
}

claims_of_others() {
    git for-each-ref --format='%(refname)' "refs/backstay/*/$BACKSTAY_RUN/worktree/$name" \
        | { grep -vxF "$base" || [ $? -eq 1 ]; }
}
foreign="the worktree $place was made by another store: call \`backstay rm $BACKSTAY_RUN\` there first"

if is_whole; then
    branch=$(git -C "$place" rev-parse --abbrev-ref HEAD)
else
    git check-ref-format --branch "$branch" >/dev/null 2>&1 || fail "\`$branch\` can not be the name of a branch"
    from=${BACKSTAY_WORKTREE_FROM:-HEAD}
    commit=$(git rev-parse --verify --quiet "$from^{commit}") || fail "there is no commit \`$from\` to begin with"
    if ! is_own; then
        others=$(claims_of_others)
        [ -z "$others" ] || fail "$foreign"
        if git rev-parse --verify --quiet "refs/heads/$branch" >/dev/null; then
            fail "there is a branch \`$branch\` already: name another one, or remove it if nothing in it is needed"
        fi
        [ ! -e "$place" ] || fail "there is something at $place already"
        git update-ref "$base" "$commit"
        # Of two stores that begin it at once at least one sees the other.
        others=$(claims_of_others)
        if [ -n "$others" ]; then
            git update-ref -d "$base"
            fail "$foreign"
        fi
    elif git rev-parse --verify --quiet "refs/heads/$branch" >/dev/null; then
        [ "$(git rev-parse "refs/heads/$branch")" = "$(git rev-parse "$base")" ] \
            || fail "somebody made a branch \`$branch\` while this worktree was begun: name another one"
    fi
    # What an attempt that was killed left is nobody's work: the worktree was never whole.
    # Git may know of it also where its folder is gone. Of other worktrees nothing is taken away: one that cannot be seen now
    # may be on a disk that is not there.
    git worktree remove --force --force "$place" 2>/dev/null || true
    rm -rf -- "$place"
    mkdir -p -- "$(dirname -- "$place")"
    git worktree add --quiet --no-track -B "$branch" "$place" "$base"
    if [ -f "$root/.worktreeinclude" ]; then
        # Files that git ignores and that the project wants in each worktree, such as a local configuration.
        (cd -- "$root" && git ls-files -z --others --ignored --exclude-from=.worktreeinclude \
            | { git check-ignore -z --stdin || [ $? -eq 1 ]; } \
            | { grep -zv '^\.backstay/' || [ $? -eq 1 ]; } \
            | tar --null --files-from=- -cf - ) | tar -xf - -C "$place"
    fi
    : >"$(git -C "$place" rev-parse --absolute-git-dir)/backstay-is-whole"
fi

mkdir -p -- "$place/$prefix"
here=${place}${prefix:+/${prefix%/}}
printf '%s\n' "$here" >"$BACKSTAY_OUTPUT"
printf 'worktree %s on branch %s, from %s\n' "$here" "$branch" "$(git log -1 --format='%h %s' "$base")"
left=$(git -C "$root" status --porcelain | wc -l)
[ "$left" -eq 0 ] || printf 'not in it: %s files of %s that are not committed\n' "$left" "$root"
cd -- "$here"
