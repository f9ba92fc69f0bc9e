//! What is asked of the system in one way on Linux and in another elsewhere.

/// The id of this boot of the machine: what was started under another one cannot still run.
///
/// # Errors
/// What the system says, if it does not tell.
pub fn boot_id() -> std::io::Result<String> {
    system::boot_id()
}

/// Which numbers of processes are meant: those of another namespace, as a container has one, name others. `None` where
/// there is only one.
pub(crate) fn pid_namespace() -> std::io::Result<Option<u64>> {
    system::pid_namespace()
}

/// Bytes of all arguments and variables that one process can be given.
pub(crate) fn arguments_bytes_max() -> u64 {
    system::arguments_bytes_max()
}

#[cfg(target_os = "linux")]
mod system {
    use std::{fs, io};

    use rustix::process::{Resource, getrlimit};

    /// The kernel takes a quarter of the stack's limit, but never less nor more than this.
    const LEAST_BYTES: u64 = 128 * 1024;
    const MOST_BYTES: u64 = 6 * 1024 * 1024;

    pub(super) fn boot_id() -> io::Result<String> {
        Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
    }

    pub(super) fn pid_namespace() -> io::Result<Option<u64>> {
        use std::os::unix::fs::MetadataExt;
        Ok(Some(fs::metadata("/proc/self/ns/pid")?.ino()))
    }

    pub(super) fn arguments_bytes_max() -> u64 {
        let stack_bytes = getrlimit(Resource::Stack).current.unwrap_or(u64::MAX);
        (stack_bytes / 4).clamp(LEAST_BYTES, MOST_BYTES)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::process::Command;

    /// `ARG_MAX` of macOS.
    const MOST_BYTES: u64 = 1024 * 1024;

    pub(super) fn boot_id() -> io::Result<String> {
        let output = Command::new("sysctl").args(["-n", "kern.bootsessionuuid"]).output()?;
        match String::from_utf8_lossy(&output.stdout).trim() {
            "" => Err(io::Error::other("sysctl does not tell kern.bootsessionuuid")),
            id => Ok(id.to_owned()),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it can fail on Linux")]
    pub(super) fn pid_namespace() -> io::Result<Option<u64>> {
        Ok(None)
    }

    pub(super) fn arguments_bytes_max() -> u64 {
        MOST_BYTES
    }
}
