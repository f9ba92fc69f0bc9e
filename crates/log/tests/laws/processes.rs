//! The laws across processes. A test starts copies of itself, each with a role, and kills some of them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use backstay_log::prelude::*;
use backstay_log::{
    AppendError, Authority, Batch, ClaimError, ClaimMode, HostId, OpenOptions, OwnerIdentity, SqliteLog,
    TopicAppend,
};
use backstay_model::event::ClaimReason;
use backstay_model::{Delivery, OwnerId, Position, Recorded, Seq};
use rusqlite::Connection;

use crate::support::{all_tests, append, batch, buffered, events, now, owner, read_by, topic};

const ROLE: &str = "BACKSTAY_LAW_ROLE";
const STORE: &str = "BACKSTAY_LAW_STORE";
const NAME: &str = "BACKSTAY_LAW_NAME";
/// How many index entries may wait in the child's memory.
pub(crate) const WAITING: &str = "BACKSTAY_LAW_WAITING";
/// Topics that the writers of L19 share.
const TOPICS: usize = 256;

#[expect(clippy::disallowed_methods, reason = "a child process is told its role by its environment")]
pub(crate) fn told(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Not a law: what the child processes do.
#[test]
#[ignore = "a role that the laws give to their child processes"]
fn child_process() {
    let (Some(role), Some(store), Some(name)) = (told(ROLE), told(STORE), told(NAME)) else { return };
    let waiting = told(WAITING).map_or(OpenOptions::default().index_waiting_max, |max| max.parse().unwrap());
    let options =
        OpenOptions { index_waiting_max: waiting, pack_after: Duration::ZERO, ..OpenOptions::default() };
    let log = SqliteLog::open(Path::new(&store), options).unwrap();
    match role.as_str() {
        "append" => append_for_ever(&log, &name),
        "pairs" => append_pairs_for_ever(&log, &name),
        "paced" => append_when_told(&log),
        "mixed" => crate::kills::append_mixed(&log, &name),
        "trim" => crate::retention::end_and_trim(&log),
        "followed" => crate::large::fill_while_followed(&log),
        "obey" => crate::model::obey(&log, &name),
        #[cfg(target_os = "linux")]
        "flushed" => crate::disk::append_flushed(&log, &name),
        "own" => own_until_told(&log, &name),
        other => panic!("no role {other}"),
    }
}

/// Appends to the topics in turn, four batches under way, and says each number that was acknowledged.
fn append_for_ever(log: &SqliteLog, name: &str) {
    let mut waiting = std::collections::VecDeque::new();
    for number in 0_usize.. {
        let of = format!("t{}", number * 7 % TOPICS);
        let ticket = log.submit(buffered(batch(&of, Authority::Exclusive, &[&format!("{name}.{number}")])));
        waiting.push_back((of, number, ticket));
        if waiting.len() > 4 {
            let (of, number, ticket) = waiting.pop_front().unwrap();
            let appended = ticket.wait().unwrap();
            println!("ack {of} {} {name}.{number}", appended.topics[0].first);
        }
    }
}

/// Appends one event to each of two topics, together, and says which pair was acknowledged.
fn append_pairs_for_ever(log: &SqliteLog, name: &str) {
    for number in 0_u64.. {
        let text = format!("{name}.{number}");
        let appends = ["left", "right"]
            .map(|of| TopicAppend::new(topic(of), Authority::Exclusive, events(&[&text, &text])));
        let made = Batch { appends: appends.into(), ..batch("left", Authority::Exclusive, &[]) };
        // Every second one only has to survive the process, not the power.
        let made = if number % 2 == 0 { made } else { buffered(made) };
        log.submit(made).wait().unwrap();
        println!("ack {number}");
    }
}

/// Appends one event for each line on its input.
fn append_when_told(log: &SqliteLog) {
    println!("ready");
    for line in std::io::stdin().lines() {
        append(log, "a", &[&line.unwrap()]);
    }
}

/// Claims a topic and keeps it until it dies or its input ends; says what became of its last append.
fn own_until_told(log: &SqliteLog, name: &str) {
    let owner: OwnerId = name.parse().unwrap();
    let host_id = HostId::new("h1".to_owned());
    let identity = OwnerIdentity { owner, host: "here".to_owned(), host_id, pid: std::process::id() };
    let guard = backstay_log::ticket::block_on(log.register_owner(identity)).unwrap();
    let claimed = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree);
    let claimed = backstay_log::ticket::block_on(claimed).unwrap();
    println!("claimed {}", claimed.epoch);
    for line in std::io::stdin().lines() {
        line.unwrap();
        let late = log.submit(batch("a", Authority::Owner(owner, claimed.epoch), &["late"])).wait();
        println!("late {}", matches!(late, Err(AppendError::Fenced { .. })));
    }
}

/// A child process and what it says.
pub(crate) struct Process {
    pub(crate) child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(role: &str, store: &Path, name: &str) -> Process {
        Process::start_with(role, store, name, &[])
    }

