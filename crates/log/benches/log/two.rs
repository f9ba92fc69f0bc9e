//! Two processes that append to one store, one writer each, against one process alone.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use backstay_log::prelude::*;
use backstay_log::{Durability, OpenOptions, SqliteLog};
use backstay_model::Payload;

use crate::harness::{Outcome, Samples, batch, now, payload_text, topic_names};
use crate::jobs::{Rounds, Size};
use crate::table::{Bound, Row};

/// The first argument of a process that appends for another one.
pub(crate) const WRITER: &str = "--writer";

/// Appends when told to by a line on stdin; prints its times in ns.
#[expect(clippy::disallowed_methods, reason = "the process that started this one reads its times")]
pub(crate) fn writer(store: &str, count: usize) -> Outcome<()> {
    let log = SqliteLog::open(Path::new(store), OpenOptions::default())?;
    let topics = topic_names(crate::harness::TOPICS)?;
    let payload = Payload::from_text(payload_text())?;
    println!("ready");
    std::io::stdin().lock().read_line(&mut String::new())?;
    let mut times = Vec::with_capacity(count);
    let began = now();
    for number in 0..count {
        let began = now();
        log.submit(batch(&topics[number % topics.len()], &payload, Durability::Synced)).wait()?;
        times.push(began.elapsed().as_nanos());
    }
    let total = began.elapsed().as_nanos();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{total}")?;
    times.iter().try_for_each(|time| writeln!(out, "{time}"))?;
    Ok(())
}

fn together(processes: usize, count: usize) -> Outcome<Samples> {
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("store");
    drop(SqliteLog::open(&store, OpenOptions::default())?);
    let start = || -> Outcome<(Child, BufReader<std::process::ChildStdout>)> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([WRITER, store.to_str().ok_or("a path without UTF-8")?, &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        said.read_line(&mut String::new())?;
        Ok((child, said))
    };
    let mut children = (0..processes).map(|_| start()).collect::<Outcome<Vec<_>>>()?;
    for (child, _) in &mut children {
        child.stdin.take().ok_or("no stdin")?.write_all(b"go\n")?;
    }
    let mut samples = Samples::default();
    for (mut child, said) in children {
        let mut lines = said.lines();
        let nanos = |line: Option<std::io::Result<String>>| -> Outcome<Option<u64>> {
            Ok(line.transpose()?.map(|line| line.parse()).transpose()?)
        };
        let total = nanos(lines.next())?.ok_or("a writer died")?;
        samples.total = samples.total.max(std::time::Duration::from_nanos(total));
        while let Some(time) = nanos(lines.next())? {
            samples.times.push(std::time::Duration::from_nanos(time));
        }
        child.wait()?;
    }
    Ok(samples)
}

pub(crate) fn processes(size: Size) -> Outcome<Vec<Row>> {
    let (mut one, mut two) = (Rounds::default(), Rounds::default());
    for _ in 0..size.rounds {
        one.push(together(1, size.alone)?);
        two.push(together(2, size.alone)?);
    }
    let spread = two.percentile_us(0.99) / two.percentile_us(0.5);
    Ok(vec![
        Row::rate("J1 one process, N=1".to_owned(), &one),
        Row::rate("J1 two processes, N=1 each, together".to_owned(), &two)
            .against(one.rate())
            .goal(Some(Bound::AtLeast(0.8))),
        Row::ratio("J1 two processes, p99 by p50".to_owned(), spread).goal(Some(Bound::AtMost(10.0))),
    ])
}
