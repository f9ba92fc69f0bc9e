//! What a power loss leaves, and what becomes of errors in a store that is gone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_agent::Presets;
use backstay_exec::Keepers;
use backstay_log::{ClaimError, ClaimMode, OwnerGuard, OwnerIdentity, StoreError};
use backstay_model::event::{Actor, LostEvidence};
use backstay_model::{Coded, RunId};
use backstay_workflow::{CheckInput, check};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{DriveEnd, DriveError, Owner, OwnerSettings, Registry, RunError, RunRequest, StopSwitch, Store};

const FLOW: &str = "backstay: 1\nname: cut\nsteps:\n  - {id: one, run: 'true'}\n";

async fn request(store: &Store, folder: &Utf8Path) -> RunId {
    let read_file = |name: &str| fs::read_to_string(name);
    let input = CheckInput {
        path: "flow.yaml",
        text: FLOW,
        read_file: &read_file,
        agents: BTreeMap::new(),
        presets: BTreeMap::new(),
        schema_fault: &|_| None,
        reading_fault: &|_| None,
    };
    let plan = check(&input).unwrap().plan;
    let inputs = plan.bind_inputs(&BTreeMap::new()).unwrap().to_json().unwrap();
    let request = RunRequest {
        plan,
        presets: Presets::built_in().unwrap(),
        source: FLOW.to_owned(),
        file: "flow.yaml".to_owned(),
        folder: folder.to_owned(),
        inputs,
        agents: Vec::new(),
        cwd: folder.to_owned(),
        within: None,
        by: Actor { name: "tester".to_owned(), via: "library".to_owned() },
    };
    store.request(request).await.unwrap()
}

async fn owner(store: &Store, keeper: &Utf8Path) -> Owner {
    let keepers = Keepers::new(keeper.to_owned(), Vec::new(), vec![store.folder().join("s")]);
    Owner::register(store, OwnerSettings { keepers, env: BTreeMap::new() }).await.unwrap()
}

#[test]
fn s5_damaged_files_are_a_loss_after_a_reboot_and_trouble_before_it() {
    let keep = tempfile::tempdir().unwrap();
    let folder = Utf8PathBuf::from_path_buf(keep.path().to_owned()).unwrap();
    // A keeper that the power loss meets before it says a word.
    let (up, keeper) = (folder.join("up"), folder.join("keeper"));
    fs::write(&keeper, format!("#!/bin/sh\necho up > {up}\nexit 1\n")).unwrap();
    fs::set_permissions(&keeper, fs::Permissions::from_mode(0o755)).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, up.as_std_path(), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&folder.join("store"), &Registry::in_folder(&folder.join("registry")))
            .create()
            .await
            .unwrap();
        let run = request(&store, &folder).await;
        let switch = StopSwitch::default();
        let first = owner(&store, &keeper).await;
        let stop = async {
            // The keeper is started only after its start is durable, and waits for this read.
            while !store.folder().join(format!("runs/{run}/one/1/keeper.lock")).exists() {
                tokio::task::yield_now().await;
            }
            switch.stop();
        };
        let (end, ()) = tokio::join!(first.drive(run, ClaimMode::IfFree, &switch), stop);
        assert_eq!(end.unwrap(), DriveEnd::Stopped);
        tokio::task::spawn_blocking(move || fs::read_to_string(up)).await.unwrap().unwrap();
        let damaged = store.folder().join(format!("runs/{run}/one/1/keeper.json"));
        fs::write(damaged, "{").unwrap();

        let switch = StopSwitch::default();
        let same_boot = owner(&store, &keeper).await;
        let error = same_boot.drive(run, ClaimMode::IfFree, &switch).await.unwrap_err();
        assert!(
            matches!(&error, DriveError::Damaged { message, .. } if message.contains("damaged")),
            "{error:?}"
        );

        let mut rebooted = owner(&store, &keeper).await;
        rebooted.boot = "another".to_owned();
        let end = rebooted.drive(run, ClaimMode::IfFree, &switch).await.unwrap();
        assert_eq!(end, DriveEnd::WaitingForPerson, "a script may have happened");
        let view = store.view(run).await.unwrap();
        assert_eq!(view.record.steps[0].attempts[0].lost, Some(LostEvidence::Rebooted));
    });
}

