//! Taking a secret out of a store.
//!
//! Each byte of the value is replaced by `*`, so that sizes and offsets hold; numbers and structure stay as they are. Before
//! anything is changed, the whole store is looked at as it would be: where it would not be understood, the value is refused.
//! What is verified by a digest gets a record of what it is since.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use backstay_files::{Dir, Refused, if_there};
use backstay_log::maintenance::{self, ExclusiveStore, Finding, JsonText, Secret};
use backstay_log::{BlobStore, ScrubError};
use backstay_model::event::Event;
use backstay_model::{Digest, Recorded, Timestamp};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::check::inspector;
use super::error::StoreScrubError;
use super::files::{self, Found};
use super::manifest::refuse_backup;
use crate::store::{CONFIGURATION_FILE, real_folder};

/// Bytes that are looked through at once.
const PIECE_BYTES: usize = 1 << 20;

/// What a secret was taken out of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreScrubbed {
    /// Events that had it.
    pub events: u64,
    /// Other rows of the database that had it.
    pub rows: u64,
    /// Blobs that had it.
    pub blobs: u64,
    /// Files of attempts that had it: spools, scripts, prompts, outputs, artifacts.
    pub files: u64,
    /// Files that still have it, or have it in their name, relative to the store; and events that may have it, whose payloads
    /// are damaged.
    pub left: Vec<String>,
}

/// Takes `secret` out of the store in `folder` (absolute), which nobody else may have open. Blocks.
///
/// # Errors
/// [`StoreScrubError`]; what was done until then stays done, and the same can be said again. Where the store would not be
/// understood without the value, nothing was done.
pub fn scrub(folder: &Utf8Path, secret: &Secret, now: Timestamp) -> Result<StoreScrubbed, StoreScrubError> {
    let failed = |action: &'static str, path: &Utf8Path| {
        let path = path.to_owned();
        move |source| StoreScrubError::Io { action, path, source }
    };
    let folder = &real_folder(folder);
    refuse_backup(folder)?;
    let store = Dir::open(folder.as_std_path()).map_err(failed("open", folder))?;
    let alone = ExclusiveStore::acquire(folder.as_std_path())?;
    let at_work = files::at_work(folder).map_err(failed("look at", folder))?;
    if !at_work.is_empty() {
        return Err(StoreScrubError::AtWork { path: folder.to_owned(), folders: at_work });
    }
    let ours = rehearse(&alone, folder, secret)?;
    let (found, _nameless) = files::walk(&store, "").map_err(failed("list", folder))?;
    let found: Vec<&Found> = found.iter().filter(|file| !file.is_link).collect();
    for file in &found {
        rehearse_file(&store, &file.path, secret)?;
    }
    let database = maintenance::scrub_database(&alone, secret, &mut is_understood)?;
    let names = |digest| if ours.contains(&digest) { JsonText::Internal } else { JsonText::External };
    let blobs = BlobStore::in_folder(folder.join("blobs").as_std_path()).scrub(secret, &names, now)?;
    let mut scrubbed = StoreScrubbed {
        events: database.events,
        rows: database.rows,
        blobs: blobs.blobs,
        ..StoreScrubbed::default()
    };
    for file in &found {
        let (path, form) = (folder.join(&file.path), Form::of(&file.path));
        let is_changed =
            match form {
                Form::Blob | Form::Database | Form::Configuration => false,
                Form::Own => scrub_whole(&store, &file.path, JsonText::Internal, secret)
                    .map_err(failed("scrub", &path))?,
                Form::Whole => scrub_whole(&store, &file.path, JsonText::External, secret)
                    .map_err(failed("scrub", &path))?,
                Form::Stream => {
                    let has = has(&store, &file.path, form, secret).map_err(failed("read", &path))?;
                    if has {
                        scrub_file(&store, folder, &file.path, secret, now)?;
                    }
                    has
                }
            };
        scrubbed.files += u64::from(is_changed);
    }
    scrubbed.left = left(&store, secret).map_err(failed("read", folder))?;
    scrubbed.left.extend(database.damaged.iter().map(ToString::to_string));
    Ok(scrubbed)
}

/// Looks whether everything would be understood without the value, as it is now; gives the blobs whose texts are ours.
fn rehearse(
    alone: &ExclusiveStore,
    folder: &Utf8Path,
    secret: &Secret,
) -> Result<BTreeSet<Digest>, StoreScrubError> {
    let mut as_it_is = inspector(folder);
    let mut as_it_would_be = inspector(folder).without(secret);
    maintenance::check_exclusive(alone, &mut as_it_is).map_err(ScrubError::from)?;
    maintenance::check_exclusive(alone, &mut as_it_would_be).map_err(ScrubError::from)?;
    let known = &as_it_is.findings;
    match as_it_would_be.findings.into_iter().find(|finding| !known.contains(finding)) {
        None => Ok(as_it_is.ours),
        Some(finding) => {
            let (place, what) = structure(finding);
            Err(ScrubError::Structure { place, what }.into())
        }
    }
}

