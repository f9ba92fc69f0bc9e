//! Waiting for a run that nobody works on, by a clock that needs no waiting.

use std::collections::BTreeMap;

use backstay::{RunRest, Step, Utf8Path, Workflow};

#[test]
fn a_run_that_nobody_works_on_is_not_waited_for_without_end() {
    let home = tempfile::tempdir().unwrap();
    let home = Utf8Path::from_path(home.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let environment = BTreeMap::from([("HOME".to_owned(), home.to_string())]);
        let backstay = backstay::open(home.join("store")).environment(environment).await.unwrap();
        let workflow = Workflow::new("left").step(Step::run("one", "echo one")).cwd(home);
        let run = backstay.start(workflow).await.unwrap();
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        assert_eq!(run.wait().await.unwrap(), RunRest::Unowned);
        // One that keeps the store leaves a new run for 5 s to whoever asked for it.
        assert!(begun.elapsed().as_secs() >= 6, "{:?}", begun.elapsed());
    });
}
