//! Gates: where a step waits for the test.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::sync::mpsc;

use camino::Utf8PathBuf;

use crate::PATIENCE;

/// A FIFO by which a step and a test meet.
#[derive(Clone, Debug)]
pub struct Gate {
    path: Utf8PathBuf,
}

impl Gate {
    pub(crate) fn new(path: Utf8PathBuf) -> Gate {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, path.as_std_path(), mode)
            .expect("a FIFO can be made in a fresh folder");
        Gate { path }
    }

    /// The path, for scripts.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_str()
    }

    /// Waits until the step has written to the gate; gives what it wrote.
    #[must_use]
    pub fn wait(&self) -> String {
        self.within_patience(|path| {
            let mut text = String::new();
            let mut file = OpenOptions::new().read(true).open(path).expect("the gate is there");
            file.read_to_string(&mut text).expect("a step writes text");
            text
        })
    }

    /// Lets the step go on that reads the gate; waits until there is one.
    pub fn open(&self) {
        self.within_patience(|path| {
            let mut file = OpenOptions::new().write(true).open(path).expect("the gate is there");
            file.write_all(b"go\n").expect("the step reads");
        });
    }

    /// Opening a FIFO waits for the other side, for ever if it never comes: so it happens on a thread that is left.
    fn within_patience<T: Send + 'static>(&self, work: impl FnOnce(&Utf8PathBuf) -> T + Send + 'static) -> T {
        let (done, end) = mpsc::channel();
        let path = self.path.clone();
        std::thread::spawn(move || done.send(work(&path)));
        match end.recv_timeout(PATIENCE) {
            Ok(output) => output,
            Err(error) => panic!("nobody came to the gate {}: {error}", self.path),
        }
    }
}