/// Where something is, and what is wrong there.
fn structure(finding: Finding) -> (String, String) {
    match finding {
        Finding::EventDamaged { topic, seq, what } | Finding::Index { topic, seq, what } => {
            (format!("event {seq} of {topic}"), what)
        }
        Finding::Row { topic, what } => (topic, what),
        Finding::BlobDamaged { digest, topic, what } => {
            let whose = topic.map_or_else(String::new, |topic| format!(" that {topic} names"));
            (format!("the blob {}{whose}", digest.short()), what)
        }
        Finding::Spool { path, what, .. } | Finding::File { path, what, .. } => (path, what),
        Finding::Database { what } => ("the database".to_owned(), what),
        // These speak of what is not there, with and without the value.
        Finding::EventsUnknown { path } => (path, "no event tells of it".to_owned()),
        Finding::EventsLost { topic, .. } | Finding::BlobMissing { topic, .. } => {
            (topic, "something is not there".to_owned())
        }
    }
}

/// The same for a file that we read again.
fn rehearse_file(store: &Dir, relative: &Utf8Path, secret: &Secret) -> Result<(), StoreScrubError> {
    let Some((_, name)) = files::in_attempt(relative).filter(|_| Form::of(relative) == Form::Own) else {
        return Ok(());
    };
    let read = store.read(relative, u64::MAX);
    let path = relative.to_owned();
    let mut bytes = read.map_err(|source| StoreScrubError::Io { action: "read", path, source })?;
    let odd = |what| ScrubError::Structure { place: relative.to_string(), what };
    match secret.mask_json(&mut bytes, JsonText::Internal) {
        Ok(0) => Ok(()),
        Ok(_) => Ok(backstay_exec::care::understand_own(name, &bytes).map_err(odd)?),
        Err(structural) => Err(odd(structural.to_string()).into()),
    }
}

/// What still has the value, or has it in its name.
fn left(store: &Dir, secret: &Secret) -> io::Result<Vec<String>> {
    let (found, _nameless) = files::walk(store, "")?;
    let mut left = Vec::new();
    for file in found {
        let in_name = secret.occurs_in(file.path.as_str().as_bytes());
        if in_name || (!file.is_link && has(store, &file.path, Form::of(&file.path), secret)?) {
            left.push(file.path.into_string());
        }
    }
    Ok(left)
}

/// Whether an event of a run can still be folded.
fn is_understood(recorded: &Recorded) -> Result<(), String> {
    if recorded.topic.run_id().is_none() {
        return Ok(());
    }
    match Event::decode(recorded) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// How a file of a store is read, and so how it is blanked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// JSON of ours in an attempt's folder.
    Own,
    /// A text that is read as a whole.
    Whole,
    /// Bytes, however many.
    Stream,
    /// A blob: those are blanked together.
    Blob,
    /// The database, which has a way of its own.
    Database,
    /// The user's to change.
    Configuration,
}

impl Form {
    fn of(path: &Utf8Path) -> Form {
        let name = path.file_name().unwrap_or_default();
        let is_blob = || name.parse::<Digest>().is_ok() || name.ends_with(".scrubbed");
        match (path.as_str(), files::in_attempt(path)) {
            ("log.db" | "log.db-wal" | "log.db-shm", _) => Form::Database,
            (CONFIGURATION_FILE, _) => Form::Configuration,
            (_, Some((_, name))) if backstay_exec::care::is_own(name) => Form::Own,
            (_, Some((_, "output"))) => Form::Whole,
            _ if path.starts_with("blobs") && is_blob() => Form::Blob,
            _ => Form::Stream,
        }
    }
}

/// Blanks the value in a file, in place: what is on the disk is written over. One that has another name too is replaced.
fn scrub_file(
    store: &Dir,
    folder: &Utf8Path,
    relative: &Utf8PathBuf,
    secret: &Secret,
    now: Timestamp,
) -> Result<(), StoreScrubError> {
    let failed = |source| StoreScrubError::Io { action: "scrub", path: folder.join(relative), source };
    if let Some((attempt, name)) = files::in_attempt(relative) {
        let mut hasher = blake3::Hasher::new();
        each_piece(store, relative, secret, |_, bytes, _| {
            hasher.update(bytes);
            Ok(())
        })
        .map_err(failed)?;
        let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
        backstay_exec::care::note_scrubbed(&folder.join(attempt), name, digest, now)?;
    }
    rewrite(store, relative, |target| {
        let is_whole = matches!(target, Target::New(_));
        each_piece(store, relative, secret, |at, bytes, is_changed| {
            if is_changed || is_whole { target.file().write_all_at(bytes, at) } else { Ok(()) }
        })
    })
    .map_err(failed)
}

