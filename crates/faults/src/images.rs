//! What of a file is surely on the disk: a copy as of its last flush that succeeded.

use std::ffi::c_int;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A copy that counts once the flush succeeded.
pub(crate) struct Image {
    draft: PathBuf,
    target: PathBuf,
}

/// Copies the file of `fd` before it is flushed, if its image is wanted: later writes are not covered by the flush.
pub(crate) fn before(under: &std::path::Path, folder: &std::path::Path, fd: c_int) -> Option<Image> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let path = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    let name = path.file_name()?.to_str()?;
    if !path.starts_with(under) || !name.starts_with("log.db") {
        return None;
    }
    let target = folder.join(name);
    let draft = folder.join(format!("{name}.{}", NEXT.fetch_add(1, Ordering::SeqCst)));
    match fs::copy(&path, &draft) {
        Ok(_size) => Some(Image { draft, target }),
        Err(error) => {
            eprintln!("backstay-faults: {error}");
            std::process::abort()
        }
    }
}

impl Image {
    /// The flush is over.
    pub(crate) fn settle(self, succeeded: bool) {
        let settled =
            if succeeded { fs::rename(&self.draft, &self.target) } else { fs::remove_file(&self.draft) };
        if let Err(error) = settled {
            eprintln!("backstay-faults: {error}");
            std::process::abort()
        }
    }
}
