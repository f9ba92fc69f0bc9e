//! Waits for a file or a folder to change.
//!
//! The system gives each user few instances of inotify (128 by default), and editors and containers use them up. So a process
//! has one, however much it watches: a thread reads it and wakes whoever waits for the file that an event is about.

#[cfg(target_os = "linux")]
pub use linux::Watch;
#[cfg(not(target_os = "linux"))]
pub use portable::Watch;

/// What is watched, and which changes of it count. Links are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// A file: bytes are written to it.
    File,
    /// A folder: files come into it, or bytes are written to them.
    Folder,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
    use rustix::io::Errno;

    use super::Watched;

    /// The one instance of this process, once something was watched. It stays: the number of watches changes all the time.
    static INOTIFY: Mutex<Option<Arc<Inotify>>> = Mutex::new(None);

    /// A watch on one file or folder. Where the system has none left, each wait takes as long as it may.
    #[derive(Debug)]
    pub struct Watch {
        signal: Arc<Signal>,
        on: Option<(Arc<Inotify>, i32)>,
    }

    /// Whether something changed since the last wait.
    #[derive(Debug, Default)]
    struct Signal {
        is_set: Mutex<bool>,
        changed: Condvar,
    }

    #[derive(Debug)]
    struct Inotify {
        instance: OwnedFd,
        /// Who waits, by what the system calls the watch: it is the same one for each who watches the same file.
        waiting: Mutex<BTreeMap<i32, Vec<Arc<Signal>>>>,
    }

    impl Watch {
        /// Watches what is at `path`. What changes from here on ends the next wait.
        ///
        /// # Errors
        /// An error of the system, but for one that says that it has no watches left.
        pub fn new(path: &Path, watched: Watched) -> io::Result<Watch> {
            let signal = Arc::new(Signal::default());
            match Inotify::of_process().and_then(|inotify| inotify.add(path, watched, &signal)) {
                Ok(on) => Ok(Watch { signal, on: Some(on) }),
                Err(error) if is_used_up(&error) => Ok(Watch { signal, on: None }),
                Err(error) => Err(error),
            }
        }

        /// Whether changes end a wait: the system had a watch left.
        #[must_use]
        pub fn is_watched(&self) -> bool {
            self.on.is_some()
        }

        /// Returns once something has changed since the last call, and after `limit` at the latest; whether something did.
        pub fn wait(&self, limit: Duration) -> bool {
            let is_set = lock(&self.signal.is_set);
            let waited = self.signal.changed.wait_timeout_while(is_set, limit, |is_set| !*is_set);
            let (mut is_set, _timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *is_set)
        }

        /// Ends the wait of another thread, or the next one.
        pub fn interrupt(&self) {
            self.signal.set();
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            if let Some((inotify, watch)) = &self.on {
                inotify.remove(*watch, &self.signal);
            }
        }
    }

    impl Signal {
        fn set(&self) {
            *lock(&self.is_set) = true;
            self.changed.notify_all();
        }
    }

    impl Inotify {
        fn of_process() -> io::Result<Arc<Inotify>> {
            let mut of_process = lock(&INOTIFY);
            if let Some(inotify) = &*of_process {
                return Ok(Arc::clone(inotify));
            }
            let instance = init(CreateFlags::CLOEXEC)?;
            let inotify = Arc::new(Inotify { instance, waiting: Mutex::default() });
            let read = Arc::clone(&inotify);
            std::thread::Builder::new().name("backstay-watch".to_owned()).spawn(move || read.read())?;
            *of_process = Some(Arc::clone(&inotify));
            Ok(inotify)
        }

        fn add(
            self: Arc<Inotify>,
            path: &Path,
            watched: Watched,
            signal: &Arc<Signal>,
        ) -> io::Result<(Arc<Inotify>, i32)> {
            let flags = match watched {
                Watched::File => WatchFlags::MODIFY,
                Watched::Folder => {
                    let changes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
                    changes | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR
                }
            };
            // Events that come meanwhile wait for the lock, so none is missed.
            let mut waiting = lock(&self.waiting);
            let watch = add_watch(&self.instance, path, flags | WatchFlags::DONT_FOLLOW)?;
            waiting.entry(watch).or_default().push(Arc::clone(signal));
            drop(waiting);
            Ok((self, watch))
        }

        fn remove(&self, watch: i32, signal: &Arc<Signal>) {
            let mut waiting = lock(&self.waiting);
            let Some(signals) = waiting.get_mut(&watch) else { return };
            signals.retain(|other| !Arc::ptr_eq(other, signal));
            if signals.is_empty() {
                waiting.remove(&watch);
                if let Err(_gone) = remove_watch(&self.instance, watch) {
                    // The system ended it when the file was removed.
                }
            }
        }

        /// Wakes who waits, for as long as the process lives.
        fn read(&self) {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = Reader::new(&self.instance, &mut buffer);
            loop {
                match events.next() {
                    Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => self.wake_all(),
                    Ok(event) => {
                        let waiting = lock(&self.waiting);
                        waiting.get(&event.wd()).into_iter().flatten().for_each(|signal| signal.set());
                    }
                    Err(Errno::INTR) => {}
                    // Each wait has its limit, so what is not read any more is found late.
                    Err(_) => return,
                }
            }
        }

        /// Events were lost: each of those who wait may be meant.
        fn wake_all(&self) {
            lock(&self.waiting).values().flatten().for_each(|signal| signal.set());
        }
    }

    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the user has no watches left, or the system knows none.
    fn is_used_up(error: &io::Error) -> bool {
        let used_up = [Errno::MFILE, Errno::NFILE, Errno::NOSPC, Errno::NOMEM, Errno::NOSYS];
        Errno::from_io_error(error).is_some_and(|error| used_up.contains(&error))
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::io;
    use std::path::Path;
    use std::sync::{Condvar, Mutex, PoisonError};
    use std::time::Duration;

    use super::Watched;

    /// Nothing is watched here: each wait takes as long as it may.
    #[derive(Debug, Default)]
    pub struct Watch {
        is_interrupted: Mutex<bool>,
        interrupted: Condvar,
    }

    impl Watch {
        /// Looks that `path` is there.
        ///
        /// # Errors
        /// An error of the system.
        pub fn new(path: &Path, watched: Watched) -> io::Result<Watch> {
            match watched {
                Watched::File => std::fs::symlink_metadata(path).map(drop)?,
                Watched::Folder => std::fs::read_dir(path).map(drop)?,
            }
            Ok(Watch::default())
        }

        /// Whether changes end a wait.
        #[must_use]
        pub fn is_watched(&self) -> bool {
            false
        }

        /// Returns after `limit`, or once it is interrupted; whether it was.
        pub fn wait(&self, limit: Duration) -> bool {
            let is_interrupted = self.is_interrupted.lock().unwrap_or_else(PoisonError::into_inner);
            let waited =
                self.interrupted.wait_timeout_while(is_interrupted, limit, |is_interrupted| !*is_interrupted);
            let (mut is_interrupted, _timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *is_interrupted)
        }

        /// Ends the wait of another thread, or the next one.
        pub fn interrupt(&self) {
            *self.is_interrupted.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.interrupted.notify_all();
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    /// The bound on every wait for something that has to come.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn instances() -> usize {
        let open = fs::read_dir("/proc/self/fd").unwrap();
        let leads = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        leads.filter(|target| target.to_string_lossy().contains("inotify")).count()
    }

    #[test]
    fn many_watches_take_one_instance_and_each_hears_of_its_own_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = |number: usize| folder.path().join(number.to_string());
        let watch = |number| Watch::new(&file(number), Watched::File).unwrap();
        (0..300).for_each(|number| fs::write(file(number), "").unwrap());
        let watches: Vec<Watch> = (0..300).map(watch).collect();
        assert!(watches.iter().all(Watch::is_watched));
        assert_eq!(instances(), 1);
        // Who watches the same file hears of it too, and goes without taking it from the others.
        let beside = watch(7);
        drop(watch(7));
        fs::write(file(7), ".").unwrap();
        assert!(beside.wait(PATIENCE) && watches[7].wait(PATIENCE));
        drop(beside);
        fs::write(file(7), "..").unwrap();
        fs::write(file(8), ".").unwrap();
        assert!(watches[7].wait(PATIENCE) && watches[8].wait(PATIENCE));
        // What is said is read in order, so the others would have heard by now.
        let heard = |number: &usize| watches[*number].wait(Duration::ZERO);
        assert_eq!((0..300).filter(heard).filter(|number| ![7, 8].contains(number)).collect::<Vec<_>>(), []);
    }

    #[test]
    fn a_folder_is_watched_again_after_it_was_removed_and_a_link_to_one_is_none() {
        let keep = tempfile::tempdir().unwrap();
        let folder = keep.path().join("folder");
        for _ in 0..2 {
            fs::create_dir(&folder).unwrap();
            let watch = Watch::new(&folder, Watched::Folder).unwrap();
            fs::write(folder.join("new"), "").unwrap();
            assert!(watch.wait(PATIENCE));
            fs::remove_dir_all(&folder).unwrap();
        }
        assert!(Watch::new(&folder, Watched::Folder).is_err(), "nothing is there");
        std::os::unix::fs::symlink(keep.path(), &folder).unwrap();
        assert!(Watch::new(&folder, Watched::Folder).is_err(), "a link is not followed");
    }

    #[test]
    fn a_wait_that_another_thread_interrupts_is_over() {
        let keep = tempfile::tempdir().unwrap();
        let watch = Watch::new(keep.path(), Watched::Folder).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| watch.wait(PATIENCE));
            watch.interrupt();
            assert!(waits.join().unwrap());
        });
    }
}
