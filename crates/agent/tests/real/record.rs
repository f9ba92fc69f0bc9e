//! Golden inputs from what the real CLIs say, without this machine in them.

use camino::Utf8Path;

use crate::cli::Cli;
use crate::clis::{Run, Workplace};

/// Keeps what `run` said as the golden input `name`, if that is asked for.
pub(crate) fn golden(cli: Cli, name: &str, place: &Workplace, run: &Run) {
    if std::env::var_os("BACKSTAY_RECORD").is_none() || run.stdout.is_empty() {
        return;
    }
    let neutral = |text: String| {
        let text = text
            .replace(place.folder().as_str(), "/work/project")
            .replace(place.home().as_str(), "/home/user");
        let dashed = |path: &str| path.replace(['/', '.'], "-");
        let text = text.replace(&dashed(place.folder().as_str()), "-work-project");
        text.replace(&run.url, "http://127.0.0.1:8080")
            .replace(run.url.trim_start_matches("http://"), "127.0.0.1:8080")
    };
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(cli.name());
    std::fs::create_dir_all(&folder).unwrap();
    let stdout = neutral(String::from_utf8(run.stdout.clone()).unwrap());
    std::fs::write(folder.join(name).with_extension("jsonl"), stdout).unwrap();
}
