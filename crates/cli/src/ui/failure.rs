//! What a failed step said last.

use backstay_exec::SpoolError;
use backstay_exec::spool::{self, Stream};
use backstay_runtime::Store;
use camino::Utf8PathBuf;

use super::nexts::{failed, say_all};
use super::page::{Page, short};
use super::{Entries, Line};
use crate::error::CliError;

/// Lines that are shown.
const LINES_MAX: usize = 20;
/// Bytes at the end of a spool in which they are looked for.
const BYTES_MAX: u64 = 64 << 10;

/// The last lines that the failed step of a failed run wrote, below a heading; nothing where no step failed or it wrote nothing.
pub(crate) async fn failure_lines(
    store: &Store,
    page: &Page<'_>,
    columns: usize,
) -> Result<Vec<Line>, CliError> {
    let Some(step) = failed(page) else { return Ok(Vec::new()) };
    // One from before the step was reset says nothing of this failure.
    let last = step.current_attempts().iter().rfind(|attempt| !attempt.probe);
    let Some(attempt) = last else { return Ok(Vec::new()) };
    let Some(folder) = attempt.folder.as_ref().map(|folder| store.folder().join(folder.as_str())) else {
        return Ok(Vec::new());
    };
    // What an agent writes to stdout is for programs; the run has its words.
    let only_stderr = attempt.agent.is_some();
    let read = tokio::task::spawn_blocking(move || end(&folder, only_stderr)).await?;
    let bytes = match read {
        Ok(bytes) => bytes,
        // The record tells of the failure without it.
        Err(error) => {
            tracing::debug!(%error, step = %step.step, "what a failed step wrote cannot be read");
            return Ok(Vec::new());
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut entries = Entries::default();
    entries.wrote(text.trim_end().as_bytes());
    let unfinished = entries.unfinished();
    let all: Vec<Line> = entries.iter().chain(&unfinished).flat_map(|entry| entry.lines(columns)).collect();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let command = format!("backstay logs {} {}", short(page.record.run), step.step);
    let head = format!("the last lines of `{}`; all: {command}", step.step);
    let mut lines = say_all("said", &head, columns);
    lines.extend_from_slice(&all[all.len().saturating_sub(LINES_MAX)..]);
    Ok(lines)
}

/// The last bytes of both streams, or of one.
fn end(folder: &Utf8PathBuf, only_stderr: bool) -> Result<Vec<u8>, SpoolError> {
    let total = spool::tail(folder, 0)?.skipped_bytes;
    let page = spool::read_ordered(folder, total.saturating_sub(BYTES_MAX), BYTES_MAX)?;
    let is_meant = |chunk: &spool::Chunk| !only_stderr || chunk.stream == Stream::Stderr;
    Ok(page.chunks.into_iter().filter(is_meant).flat_map(|chunk| chunk.bytes).collect())
}
