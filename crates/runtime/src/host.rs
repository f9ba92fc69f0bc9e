//! Which machine this is.

use std::time::Duration;

use backstay_log::HostId;
use backstay_model::Digest;

/// How long an owner that was killed may take to be gone.
const DYING: Duration = Duration::from_millis(500);

/// The name of this machine, as the kernel knows it.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The id of this machine, which stays when its name changes. It is derived from the machine's own, as machine-id(5) asks; where
/// there is none, from its name.
#[must_use]
pub(crate) fn host_id() -> HostId {
    const FILE: &str = "/etc/machine-id";
    let machine = std::fs::read_to_string(FILE).map(|text| text.trim().to_owned());
    let machine = match machine {
        Ok(text) if !text.is_empty() => text,
        Ok(_) => host_name(),
        Err(error) => {
            tracing::debug!(%error, "{FILE} cannot be read; the machine is known by its name");
            host_name()
        }
    };
    HostId::new(Digest::of(format!("backstay host {machine}").as_bytes()).to_string())
}

/// Waits for the end of a process of this machine that may be dying. True if it is gone; where the platform cannot tell,
/// or it lives on, false.
pub(crate) async fn is_gone_soon(pid: u32) -> bool {
    match tokio::task::spawn_blocking(move || process::ends_within(pid, DYING)).await {
        Ok(is_gone) => is_gone,
        Err(error) => {
            tracing::debug!(%error, "the thread that waits for a process died");
            false
        }
    }
}

#[cfg(target_os = "linux")]
mod process {
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    /// A pidfd can be read once its process has ended, which is after its files were closed (pidfd_open(2)).
    pub(super) fn ends_within(pid: u32, bound: Duration) -> bool {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(error) => return error == rustix::io::Errno::SRCH,
        };
        let bound = Timespec::try_from(bound).unwrap_or_default();
        poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&bound)).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(not(target_os = "linux"))]
mod process {
    use std::time::Duration;

    pub(super) fn ends_within(_pid: u32, _bound: Duration) -> bool {
        false
    }
}
