//! The calls that stand before those of libc.

use std::ffi::{CStr, c_int, c_void};
use std::sync::OnceLock;

use libc::{clockid_t, off_t, off64_t, size_t, ssize_t, timespec};

use crate::plan::{Call, Fault, clock_offset_s, fault, image, settle};

/// The next function of this name, as the loader has it behind this library.
///
/// # Safety
/// `F` is the type of that function.
unsafe fn next<F: Copy>(name: &CStr, kept: &OnceLock<usize>) -> F {
    let found = *kept.get_or_init(|| {
        // SAFETY: the name ends with a zero byte; `dlsym` only looks it up.
        unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) as usize }
    });
    assert!(found != 0, "libc has every call that stands here");
    assert!(size_of::<F>() == size_of::<usize>(), "a function's address");
    // SAFETY: it is the address of a function of type `F`, as the caller says.
    unsafe { std::mem::transmute_copy(&found) }
}

fn fail(errno: c_int) {
    // SAFETY: the address of this thread's error number is always there.
    unsafe { *libc::__errno_location() = errno };
}

macro_rules! flushes {
    ($($call:ident $name:ident;)*) => {$(
        /// # Safety
        /// As the call of libc.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(fd: c_int) -> c_int {
            static NEXT: OnceLock<usize> = OnceLock::new();
            if let Some(Fault::Error(errno)) = fault(Call::$call, fd) {
                fail(errno);
                return -1;
            }
            let name = concat!(stringify!($name), "\0");
            let image = image(fd);
            // SAFETY: it has the type of this one, and gets what this one got.
            let flushed = unsafe {
                let call: unsafe extern "C" fn(c_int) -> c_int =
                    next(CStr::from_bytes_with_nul_unchecked(name.as_bytes()), &NEXT);
                call(fd)
            };
            settle(image, flushed == 0);
            flushed
        }
    )*};
}

macro_rules! transfers {
    ($($call:ident $name:ident($pointer:ty $(, $place:ident: $offset:ty)?);)*) => {$(
        /// # Safety
        /// As the call of libc.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(fd: c_int, bytes: $pointer, count: size_t $(, $place: $offset)?) -> ssize_t {
            static NEXT: OnceLock<usize> = OnceLock::new();
            let count = match fault(Call::$call, fd) {
                Some(Fault::Error(errno)) => {
                    fail(errno);
                    return -1;
                }
                Some(Fault::Half) if count < 2 => {
                    fail(libc::ENOSPC);
                    return -1;
                }
                Some(Fault::Half) => count / 2,
                None => count,
            };
            let name = concat!(stringify!($name), "\0");
            // SAFETY: it has the type of this one, and gets what this one got, or fewer bytes of it.
            unsafe {
                let call: unsafe extern "C" fn(c_int, $pointer, size_t $(, $offset)?) -> ssize_t =
                    next(CStr::from_bytes_with_nul_unchecked(name.as_bytes()), &NEXT);
                call(fd, bytes, count $(, $place)?)
            }
        }
    )*};
}

flushes! {
    Fsync fsync;
    Fdatasync fdatasync;
}

transfers! {
    Read read(*mut c_void);
    Read pread(*mut c_void, at: off_t);
    Read pread64(*mut c_void, at: off64_t);
    Write write(*const c_void);
    Write pwrite(*const c_void, at: off_t);
    Write pwrite64(*const c_void, at: off64_t);
}

/// # Safety
/// As the call of libc.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, now: *mut timespec) -> c_int {
    static NEXT: OnceLock<usize> = OnceLock::new();
    // SAFETY: it has the type of this one, and gets what this one got.
    let read = unsafe {
        let call: unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int = next(c"clock_gettime", &NEXT);
        call(clock, now)
    };
    if read == 0 && clock == libc::CLOCK_REALTIME {
        // SAFETY: the call succeeded, so the caller's structure is there and filled.
        unsafe { (*now).tv_sec += clock_offset_s() };
    }
    read
}
