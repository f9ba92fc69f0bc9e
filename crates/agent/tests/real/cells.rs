//! The table of what each CLI does, docs/agents.md: a row is a test, a column a CLI. Tests of other crates read this file too.

use crate::cli::Cli;

/// One of so many cells runs in the full mode.
const SAMPLE: usize = 3;

/// Whether the cell of `row` and `cli` is to run: every third in the full mode, all with `BACKSTAY_TEST_SOAK=1`.
///
/// Which third is told by the names, so that it stays the same when rows come or go.
pub(crate) fn is_chosen(row: &str, cli: Cli) -> bool {
    let is_whole = std::env::var_os("BACKSTAY_TEST_SOAK").is_some_and(|value| value == "1");
    let row = row.bytes().fold(0, |sum: usize, byte| sum + usize::from(byte));
    is_whole || (row + cli as usize).is_multiple_of(SAMPLE)
}

/// Makes of each row a module with one test for each of its CLIs: `does_a_task::codex`. The row is a function of that name.
macro_rules! table {
    ($($row:ident: [$($cli:ident),*];)*) => {
        $(mod $row {
            $(#[test]
            fn $cli() {
                let cli = $crate::cli::Cli::named(stringify!($cli)).unwrap();
                if $crate::cells::is_chosen(stringify!($row), cli) {
                    super::$row(cli);
                } else {
                    println!("left to `cargo xtask soak`");
                }
            })*
        })*
    };
}

pub(crate) use table;
