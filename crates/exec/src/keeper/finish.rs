//! The end: everything durable, then the one record, then the word to who listens.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use backstay_files::Dir;
use backstay_model::event::Spool;
use backstay_model::{Attempt, Digest, EffectId, is_no_room};
use camino::Utf8PathBuf;

use super::capture::Capture;
use super::clients::Clients;
use crate::crash_point::CrashPoints;
use crate::files;
use crate::ignore::ignore_error;
use crate::keeper_client::sockets;
use crate::protocol::FromKeeper;
use crate::record::{EXIT_RECORD_VERSION, EndedBy, ExitRecord};
use crate::spec::ProcessSpec;
use crate::spool::OrderWriter;

/// Everything that goes into the record, and what writes it.
pub(super) struct Ended {
    folder: Dir,
    /// Held to the last moment: who gets it finds the record.
    _lock: File,
    reserve: File,
    pub(super) socket: Utf8PathBuf,
    effect: EffectId,
    attempt: Attempt,
    streams: Option<([Capture; 2], OrderWriter, Clients)>,
    pub(super) ended_by: EndedBy,
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) duration_ms: u64,
    pub(super) left_behind: u32,
    pub(super) survivors: u32,
}

impl Ended {
    /// The attempt's folder.
    pub(super) fn folder(&self) -> &Dir {
        &self.folder
    }

    pub(super) fn new(
        folder: Dir,
        lock: File,
        reserve: File,
        socket: Utf8PathBuf,
        spec: &ProcessSpec,
    ) -> Ended {
        Ended {
            folder,
            _lock: lock,
            reserve,
            socket,
            effect: spec.effect.clone(),
            attempt: spec.attempt,
            streams: None,
            ended_by: EndedBy::Exit,
            exit_code: None,
            signal: None,
            duration_ms: 0,
            left_behind: 0,
            survivors: 0,
        }
    }

    /// Hands over what was captured and who listens.
    pub(super) fn take_streams(&mut self, captures: [Capture; 2], order: OrderWriter, clients: Clients) {
        self.streams = Some((captures, order, clients));
    }

    /// Makes the spools durable, then the record, then tells it.
    pub(super) fn finish(mut self, crash: &CrashPoints) -> io::Result<()> {
        crash.pass("keeper.after_tree_gone");
        let streams = self.streams.take();
        let (stdout, stderr, clients) = match streams {
            None => (nothing(), nothing(), None),
            Some((mut captures, mut order, clients)) => {
                for capture in &mut captures {
                    capture.close(&mut order);
                }
                let [(stdout, stdout_synced), (stderr, stderr_synced)] =
                    [captures[0].finish(), captures[1].finish()];
                // A full disk has been counted in the spools; a failing one is told by no record at all.
                for synced in [stdout_synced, stderr_synced, order.finish()] {
                    synced.or_else(full_disk_is_counted)?;
                }
                (stdout, stderr, Some(clients))
            }
        };
        crash.pass("keeper.after_spools");
        let record = ExitRecord {
            version: EXIT_RECORD_VERSION,
            effect: self.effect.clone(),
            attempt: self.attempt,
            ended_by: self.ended_by.clone(),
            exit_code: self.exit_code,
            signal: self.signal,
            duration_ms: self.duration_ms,
            stdout,
            stderr,
            left_behind: self.left_behind,
            survivors: self.survivors,
        };
        match self.write(&record, crash) {
            // The folder is gone, and with it who could find a record there. Who listens is told all the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            written => written?,
        }
        ignore_error(
            sockets::remove(&self.socket),
            "nobody connects to a socket of a folder that has its record",
        );
        if let Some(mut clients) = clients {
            clients.tell(&FromKeeper::Exited { record: Box::new(record) });
        }
        crash.pass("keeper.after_exited");
        Ok(())
    }

    fn write(&self, record: &ExitRecord, crash: &CrashPoints) -> io::Result<()> {
        crash.pass("keeper.before_record");
        let mut bytes = serde_json::to_vec(record)?;
        bytes.push(b'\n');
        self.reserve.write_all_at(&bytes, 0)?;
        self.reserve.set_len(bytes.len() as u64)?;
        self.reserve.sync_data()?;
        crash.pass("keeper.after_record");
        self.folder.rename(files::EXIT_PART, files::EXIT)?;
        crash.pass("keeper.after_rename");
        self.folder.sync()?;
        crash.pass("keeper.after_folder");
        Ok(())
    }
}

fn nothing() -> Spool {
    Spool { size_bytes: 0, digest: Digest::of(b""), lost_bytes: 0 }
}

fn full_disk_is_counted(error: io::Error) -> io::Result<()> {
    if is_no_room(&error) { Ok(()) } else { Err(error) }
}
