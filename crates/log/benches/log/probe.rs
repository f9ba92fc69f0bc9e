//! The limit: raw write and `fdatasync` of the same bytes into a file that is there already.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use crate::harness::{Outcome, PAYLOAD_BYTES, Samples, now};

const PROBES: usize = 400;

pub(crate) fn probe() -> Outcome<Samples> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("probe"))?;
    file.write_all(&vec![0; PROBES * PAYLOAD_BYTES])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let bytes = vec![b'x'; PAYLOAD_BYTES];
    let mut samples = Samples::default();
    let began = now();
    for _ in 0..PROBES {
        let began = now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        samples.times.push(began.elapsed());
    }
    samples.total = began.elapsed();
    Ok(samples)
}
