//! Files below a folder whose content others may have chosen, such as a store that came with a cloned repository.
//!
//! A [`Dir`] is a handle of one folder. Every name is looked up below it and no symbolic link is followed on the way, so
//! nothing outside is read, written or removed. What is opened is a regular file: a FIFO, a socket or a device in its place
//! is an error at once and is never waited for. What is written has no second name elsewhere. New folders have the mode 0700
//! and new files 0600, whatever the umask.
//!
//! A process of the same user that exchanges folders in the very moment of a call is not defended against.

mod dir;
mod refused;
mod resolve;
mod shell_word;
mod status;
mod watch;

pub use dir::{Dir, Flush, if_there, read_regular, read_regular_with_metadata, real_path};
pub use refused::Refused;
pub use shell_word::shell_word;
pub use status::{Entry, FileKind, Status};
pub use watch::{Watch, Watched};