#[test]
fn every_error_of_an_owner_says_that_the_store_is_gone_where_it_is() {
    let gone = || StoreError::Gone { location: "log.db".into() };
    let stopped = || StoreError::Stopped;
    let errors = |store: &dyn Fn() -> StoreError| {
        [
            DriveError::Register(store().into()),
            DriveError::Claim(store().into()),
            DriveError::Run(RunError::Append(store().into())),
            DriveError::Run(RunError::Read(store().into())),
        ]
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for case in ["in place", "moved", "deleted"] {
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(keep.path().canonicalize().unwrap()).unwrap();
        let opening = Store::open(&folder.join("store"), &Registry::in_folder(&folder.join("registry")));
        let store = runtime.block_on(async { opening.create().await }).unwrap();
        match case {
            "moved" => fs::rename(folder.join("store"), folder.join("new")).unwrap(),
            "deleted" => fs::remove_dir_all(folder.join("store")).unwrap(),
            _ => {}
        }
        let moved_to = (case == "moved" && cfg!(target_os = "linux")).then(|| folder.join("new"));
        let named = errors(&gone).into_iter().map(|error| (true, error));
        for (says_gone, error) in named.chain(errors(&stopped).map(|error| (false, error))) {
            let before = error.to_string();
            let told = store.or_gone(None, error);
            if says_gone || case != "in place" {
                let DriveError::StoreGone(found) = &told else { panic!("{case}: {before}: {told}") };
                assert_eq!(found.moved_to, moved_to, "{case}: {before}");
                assert_eq!(told.code().0, "BKS-R083");
            } else {
                assert_eq!(told.to_string(), before, "{case}");
            }
        }
    }
}

/// A proof that is lost from the nth time on that somebody asks.
#[derive(Debug)]
struct Losing {
    guard: Arc<dyn OwnerGuard>,
    held: AtomicUsize,
}

impl OwnerGuard for Losing {
    fn identity(&self) -> &OwnerIdentity {
        self.guard.identity()
    }

    fn is_lost(&self) -> bool {
        self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

#[test]
fn an_owner_that_lost_its_proof_starts_nothing_whenever_it_finds_out() {
    let keep = tempfile::tempdir().unwrap();
    let folder = Utf8PathBuf::from_path_buf(keep.path().to_owned()).unwrap();
    let (started, keeper) = (folder.join("started"), folder.join("keeper"));
    fs::write(&keeper, format!("#!/bin/sh\necho started > {started}\nexit 1\n")).unwrap();
    fs::set_permissions(&keeper, fs::Permissions::from_mode(0o755)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&folder.join("store"), &Registry::in_folder(&folder.join("registry")))
            .create()
            .await
            .unwrap();
        let switch = StopSwitch::default();
        // The claim asks first, then the loop at its turns and before it starts work, then the thread that prepares the work.
        let mut held = 0;
        loop {
            let run = request(&store, &folder).await;
            let mut losing = owner(&store, &keeper).await;
            losing.guard = Arc::new(Losing { guard: losing.guard.clone(), held: AtomicUsize::new(held) });
            let end = losing.drive(run, ClaimMode::IfFree, &switch).await;
            if started.exists() {
                break;
            }
            let is_refused = matches!(
                &end,
                Err(DriveError::OwnerLost { .. } | DriveError::Claim(ClaimError::NotRegistered(_)))
            );
            assert!(is_refused, "held {held} times: {end:?}");
            held += 1;
        }
        assert!(held >= 4, "it was asked {held} times before it started work");
    });
}

#[test]
fn a_run_in_a_folder_that_is_no_absolute_path_is_not_worked_on() {
    let keep = tempfile::tempdir().unwrap();
    let folder = Utf8PathBuf::from_path_buf(keep.path().to_owned()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let registry = Registry::in_folder(&folder.join("registry"));
        let store = Store::open(&folder.join("store"), &registry).create().await.unwrap();
        let run = request(&store, Utf8Path::new("here")).await;
        let owner = owner(&store, &folder.join("keeper")).await;
        let error = owner.drive(run, ClaimMode::IfFree, &StopSwitch::default()).await.unwrap_err();
        assert_eq!(error.code().to_string(), "BKS-R092", "{error}");
        assert!(error.to_string().contains("\"here\", which is not an absolute path"), "{error}");
    });
}
