//! Which calls fail.

use std::ffi::c_int;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::images::{self, Image};

/// What a call does to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Fsync,
    Fdatasync,
    Read,
    Write,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// With this error number, and nothing done.
    Error(c_int),
    /// With the first half done.
    Half,
}

struct Rule {
    calls: &'static [Call],
    file: String,
    first: u64,
    and_later: bool,
    errno: c_int,
    seen: AtomicU64,
    was_halved: AtomicBool,
}

struct Plan {
    under: PathBuf,
    told: Option<PathBuf>,
    images: Option<PathBuf>,
    rules: Vec<Rule>,
}

thread_local! {
    /// Set while this library itself uses files.
    static IS_INSIDE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The fault of this call on `fd`, if the plan has one.
pub(crate) fn fault(call: Call, fd: c_int) -> Option<Fault> {
    if IS_INSIDE.replace(true) {
        return None;
    }
    let found = plan().and_then(|plan| plan.fault(call, fd));
    IS_INSIDE.set(false);
    found
}

/// The image of the file of `fd`, if images are wanted. To be taken before the flush.
pub(crate) fn image(fd: c_int) -> Option<Image> {
    if IS_INSIDE.replace(true) {
        return None;
    }
    let taken = plan().and_then(|plan| images::before(&plan.under, plan.images.as_ref()?, fd));
    IS_INSIDE.set(false);
    taken
}

/// The flush of an image is over.
pub(crate) fn settle(image: Option<Image>, succeeded: bool) {
    let was_inside = IS_INSIDE.replace(true);
    if let Some(image) = image {
        image.settle(succeeded);
    }
    IS_INSIDE.set(was_inside);
}

/// What the wall clock is wrong by, in seconds.
pub(crate) fn clock_offset_s() -> i64 {
    static OFFSET_S: OnceLock<i64> = OnceLock::new();
    *OFFSET_S.get_or_init(|| {
        let Some(text) = std::env::var_os("BACKSTAY_FAULTS_CLOCK_S") else { return 0 };
        text.to_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            eprintln!("backstay-faults: {} is no number of seconds", text.display());
            std::process::abort()
        })
    })
}

fn plan() -> Option<&'static Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    PLAN.get_or_init(|| {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        let under = path("BACKSTAY_FAULTS_UNDER")?;
        let text = std::env::var_os("BACKSTAY_FAULTS").unwrap_or_default().into_string().ok()?;
        let rules = text.split(';').filter(|rule| !rule.is_empty()).map(rule).collect();
        let (told, images) = (path("BACKSTAY_FAULTS_TOLD"), path("BACKSTAY_FAULTS_IMAGES"));
        Some(Plan { under, told, images, rules })
    })
    .as_ref()
}

/// A plan that is not understood is a defect of the test that wrote it.
fn rule(text: &str) -> Rule {
    let misread = || -> ! {
        eprintln!("backstay-faults: `{text}` is not a rule");
        std::process::abort()
    };
    let parts: Vec<&str> = text.split(':').collect();
    let [call, file, which, error] = parts[..] else { misread() };
    let calls: &[Call] = match call {
        "flush" => &[Call::Fsync, Call::Fdatasync],
        "fsync" => &[Call::Fsync],
        "fdatasync" => &[Call::Fdatasync],
        "read" => &[Call::Read],
        "write" => &[Call::Write],
        _ => misread(),
    };
    let errno = match error {
        "EIO" => libc::EIO,
        "ENOSPC" => libc::ENOSPC,
        _ => misread(),
    };
    let and_later = which.ends_with('+');
    let Ok(first) = which.trim_end_matches('+').parse() else { misread() };
    Rule {
        calls,
        file: file.to_owned(),
        first,
        and_later,
        errno,
        seen: AtomicU64::new(0),
        was_halved: AtomicBool::new(false),
    }
}

impl Plan {
    fn fault(&self, call: Call, fd: c_int) -> Option<Fault> {
        let mut rules = self.rules.iter().filter(|rule| rule.calls.contains(&call)).peekable();
        rules.peek()?;
        let path = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
        if !path.starts_with(&self.under) {
            return None;
        }
        let name = path.to_string_lossy();
        let rule = rules.find(|rule| name.ends_with(&rule.file))?;
        let number = rule.seen.fetch_add(1, Ordering::SeqCst) + 1;
        if number != rule.first && !(rule.and_later && number > rule.first) {
            return None;
        }
        self.tell(call, &name);
        let halves = call == Call::Write && rule.errno == libc::ENOSPC;
        if halves && !rule.was_halved.swap(true, Ordering::SeqCst) {
            return Some(Fault::Half);
        }
        Some(Fault::Error(rule.errno))
    }

    fn tell(&self, call: Call, name: &str) {
        let Some(told) = &self.told else { return };
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(told)
            .and_then(|mut file| file.write_all(format!("{call:?} {name}\n").as_bytes()));
        if let Err(error) = written {
            eprintln!("backstay-faults: {error}");
        }
    }
}