/// What blanked bytes are written to.
enum Target {
    /// The file itself.
    Old(File),
    /// A new one that takes its place: the old one has another name, which is not of the store.
    New(File),
}

impl Target {
    fn file(&self) -> &File {
        match self {
            Target::Old(file) | Target::New(file) => file,
        }
    }
}

/// Lets `write` write the file `name`, one too that was made read-only, and flushes it.
fn rewrite(store: &Dir, name: &Utf8Path, write: impl FnOnce(&Target) -> io::Result<()>) -> io::Result<()> {
    let opened = store.open_to_write(name);
    if let Err(error) = &opened
        && matches!(Refused::of(error), Some(Refused::HardLink { .. }))
    {
        let part = Utf8PathBuf::from(format!("{name}.part"));
        let target = Target::New(store.create(&part)?);
        write(&target)?;
        target.file().sync_all()?;
        return store.rename(&part, name);
    }
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open_read_only(store, name)?,
        opened => opened?,
    };
    let target = Target::Old(file);
    write(&target)?;
    target.file().sync_all()
}

/// Opens a file for writing that was made read-only.
fn open_read_only(store: &Dir, name: &Utf8Path) -> io::Result<File> {
    use std::os::unix::fs::PermissionsExt;
    let readable = store.open_file(name)?;
    let before = readable.metadata()?.permissions();
    readable.set_permissions(std::fs::Permissions::from_mode(before.mode() | 0o200))?;
    let opened = store.open_to_write(name);
    readable.set_permissions(before)?;
    opened
}

/// Blanks the value in a file that is read as a whole. True if it was there.
fn scrub_whole(store: &Dir, name: &Utf8Path, names: JsonText, secret: &Secret) -> io::Result<bool> {
    let mut bytes = store.read(name, u64::MAX)?;
    let count = secret.mask_json(&mut bytes, names).map_err(io::Error::other)?;
    if count > 0 {
        rewrite(store, name, |target| target.file().write_all_at(&bytes, 0))?;
    }
    Ok(count > 0)
}

/// Whether the value is in a file of this form; where numbers are ours, not in these.
fn has(store: &Dir, name: &Utf8Path, form: Form, secret: &Secret) -> io::Result<bool> {
    let in_whole = |names| {
        let mut bytes = store.read(name, u64::MAX)?;
        Ok(secret.mask_json(&mut bytes, names) != Ok(0))
    };
    match form {
        Form::Own | Form::Blob => return in_whole(JsonText::Internal),
        Form::Whole => return in_whole(JsonText::External),
        Form::Database if secret.is_numeric() => return Ok(false),
        Form::Database | Form::Stream | Form::Configuration => {}
    }
    let mut found = false;
    each_piece(store, name, secret, |_, _, is_changed| {
        found |= is_changed;
        Ok(())
    })?;
    Ok(found)
}

/// Gives a file in pieces with the value blanked, each with its place and whether the value was in it. A value that lies
/// across the end of what was read is waited for.
fn each_piece(
    store: &Dir,
    name: &Utf8Path,
    secret: &Secret,
    mut take: impl FnMut(u64, &[u8], bool) -> io::Result<()>,
) -> io::Result<()> {
    let Some(mut file) = if_there(store.open_file(name))? else { return Ok(()) };
    let overlap = secret.bytes_max().saturating_sub(1);
    let (mut at, mut bytes, mut was_changed) = (0, Vec::new(), false);
    loop {
        let read = file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut bytes)?;
        let places = secret.mask_bytes(&mut bytes);
        let is_changed = !places.is_empty();
        let whole = if read == 0 { bytes.len() } else { bytes.len().saturating_sub(overlap) };
        // A value is blanked by one write: half of it would not be found again.
        let across = places.iter().find(|place| place.start < whole && whole < place.end);
        let done = across.map_or(whole, |place| place.start);
        // The end that was kept back the last time may have been blanked then.
        take(at, &bytes[..done], is_changed || was_changed)?;
        if read == 0 {
            return Ok(());
        }
        was_changed = is_changed;
        at += done as u64;
        bytes.drain(..done);
    }
}
