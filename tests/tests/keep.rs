//! The owner that keeps: it takes what is due, waits for what may become due, and leaves.

use std::time::Duration;

use backstay_engine::record::RunStatus;
use backstay_log::{Authority, Batch, NewEvent, TopicAppend, TopicFilter};
use backstay_model::event::{InputEvent, ResumeRequested};
use backstay_model::{Payload, RunId, Scope, Topic};
use backstay_runtime::{Kept, StopSwitch, Store};
use backstay_tests::library::{actor, open, owner, request};
use backstay_tests::{PATIENCE, World, block_on};

/// Into the two seconds for which an owner with nothing to do stays, and not to their end.
const INTO_THE_LINGER: Duration = Duration::from_millis(900);
/// Longer than an owner with nothing to do stays.
const BEYOND_THE_LINGER: Duration = Duration::from_millis(2_600);

const FLOW: &str = "backstay: 1\nname: kept\nsteps:\n  - {id: one, run: echo one}\n";

async fn status(store: &Store, run: RunId) -> RunStatus {
    store.view(run).await.expect("it can be read").record.status
}

#[test]
fn an_owner_that_keeps_works_on_all_that_is_due_and_leaves() {
    let world = World::new();
    block_on(async {
        let store = open(&world).await;
        let mut runs = Vec::new();
        for n in 0..3 {
            let flow = format!("backstay: 1\nname: kept\nsteps:\n  - {{id: one, run: \"echo {n}\"}}\n");
            runs.push(request(&store, &world, &flow).await);
        }
        let owner = owner(&store).await;
        owner.keep(Kept::All, &StopSwitch::default()).await.expect("the runs can be listed");
        for run in runs {
            assert_eq!(store.view(run).await.expect("it can be read").record.status, RunStatus::Completed);
        }
    });
}

#[test]
fn an_owner_with_nothing_to_do_stays_a_moment_and_takes_what_comes() {
    let world = World::new();
    block_on(async {
        let store = open(&world).await;
        let owner = owner(&store).await;
        let switch = StopSwitch::default();
        let late = async {
            let first = request(&store, &world, FLOW).await;
            tokio::time::sleep(INTO_THE_LINGER).await;
            (first, request(&store, &world, FLOW).await)
        };
        let (kept, (first, second)) = tokio::join!(owner.keep(Kept::All, &switch), late);
        kept.expect("the runs can be listed");
        assert_eq!(status(&store, first).await, RunStatus::Completed);
        assert_eq!(status(&store, second).await, RunStatus::Completed);
    });
}

#[test]
fn an_owner_stays_for_a_run_that_it_could_not_work_on_and_tries_again() {
    let world = World::new();
    block_on(async {
        let store = open(&world).await;
        let run = request(&store, &world, FLOW).await;
        let plan = store.view(run).await.expect("it can be read").record.workflow.expect("it has one").plan;
        let blobs = world.path().join(".backstay/blobs");
        let blob = find(&blobs, &plan.to_string());
        let aside = world.path().join("aside");
        std::fs::rename(&blob, &aside).expect("a blob is a file");
        let owner = owner(&store).await;
        let switch = StopSwitch::default();
        let mut kept = std::pin::pin!(owner.keep(Kept::All, &switch));
        let early = tokio::time::timeout(BEYOND_THE_LINGER, &mut kept).await;
        assert!(early.is_err(), "a run is due: {early:?}");
        std::fs::rename(&aside, &blob).expect("it can be put back");
        let kept = tokio::time::timeout(PATIENCE, kept).await.expect("it tries again");
        kept.expect("the runs can be listed");
        assert_eq!(status(&store, run).await, RunStatus::Completed);
    });
}

/// The file below `folder` whose path without separators ends with the hexadecimal digits of `digest`.
fn find(folder: &camino::Utf8Path, digest: &str) -> camino::Utf8PathBuf {
    let digits = digest.rsplit(':').next().expect("a digest has digits");
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in at.read_dir_utf8().expect("it can be listed") {
            let path = entry.expect("it can be listed").into_path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.as_str().replace('/', "").ends_with(digits) {
                return path;
            }
        }
    }
    panic!("there is no blob {digest}");
}

#[test]
fn a_row_that_nobody_understands_hides_no_run() {
    let world = World::new();
    block_on(async {
        let store = open(&world).await;
        let (odd, plain) = (request(&store, &world, FLOW).await, request(&store, &world, FLOW).await);
        let input = InputEvent::from(ResumeRequested { by: actor(), now: false });
        let payload = input.encode().expect("events have a JSON form");
        let event = NewEvent { kind: input.kind(), scope: Scope::root(), payload, trace: None };
        let mut part = TopicAppend::new(Topic::run(odd), Authority::Input, vec![event]);
        let row = store.log().topic(&Topic::run(odd)).await.expect("it can be read").expect("it is there");
        let mut index = row.index.expect("a run has a row");
        index.summary = Payload::encode(&["of another version"]).expect("JSON");
        part.index = Some(index);
        store.log().submit(Batch::of(part)).await.expect("it is taken");
        let listed = store.runs(TopicFilter::default()).await.expect("the runs can be listed");
        assert_eq!(listed.iter().map(|row| row.run).collect::<Vec<_>>(), [plain, odd]);
        owner(&store).await.keep(Kept::All, &StopSwitch::default()).await.expect("the runs can be listed");
        for run in [odd, plain] {
            assert_eq!(status(&store, run).await, RunStatus::Completed);
        }
    });
}
