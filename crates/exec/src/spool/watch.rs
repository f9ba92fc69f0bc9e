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

    /// A watch on the files of one folder.
    pub(crate) struct Watch {
        inotify: OwnedFd,
    }

    impl Watch {
        pub(crate) fn new(folder: &Utf8Path) -> io::Result<Watch> {
            let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            let changes =
                WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE;
            add_watch(
                &inotify,
                folder.as_std_path(),
                changes | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW,
            )?;
            Ok(Watch { inotify })
        }

        /// Returns when something changed since the last call, or after `limit`.
        pub(crate) fn wait(&mut self, limit: Duration) -> io::Result<()> {
            let limit = crate::process::timespec(limit);
            match poll(&mut [PollFd::new(&self.inotify, PollFlags::IN)], Some(&limit)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = Reader::new(&self.inotify, &mut buffer);
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