    /// Starts a copy of this process with a role, and more variables.
    pub(crate) fn start_with(role: &str, store: &Path, name: &str, more: &[(&str, &str)]) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .envs(more.iter().copied())
            .args(["--ignored", "--exact", "--nocapture", "processes::child_process"])
            .env(ROLE, role)
            .env(STORE, store)
            .env(NAME, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Process { child, said }
    }

    /// What follows `word` in the next line that begins with it, if there is another one.
    pub(crate) fn hear(&mut self, word: &str) -> Option<String> {
        self.said
            .by_ref()
            .map(|line| line.unwrap())
            .find_map(|line| line.strip_prefix(word).map(|rest| rest.trim().to_owned()))
    }

    /// What it said until it was killed with SIGKILL, line by line.
    pub(crate) fn kill(mut self, word: &str) -> Vec<String> {
        assert_eq!(self.child.try_wait().unwrap(), None, "it ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.hear(word)).collect()
    }

    pub(crate) fn tell(&mut self, line: &str) {
        use std::io::Write;
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

pub(crate) fn open(store: &Path) -> SqliteLog {
    SqliteLog::open(store, OpenOptions::default()).unwrap()
}

pub(crate) fn check_database(store: &Path) {
    let database = Connection::open(store.join("log.db")).unwrap();
    let verdict: String = database.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

pub(crate) async fn everything(log: &SqliteLog) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    loop {
        let after = all.last().map_or(Position(0), |last| last.g);
        let page = log.read_all(after, 1_000).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

#[tokio::test]
async fn l5_l7_kill_9_leaves_whole_batches_and_everything_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut heads = 0;
    for round in 0..8_u64 {
        let mut process = Process::start("pairs", folder.path(), &round.to_string());
        // Killed at another moment each time: after so many acknowledgements, in the middle of the next append.
        for _ in 0..=round * 5 {
            process.hear("ack").unwrap();
        }
        process.kill("ack");
        let log = open(folder.path());
        let (left, right) = (read_by(&log, "left", 100).await, read_by(&log, "right", 100).await);
        let told = |events: &[Recorded]| {
            events.iter().map(|event| event.payload.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(told(&left), told(&right), "round {round}");
        assert_eq!(left.len() % 2, 0, "both events of a batch or none");
        let appended = (left.len() as u64) / 2 - heads;
        assert!(appended > round * 5, "round {round}: {appended} are there");
        heads = left.len() as u64 / 2;
        append(&log, "after", &["the next append works"]);
    }
    check_database(folder.path());
}

#[tokio::test]
async fn l7_a_torn_tail_is_cut_and_the_next_append_works() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start("pairs", folder.path(), "x");
    for _ in 0..5 {
        process.hear("ack").unwrap();
    }
    let acknowledged = 5 + process.kill("ack").len();
    let pending_index = folder.path().join("log.db-wal");
    let mut wal = std::fs::File::options().append(true).open(pending_index).unwrap();
    wal.write_all(&[0xa5; 3_000]).unwrap();
    let log = open(folder.path());
    assert!(read_by(&log, "left", 100).await.len() >= 2 * acknowledged);
    let head = log.head(&topic("left")).await.unwrap();
    assert_eq!(append(&log, "left", &["next"]).topics[0].first, head.next());
    drop(log);
    check_database(folder.path());
    assert_eq!(open(folder.path()).head(&topic("left")).await.unwrap(), head.next());
}

#[tokio::test]
async fn l11_a_subscriber_sees_what_another_process_appends() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut process = Process::start("paced", folder.path(), "x");
    process.hear("ready").unwrap();
    let mut subscription = log.follow(&topic("a"), Seq(0));
    let mut waits: Vec<Duration> = Vec::new();
    for number in 1..=40 {
        let began = now();
        process.tell(&number.to_string());
        let delivery = tokio::time::timeout(crate::suite::TIMEOUT, subscription.next()).await.unwrap();
        assert!(matches!(delivery.unwrap(), Delivery::Event(event) if event.seq == Seq(number)));
        waits.push(began.elapsed());
    }
    let newest = log.changed(Position(0)).await;
    process.tell("one more");
    let newer = tokio::time::timeout(crate::suite::TIMEOUT, log.changed(newest)).await.unwrap();
    assert!(newer > newest, "{newer} after {newest}");
    waits.sort();
    assert!(waits[20] < Duration::from_millis(100), "the median is {:?}", waits[20]);
    println!("l11: from telling the writer to receipt: median {:?}, greatest {:?}", waits[20], waits[39]);
    process.kill("");
}

#[tokio::test]
async fn l15_when_the_owner_dies_another_process_has_its_topic_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut process = Process::start("own", folder.path(), &owner('A').owner.to_string());
    assert_eq!(process.hear("claimed").as_deref(), Some("1"));
    let guard = log.register_owner(owner('B')).await.unwrap();
    let refused = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await;
    let pid = process.child.id();
    assert!(
        matches!(&refused, Err(ClaimError::Owned { owner, .. }) if owner.identity.pid == pid && owner.is_held()),
        "{refused:?}"
    );
    let waiting = log.claim(&topic("a"), guard.as_ref(), ClaimMode::WaitUntilFree);
    let began = now();
    process.kill("");
    let claimed = waiting.await.unwrap();
    assert_eq!((claimed.reason, claimed.epoch.0), (ClaimReason::OwnerDead, 2));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn l15_a_stopped_owner_is_not_robbed_and_is_fenced_when_it_was_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut process = Process::start("own", folder.path(), &owner('A').owner.to_string());
    process.hear("claimed").unwrap();
    let signal = |name: &str| {
        let pid = process.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    let guard = log.register_owner(owner('B')).await.unwrap();
    let refused = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await;
    assert!(matches!(refused, Err(ClaimError::Owned { .. })), "{refused:?}");
    log.claim(&topic("a"), guard.as_ref(), ClaimMode::TakeOver).await.unwrap();
    signal("-CONT");
    process.tell("append");
    assert_eq!(process.hear("late").as_deref(), Some("true"));
    process.kill("");
}

/// Lets `count` processes append for `seconds`, kills one in the middle and replaces it, then checks every number.
async fn share(count: usize, seconds: u64) {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let (done, finished) = std::sync::mpsc::channel::<()>();
    let readers: Vec<_> = (0..count)
        .map(|index| {
            let mut process = Process::start("append", folder.path(), &format!("p{index}"));
            process.hear("ack").unwrap();
            process
        })
        .map(Listener::start)
        .collect();
    // The law speaks of a span of time; nobody answers on this channel before it is over.
    let half = Duration::from_millis(seconds * 500);
    assert!(finished.recv_timeout(half).is_err());
    let victim = Process::start("append", folder.path(), "victim");
    let victim = Listener::start(victim);
    assert!(finished.recv_timeout(half).is_err());
    drop(done);
    let mut heard: Vec<Vec<String>> = vec![victim.kill()];
    heard.extend(readers.into_iter().map(Listener::kill));
    let log = open(folder.path());
    let all = everything(&log).await;
    check_numbers(&all, &heard);
    check_database(folder.path());
    let counts: Vec<_> = heard[1..].iter().map(Vec::len).collect();
    let fair = counts.iter().sum::<usize>() / count;
    println!("l19: {count} processes acknowledged {counts:?} in {seconds} s");
    assert!(counts.iter().all(|own| *own * 2 >= fair), "{counts:?}: half of {fair} each");
}

/// Reads what a process says while it runs, so that it is never held up by it.
struct Listener {
    pid: Child,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl Listener {
    fn start(process: Process) -> Listener {
        let Process { child, said } = process;
        let thread = std::thread::spawn(move || {
            said.map_while(Result::ok)
                .filter_map(|line| line.strip_prefix("ack ").map(str::to_owned))
                .collect()
        });
        Listener { pid: child, thread }
    }

    fn kill(mut self) -> Vec<String> {
        assert_eq!(self.pid.try_wait().unwrap(), None, "it ended by itself: an append failed");
        self.pid.kill().unwrap();
        self.pid.wait().unwrap();
        self.thread.join().unwrap()
    }
}

pub(crate) fn check_numbers(all: &[Recorded], heard: &[Vec<String>]) {
    let mut heads: HashMap<String, u64> = HashMap::new();
    let mut there: HashMap<(String, u64), String> = HashMap::new();
    for event in all {
        let head = heads.entry(event.topic.to_string()).or_default();
        *head += 1;
        assert_eq!(event.seq.0, *head, "{} is dense", event.topic);
        there.insert((event.topic.to_string(), event.seq.0), event.payload.decode().unwrap());
    }
    for line in heard.iter().flatten() {
        let fields: Vec<_> = line.split(' ').collect();
        // The last line of a killed process may be torn.
        let [of, number, text] = fields[..] else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        let found = there.get(&(of.to_owned(), number)).map(String::as_str).unwrap_or_default();
        assert!(found.starts_with(text), "{of} {number} was acknowledged as {text} and is {found}");
    }
}

#[tokio::test]
async fn l19_two_and_then_four_processes_share_the_topics() {
    let seconds = if all_tests() { 10 } else { 3 };
    share(2, seconds).await;
    share(4, seconds).await;
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn l7_a_process_that_aborts_at_any_point_of_an_append_loses_nothing_acknowledged() {
    for point in ["log.append.before", "log.append.before_commit", "log.append.after_commit"] {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--ignored", "--exact", "--nocapture", "processes::child_process"])
            .env(ROLE, "pairs")
            .env(STORE, folder.path())
            .env(NAME, "x")
            .env(backstay_log::crash::CRASH_POINT_VARIABLE, format!("{point}:4"));
        let ended = child.output().unwrap();
        assert!(!ended.status.success(), "{point} was not reached");
        let said = String::from_utf8_lossy(&ended.stdout);
        let acknowledged = said.lines().filter(|line| line.starts_with("ack")).count();
        assert_eq!(acknowledged, 3, "{point}");
        let log = open(folder.path());
        let expected = if point == "log.append.after_commit" { 8 } else { 6 };
        assert_eq!(read_by(&log, "left", 100).await.len(), expected, "{point}");
        assert_eq!(read_by(&log, "right", 100).await.len(), expected, "{point}");
        append(&log, "left", &["goes on"]);
    }
}
