//! The thread that learns of what other processes append.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use backstay_files::Dir;
use backstay_model::Position;
use tokio::sync::watch;

use super::wakeup::{self, Listener};
use super::{error_map, readers, schema};
use crate::error::StoreError;
use crate::fanout::Fanout;

/// Reads the newest position whenever another process sends a wakeup. Dropping it ends its thread.
#[derive(Debug)]
pub(super) struct Follower {
    stop: Arc<AtomicBool>,
    wakeup: File,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    pub(super) fn start(
        folder: &Path,
        newest: &watch::Sender<Position>,
        fanout: &Arc<Fanout>,
    ) -> Result<Follower, StoreError> {
        let root = Dir::open(folder).map_err(|source| error_map::io("open the folder", folder, source))?;
        let wakeup = wakeup::open(&root)?;
        let listener = Listener::open(&root)?;
        let database = folder.join("log.db");
        let connection = schema::connect_reader(&database)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, newest, fanout) = (stop.clone(), newest.clone(), fanout.clone());
        let follow = move || {
            while !stopped.load(Ordering::SeqCst) {
                match readers::newest(&connection) {
                    Ok(found) => {
                        let newer = newest.send_if_modified(|seen| {
                            let newer = found > *seen;
                            *seen = found.max(*seen);
                            newer
                        });
                        if newer {
                            fanout.notify_all(found);
                        }
                    }
                    // The next look, a second later at most, may do better; readers get their own errors.
                    Err(error) => tracing::warn!(%error, "the newest position could not be read"),
                }
                listener.wait();
            }
        };
        let thread = std::thread::Builder::new()
            .name("backstay-follower".to_owned())
            .spawn(follow)
            .map_err(|source| error_map::io("start a thread for", folder, source))?;
        Ok(Follower { stop, wakeup, thread: Some(thread) })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        wakeup::notify(&self.wakeup);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if let Err(_panic) = thread.join() {
                tracing::error!("the following thread panicked");
            }
        }
    }
}
