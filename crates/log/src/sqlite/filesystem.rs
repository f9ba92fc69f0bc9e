//! Which file systems can hold a store.

use std::path::Path;

use crate::error::{OpenError, StoreError};

/// Refuses file systems on which locks or shared memory do not hold between machines, where the system can tell.
pub(super) fn refuse_network(path: &Path) -> Result<(), OpenError> {
    let found = rustix::fs::statfs(path).map_err(|source| {
        OpenError::Store(StoreError::Io {
            action: "ask for the file system of",
            location: path.into(),
            source: std::io::Error::from(source).into(),
        })
    })?;
    match network_kind(&found) {
        Some(kind) => Err(OpenError::NetworkFileSystem { location: path.into(), kind }),
        None => Ok(()),
    }
}

/// Names the network file system, by the magic numbers of `statfs(2)`.
///
/// 9P is refused too: the shared folders of virtual machines are made of it, and neither `flock` nor shared memory
/// reaches the other side. FUSE is taken: most of it is local, and nothing tells which is not.
#[cfg(target_os = "linux")]
fn network_kind(found: &rustix::fs::StatFs) -> Option<&'static str> {
    magic_kind(u32::try_from(found.f_type & 0xffff_ffff).unwrap_or(0))
}

#[cfg(target_os = "linux")]
const fn magic_kind(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB 2",
        0x0102_1997 => "9P",
        0x5346_414f => "AFS",
        0x00c3_6400 => "Ceph",
        0x0bd0_0bd0 => "Lustre",
        0x564c => "NCP",
        _ => return None,
    })
}

/// macOS says of every mount whether it is local (`MNT_LOCAL`).
#[cfg(target_os = "macos")]
fn network_kind(found: &rustix::fs::StatFs) -> Option<&'static str> {
    const MNT_LOCAL: u32 = 0x1000;
    (found.f_flags & MNT_LOCAL == 0).then_some("not a local one")
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn network_kind(_found: &rustix::fs::StatFs) -> Option<&'static str> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_told_and_local_ones_taken() {
        const EXT4: u32 = 0xef53;
        const TMPFS: u32 = 0x0102_1994;
        assert_eq!(magic_kind(0x6969), Some("NFS"));
        assert_eq!(magic_kind(0xff53_4d42), Some("CIFS"));
        assert_eq!(magic_kind(EXT4), None);
        assert_eq!(magic_kind(TMPFS), None);
        assert!(refuse_network(Path::new("/proc")).is_ok());
    }
}
