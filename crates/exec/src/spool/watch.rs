//! Waits for a folder to change.

#[cfg(target_os = "linux")]
pub(crate) use linux::Watch;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Watch;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use camino::Utf8Path;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
    use rustix::io::Errno;

    /// A watch on the files of one folder; without one, every wait is the backstop of its caller.
    pub(crate) struct Watch {
        inotify: Option<OwnedFd>,
    }

    impl Watch {
        pub(crate) fn new(folder: &Utf8Path) -> io::Result<Watch> {
            let changes =
                WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE;
            let flags = changes | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
            let opened = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
                .and_then(|inotify| add_watch(&inotify, folder.as_std_path(), flags).map(|_| inotify));
            match opened {
                Ok(inotify) => Ok(Watch { inotify: Some(inotify) }),
                // Each user has few of them, and editors and containers use them up.
                Err(Errno::MFILE | Errno::NFILE | Errno::NOSPC | Errno::NOMEM | Errno::NOSYS) => {
                    Ok(Watch { inotify: None })
                }
                Err(error) => Err(error.into()),
            }
        }

        /// Returns when something changed since the last call, or after `limit`.
        pub(crate) fn wait(&mut self, limit: Duration) -> io::Result<()> {
            let limit = crate::process::timespec(limit);
            let mut watched: Vec<_> =
                self.inotify.iter().map(|inotify| PollFd::new(inotify, PollFlags::IN)).collect();
            match poll(&mut watched, Some(&limit)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(inotify) = &self.inotify else { return Ok(()) };
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = Reader::new(inotify, &mut buffer);
            loop {
                match events.next() {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(Errno::WOULDBLOCK) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::io;
    use std::time::Duration;

    use camino::Utf8Path;
    use rustix::event::poll;
    use rustix::io::Errno;

    /// Nothing watches here: every wait is the backstop of its caller.
    pub(crate) struct Watch {}

    impl Watch {
        pub(crate) fn new(folder: &Utf8Path) -> io::Result<Watch> {
            std::fs::read_dir(folder).map(|_| Watch {})
        }

        /// Returns after `limit`.
        pub(crate) fn wait(&mut self, limit: Duration) -> io::Result<()> {
            match poll(&mut [], Some(&crate::process::timespec(limit))) {
                Ok(_) | Err(Errno::INTR) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
    }
}
