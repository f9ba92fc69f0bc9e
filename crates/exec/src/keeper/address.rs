//! Where owners find the keeper, and how it listens anew where its socket was removed.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;

use backstay_files::Dir;
use camino::{Utf8Path, Utf8PathBuf};

use crate::files;
use crate::keeper_client::sockets;
use crate::record::KeeperFile;

/// Sockets that one keeper makes at most.
const SOCKETS_MAX: u8 = u8::MAX;

/// What `keeper.json` says, and what it says it by.
pub(super) struct Address {
    folder: Dir,
    /// The folders that a socket may be in, the best first.
    socket_folders: Vec<Utf8PathBuf>,
    pub(super) file: KeeperFile,
    /// The device and the inode of the socket.
    inode: (u64, u64),
}

/// A socket that somebody can connect to.
struct Bound {
    path: Utf8PathBuf,
    listener: UnixListener,
    inode: (u64, u64),
}

impl Address {
    /// Listens, and takes down where in `file`.
    pub(super) fn listen(
        folder: &Dir,
        socket_folders: Vec<Utf8PathBuf>,
        mut file: KeeperFile,
    ) -> io::Result<(UnixListener, Address)> {
        let Bound { path, listener, inode } = bind(&socket_folders, &file.mark)?;
        file.socket = path;
        Ok((listener, Address { folder: folder.clone(), socket_folders, file, inode }))
    }

    /// Listens anew if the socket is not there any more, and writes down where.
    pub(super) fn renew(&mut self) -> io::Result<Option<UnixListener>> {
        if inode(&self.file.socket).is_ok_and(|found| found == self.inode) {
            return Ok(None);
        }
        let Bound { path, listener, inode } = bind(&self.socket_folders, &self.file.mark)?;
        self.file.socket = path;
        self.inode = inode;
        self.write()?;
        Ok(Some(listener))
    }

    /// Writes `keeper.json`.
    pub(super) fn write(&self) -> io::Result<()> {
        files::replace(&self.folder, files::KEEPER, &self.file)
    }
}

fn bind(folders: &[Utf8PathBuf], mark: &str) -> io::Result<Bound> {
    let folder = sockets::private_folder(folders)?;
    for number in 0..SOCKETS_MAX {
        let path = folder.join(sockets::name(mark, number));
        match UnixListener::bind(&path) {
            Ok(listener) => {
                let inode = inode(&path)?;
                return Ok(Bound { path, listener, inode });
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn inode(path: &Utf8Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}
