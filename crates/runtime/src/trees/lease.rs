//! One run at a time works in a checkout.
//!
//! The lease is a `flock` on a file in the checkout's own git folder, so it holds for all stores and users of the checkout
//! and ends with its process. What the file says tells who had it last: agents of that run may still work there without
//! an owner.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};

use backstay_exec::is_kept;
use backstay_model::RunId;
use backstay_model::event::CheckoutBusy;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::checkout::Checkout;
use super::error::TreeError;

/// The file, in the checkout's git folder.
const FILE: &str = "backstay.lock";
/// What the file may say, in bytes.
const NOTE_BYTES_MAX: u64 = 16 * 1024;

/// The right to change a checkout, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    _held: File,
}

/// What became of the wish for a checkout.
#[derive(Debug)]
pub(crate) enum Leased {
    /// It is held.
    Held(Lease),
    /// The run works for a step of the run that holds it.
    Shared,
    /// Another run works in it.
    Busy(CheckoutBusy),
}

/// Who wants to work in a checkout.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) run: RunId,
    /// The folder of its store.
    pub(crate) store: Utf8PathBuf,
    /// The run that holds the checkout for the step that started this one.
    pub(crate) within: Option<RunId>,
}

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    run: RunId,
    pid: u32,
    store: Utf8PathBuf,
}

impl Checkout {
    /// Takes the checkout for `tenant`, if no other run works in it.
    ///
    /// # Errors
    /// [`TreeError::Io`] if the file cannot be used.
    pub(crate) fn lease(&self, tenant: &Tenant) -> Result<Leased, TreeError> {
        let path = self.index.with_file_name(FILE);
        self.lease_at(&path, tenant).map_err(|source| TreeError::Io { action: "lock", path, source })
    }

    fn lease_at(&self, path: &Utf8Path, tenant: &Tenant) -> io::Result<Leased> {
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let is_held = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(rustix::io::Errno::WOULDBLOCK) => false,
            Err(error) => return Err(error.into()),
        };
        let last = read(&mut file)?;
        let busy = |last: Option<Note>| {
            // Of the run itself there is only an owner left that is about to be gone.
            let (held_by, pid) = match last.filter(|last| last.run != tenant.run) {
                Some(last) => (Some(last.run), Some(last.pid)),
                None => (None, None),
            };
            Ok(Leased::Busy(CheckoutBusy { root: self.root.to_string(), held_by, pid }))
        };
        match (is_held, last) {
            (false, Some(last)) if Some(last.run) == tenant.within => Ok(Leased::Shared),
            (false, last) => busy(last),
            (true, Some(last))
                if last.run != tenant.run && Some(last.run) != tenant.within && is_worked_on(&last)? =>
            {
                busy(Some(last))
            }
            (true, _) => {
                let pid = std::process::id();
                write(&mut file, &Note { run: tenant.run, pid, store: tenant.store.clone() })?;
                Ok(Leased::Held(Lease { _held: file }))
            }
        }
    }
}

/// What the file says; none if it says nothing, or nothing that can be read, such as half of what is being written.
fn read(file: &mut File) -> io::Result<Option<Note>> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(NOTE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

fn write(file: &mut File, note: &Note) -> io::Result<()> {
    let text = serde_json::to_vec(note)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&text)
}

/// Whether an agent of the run still works under its keeper.
fn is_worked_on(note: &Note) -> io::Result<bool> {
    let run = note.store.join("runs").join(note.run.to_string());
    for step in folders(&run)? {
        for attempt in folders(&step)? {
            if is_kept(&attempt)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The folders in `folder`; none if it is gone.
fn folders(folder: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(Utf8PathBuf::from_path_buf(entry.path()));
        }
    }
    Ok(found)
}
