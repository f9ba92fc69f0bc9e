//! Faults of the disk, for tests: put before libc by `LD_PRELOAD`, it lets chosen calls on chosen files fail.
//!
//! `BACKSTAY_FAULTS_UNDER` is the folder whose files are meant. `BACKSTAY_FAULTS` is the plan: rules `CALL:FILE:WHICH:ERROR`
//! with `;` between them.
//!
//! - `CALL`: `fsync`, `fdatasync`, `flush` (both), `read` (`read`, `pread`) or `write` (`write`, `pwrite`).
//! - `FILE`: how the file's path ends.
//! - `WHICH`: `3` is the third such call of the process, `3+` the third and all that follow.
//! - `ERROR`: `EIO` or `ENOSPC`. The first write that fails with `ENOSPC` still writes its first half.
//!
//! `BACKSTAY_FAULTS_IMAGES` names a folder for images: of each file `log.db…` a copy as of its last flush that succeeded. Put in
//! the place of the files they are what a loss of power leaves at worst.
//!
//! `BACKSTAY_FAULTS_CLOCK_S` moves the wall clock by so many seconds, back where it is negative.
//!
//! Each fault adds a line (`CALL PATH`) to the file that `BACKSTAY_FAULTS_TOLD` names, so that a test knows that it came.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod images;
#[cfg(target_os = "linux")]
mod plan;
