//! The keeper goes on without its starter, is found again, and what cannot be found is ended and closed.

mod support;

use std::time::Duration;

use backstay_exec::spool::{Follow, Follower, read_ordered};
use backstay_exec::{EndedBy, KeeperEvent, RecoverError, Recovered, StartError, StopReason};
use backstay_model::Epoch;
use backstay_model::event::LostEvidence;
use support::{Bench, PATIENCE, Running, is_alive, kill, pid_in, sh, wait_for};

fn attached(recovered: Recovered) -> Running {
    match recovered {
        Recovered::Attached(handle) => Running::new(handle),
        other => panic!("{other:?}"),
    }
}

#[test]
fn s4_the_agent_goes_on_and_the_next_owner_reads_to_the_end() {
    let bench = Bench::new();
    let go = bench.path("go");
    let script =
        format!("echo one; mkfifo {go} {go}2; read line < {go}; echo two >&2; read line < {go}2; echo three");
    drop(bench.keepers.start(&bench.folder(), &sh(&script)).unwrap());
    let mut follower = Follower::open(&bench.folder(), 0).unwrap();
    let mut seen = Vec::new();
    while seen != b"one\n" {
        take(&mut follower, &mut seen);
    }
    let running = attached(support::recover(&bench.folder(), Epoch(2)).unwrap());
    assert!(matches!(running.next(), KeeperEvent::Running { .. }));
    wait_for(|| go.exists().then_some(()));
    std::fs::write(&go, "go\n").unwrap();
    while seen != b"one\ntwo\n" {
        take(&mut follower, &mut seen);
    }
    std::fs::write(format!("{go}2"), "go\n").unwrap();
    let record = running.end();
    assert_eq!((&record.ended_by, record.exit_code), (&EndedBy::Exit, Some(0)));
    while take(&mut follower, &mut seen) {}
    assert_eq!(seen, b"one\ntwo\nthree\n");
    assert_eq!(bench.stdout(), b"one\nthree\n");
    let rest = read_ordered(&bench.folder(), 4, 100).unwrap();
    assert_eq!((rest.chunks.len(), rest.next_bytes, rest.ended), (2, 14, true));
}

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn take(follower: &mut Follower, seen: &mut Vec<u8>) -> bool {
    match follower.next(PATIENCE).unwrap() {
        Follow::Output(chunks) => seen.extend(chunks.into_iter().flat_map(|chunk| chunk.bytes)),
        Follow::Ended => return false,
        Follow::Nothing => panic!("nothing came"),
    }
    true
}

#[test]
fn s4_an_end_that_nobody_saw_is_found() {
    let bench = Bench::new();
    let handle = bench.keepers.start(&bench.folder(), &sh("echo done")).unwrap();
    drop(handle);
    let record = wait_for(|| match support::recover(&bench.folder(), Epoch(2)).unwrap() {
        Recovered::Ended(record) => Some(record),
        Recovered::Attached(_) => None,
        other => panic!("{other:?}"),
    });
    assert_eq!((record.exit_code, record.stdout.size_bytes), (Some(0), 5));
}

#[test]
fn s5_an_agent_that_is_killed_leaves_a_record_that_says_so() {
    let bench = Bench::new();
    let running = bench.start(&sh("exec sleep 600")).unwrap();
    kill(running.control.pid());
    let record = running.end();
    assert_eq!((record.ended_by, record.exit_code, record.signal), (EndedBy::Exit, None, Some(9)));
}

#[test]
fn s5_when_the_keeper_is_killed_its_whole_tree_is_ended_and_lost() {
    let bench = Bench::new();
    let files: Vec<_> = ["main", "session", "clear"].iter().map(|name| bench.path(name)).collect();
    let script = format!(
        "setsid sh -c 'echo $$ > {}; exec sleep 600' &
         env -i /bin/sh -c 'echo $$ > {}; exec /bin/sleep 600' &
         echo $$ > {}; while :; do sleep 1; done",
        files[1], files[2], files[0]
    );
    let running = bench.start(&sh(&script)).unwrap();
    let pids: Vec<u32> = files.iter().map(|file| pid_in(file)).collect();
    kill(running.control.keeper_pid());
    assert!(matches!(
        running
            .wait(|event| (!matches!(event, KeeperEvent::Running { .. } | KeeperEvent::Beat(_)))
                .then_some(event)),
        KeeperEvent::KeeperGone
    ));
    assert!(pids.iter().all(|&pid| is_alive(pid)), "they outlive their keeper until the recovery");
    match support::recover(&bench.folder(), Epoch(2)).unwrap() {
        Recovered::Lost { evidence: LostEvidence::KeeperDead, ended_processes } => {
            assert!(ended_processes >= 3)
        }
        other => panic!("{other:?}"),
    }
    for pid in pids {
        assert!(!is_alive(pid), "{pid} lives");
    }
    let again = support::recover(&bench.folder(), Epoch(3)).unwrap();
    assert!(matches!(again, Recovered::Lost { evidence: LostEvidence::KeeperDead, .. }), "{again:?}");
}

#[test]
fn s5_a_folder_without_a_trace_is_closed_for_a_late_starter() {
    let bench = Bench::new();
    match support::recover(&bench.folder(), Epoch(2)).unwrap() {
        Recovered::Lost { evidence: LostEvidence::NotBegun, ended_processes: 0 } => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(bench.start(&sh("true")).err().unwrap(), StartError::FolderInUse { .. }));
}

#[test]
fn s5_the_folder_of_a_store_that_is_gone_is_not_made_anew() {
    let bench = Bench::new();
    let gone = bench.path("gone");
    let folder = gone.join("attempt");
    let started = bench.keepers.start(&folder, &sh("true"));
    assert!(matches!(started, Err(StartError::Io { .. })), "{started:?}");
    let recovered = support::recover(&folder, Epoch(2));
    assert!(matches!(recovered, Err(RecoverError::Io { .. })), "{recovered:?}");
    backstay_exec::HumanWait::begin(&folder, "q").unwrap_err();
    assert!(!gone.exists());
}

#[test]
fn s5_work_of_an_earlier_boot_is_lost_without_a_look_at_processes() {
    let bench = Bench::new();
    let running = bench.start(&sh("exec sleep 600")).unwrap();
    let file = bench.folder().join("keeper.json");
    let text = std::fs::read_to_string(&file).unwrap();
    kill(running.control.keeper_pid());
    running.wait(|event| matches!(event, KeeperEvent::KeeperGone).then_some(()));
    let boot = backstay_exec::boot_id().unwrap();
    std::fs::write(&file, text.replace(&boot, "00000000-0000-0000-0000-000000000000")).unwrap();
    let recovered = support::recover(&bench.folder(), Epoch(2)).unwrap();
    assert!(matches!(recovered, Recovered::Lost { evidence: LostEvidence::Rebooted, ended_processes: 0 }));
    assert!(is_alive(running.control.pid()));
    kill(running.control.pid());
}

#[test]
fn a_keeper_whose_socket_was_removed_listens_anew_and_is_found() {
    let bench = Bench::new();
    let first = bench.start(&sh("exec sleep 600")).unwrap();
    for epoch in [2, 3] {
        // With its folder, as a cleaner of temporary files or the end of a session takes it.
        std::fs::remove_dir_all(bench.path("s")).unwrap();
        let again = attached(support::recover(&bench.folder(), Epoch(epoch)).unwrap());
        assert_eq!(again.control.pid(), first.control.pid());
    }
    // What is in its place is not spoken to.
    let socket = bench.path("s").read_dir_utf8().unwrap().next().unwrap().unwrap().into_path();
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "mine").unwrap();
    let last = attached(support::recover(&bench.folder(), Epoch(4)).unwrap());
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "mine");
    last.control.stop(Epoch(4), StopReason::Cancel, Duration::ZERO).unwrap();
    assert_eq!(last.end().ended_by, EndedBy::Stop { reason: StopReason::Cancel });
    let left: Vec<_> =
        bench.path("s").read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()).collect();
    assert_eq!(left, [socket], "its own sockets are gone");
}

#[test]
fn where_no_socket_folder_can_be_used_a_fresh_one_is_made_and_goes_with_its_keeper() {
    let bench = Bench::new();
    std::fs::write(bench.path("s"), "no folder").unwrap();
    let first = bench.start(&sh("exec sleep 600")).unwrap();
    let keeper: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bench.folder().join("keeper.json")).unwrap()).unwrap();
    let socket = camino::Utf8PathBuf::from(keeper["socket"].as_str().unwrap());
    let folder = socket.parent().unwrap();
    assert!(folder.as_str().starts_with("/tmp/backstay-"), "{folder}");
    let second = attached(support::recover(&bench.folder(), Epoch(2)).unwrap());
    second.control.stop(Epoch(2), StopReason::Cancel, Duration::ZERO).unwrap();
    drop(second.end());
    drop(first);
    assert!(!folder.exists());
}

/// A store may come from anywhere: what its files name is no reason to remove or to call something.
#[test]
fn nothing_but_a_socket_of_a_keeper_is_removed_for_a_keeper_that_is_gone() {
    let bench = Bench::new();
    let running = bench.start(&sh("exec sleep 600")).unwrap();
    kill(running.control.keeper_pid());
    running.wait(|event| matches!(event, KeeperEvent::KeeperGone).then_some(()));
    let path = bench.folder().join("keeper.json");
    let mut keeper: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mine = bench.path("mine");
    std::fs::write(&mine, "mine").unwrap();
    keeper["socket"] = mine.as_str().into();
    std::fs::write(&path, keeper.to_string()).unwrap();
    let recovered = support::recover(&bench.folder(), Epoch(2)).unwrap();
    assert!(matches!(recovered, Recovered::Lost { .. }), "{recovered:?}");
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
}

#[test]
fn an_older_owner_is_fenced() {
    let bench = Bench::new();
    let first = bench.start(&sh("exec sleep 600")).unwrap();
    let second = attached(support::recover(&bench.folder(), Epoch(2)).unwrap());
    let highest = first.wait(|event| match event {
        KeeperEvent::Fenced { highest } => Some(highest),
        _ => None,
    });
    assert_eq!(highest, Epoch(2));
    first.control.stop(Epoch(1), StopReason::Cancel, Duration::ZERO).unwrap();
    match support::recover(&bench.folder(), Epoch(1)) {
        Err(RecoverError::Fenced { epoch: Epoch(1), highest: Epoch(2) }) => {}
        other => panic!("{other:?}"),
    }
    assert!(is_alive(second.control.pid()));
    second.control.stop(Epoch(2), StopReason::Cancel, Duration::ZERO).unwrap();
    assert_eq!(second.end().ended_by, EndedBy::Stop { reason: StopReason::Cancel });
}

#[test]
fn a_damaged_record_is_an_error_and_not_a_loss() {
    let bench = Bench::new();
    bench.run("true", |_| {});
    std::fs::write(bench.folder().join("exit.json"), "{").unwrap();
    assert!(matches!(support::recover(&bench.folder(), Epoch(2)), Err(RecoverError::Damaged { .. })));
}

#[test]
fn a_keeper_is_in_a_session_of_its_own() {
    let bench = Bench::new();
    let running = bench.start(&sh("exec sleep 600")).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", running.control.keeper_pid())).unwrap();
    let session = stat[stat.rfind(')').unwrap()..].split(' ').nth(4).unwrap().to_owned();
    assert_eq!(session, running.control.keeper_pid().to_string());
    running.control.stop(Epoch(1), StopReason::Cancel, Duration::ZERO).unwrap();
    running.end();
}

#[test]
fn a_keeper_holds_nothing_that_its_starter_had_open() {
    let bench = Bench::new();
    let through = "exec 7</etc/passwd; exec \"$0\" \"$@\"".to_owned();
    let arguments = vec!["-c".to_owned(), through, support::keeper_program().to_string()];
    let keepers = backstay_exec::Keepers::new("/bin/sh".into(), arguments, vec![bench.path("s")]);
    let running = Running::new(keepers.start(&bench.folder(), &sh("exec sleep 600")).unwrap());
    for pid in [running.control.keeper_pid(), running.control.pid()] {
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            // One that is closed by now is not held.
            if let Ok(target) = std::fs::read_link(entry.unwrap().path()) {
                assert_ne!(target.to_str(), Some("/etc/passwd"), "{pid} holds it");
            }
        }
    }
    running.control.stop(Epoch(1), StopReason::Cancel, Duration::ZERO).unwrap();
    running.end();
}

#[test]
fn s6_a_follower_that_came_before_the_first_byte_sees_all_to_the_end() {
    let bench = Bench::new();
    let mut follower = Follower::open(&bench.folder(), 0).unwrap();
    assert_eq!(follower.next(Duration::from_millis(1)).unwrap(), Follow::Nothing);
    let folder = bench.folder();
    let reader = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while take(&mut follower, &mut seen) {}
        (seen, folder)
    });
    let running = bench.start(&sh("i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done")).unwrap();
    assert_eq!(running.end().exit_code, Some(0));
    let (seen, _folder) = reader.join().unwrap();
    let expected: String = (0..2000).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8(seen).unwrap(), expected);
    let mut from_the_middle = Follower::open(&bench.folder(), 8_000).unwrap();
    let mut rest = Vec::new();
    while take(&mut from_the_middle, &mut rest) {}
    assert_eq!(rest, &expected.as_bytes()[8_000..]);
}

#[test]
fn a_listener_that_never_reads_holds_nobody_up() {
    let bench = Bench::new();
    let mut spec = sh("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; done; echo done");
    spec.beat_ms = 1;
    let deaf = bench.keepers.start(&bench.folder(), &spec).unwrap();
    let mut follower = Follower::open(&bench.folder(), 0).unwrap();
    let mut seen = Vec::new();
    while take(&mut follower, &mut seen) {}
    assert_eq!(seen, b"done\n");
    let (_, mut events) = deaf.into_parts();
    assert!(matches!(
        events.find(|event| !matches!(event, KeeperEvent::Beat(_) | KeeperEvent::Running { .. })),
        Some(KeeperEvent::Exited(_))
    ));
}

/// Whether `pid` is dead and nobody collected it.
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn is_zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
}

#[test]
fn a_keeper_that_is_heard_no_more_does_not_stay_in_the_list_of_processes() {
    let (fenced, dropped) = (Bench::new(), Bench::new());
    let first = fenced.keepers.start(&fenced.folder(), &sh("exec sleep 600")).unwrap();
    let (_, mut events) = first.into_parts();
    let handle = dropped.keepers.start(&dropped.folder(), &sh("exec sleep 600")).unwrap();
    drop(handle);
    let second = attached(support::recover(&fenced.folder(), Epoch(2)).unwrap());
    assert!(matches!(events.by_ref().last(), Some(KeeperEvent::Fenced { highest: Epoch(2) })));
    drop(events);
    for (bench, running) in
        [(&fenced, second), (&dropped, attached(support::recover(&dropped.folder(), Epoch(2)).unwrap()))]
    {
        running.control.stop(Epoch(2), StopReason::Cancel, Duration::ZERO).unwrap();
        running.end();
        let keeper = running.control.keeper_pid();
        wait_for(|| (!is_alive(keeper) && !is_zombie(keeper)).then_some(()));
        assert!(bench.folder().join("exit.json").exists());
    }
}

/// The number that this process knows the keeper of `bench` by, whatever it calls itself.
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn keeper_from_here(bench: &Bench) -> u32 {
    wait_for(|| {
        std::fs::read_dir("/proc").unwrap().find_map(|entry| {
            let pid: u32 = entry.unwrap().file_name().to_str()?.parse().ok()?;
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            let mut words = command.split('\0');
            let is_keeper = words.next()? == support::keeper_program().as_str();
            (is_keeper && words.any(|word| word == bench.folder().as_str())).then_some(pid)
        })
    })
}

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn parent_of(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat[stat.rfind(')').unwrap()..].split(' ').nth(2).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn s5_what_was_in_another_container_is_neither_killed_nor_called_dead() {
    let probe =
        std::process::Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return support::skip("there can be no other namespace here");
    }
    let bench = Bench::new();
    let ready = bench.path("ready");
    // The namespace outlives the keeper, as that of a container does: its first process waits on.
    let script = "exec 3<&0; \"$0\" \"$@\" <&3 & exec 0</dev/null 1>&2 3<&-; wait; exec sleep 600";
    let arguments = ["--pid", "--fork", "--mount-proc", "/bin/sh", "-c", script].map(str::to_owned);
    let mut arguments = arguments.to_vec();
    arguments.push(support::keeper_program().to_string());
    let keepers = backstay_exec::Keepers::new("unshare".into(), arguments, vec![bench.path("s")]);
    let script = format!("echo $$ > {ready}; exec sleep 600");
    let running = Running::new(keepers.start(&bench.folder(), &sh(&script)).unwrap());
    pid_in(&ready);
    let keeper = keeper_from_here(&bench);
    assert_ne!(keeper, running.control.keeper_pid(), "it calls itself by another number");
    let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    let agent: u32 = children.trim().parse().unwrap();
    // Speaking with a keeper that lives needs no number.
    let again = attached(support::recover(&bench.folder(), Epoch(2)).unwrap());
    let init = parent_of(keeper);
    // It holds the lock as long as the keeper does, only because it was started as one.
    kill(parent_of(init));
    kill(keeper);
    again.wait(|event| matches!(event, KeeperEvent::KeeperGone).then_some(()));
    let error = support::recover(&bench.folder(), Epoch(2)).unwrap_err();
    assert!(matches!(error, RecoverError::OtherNamespace { .. }), "{error:?}");
    assert!(is_alive(agent), "nobody here may end it");
    assert!(!bench.folder().join("lost.json").exists(), "nothing was decided");
    // With its first process the whole namespace ends.
    kill(init);
}

#[test]
fn s6_a_follower_from_a_place_that_is_not_there_yet_sees_what_comes_after_it() {
    let bench = Bench::new();
    let go = bench.path("go");
    let running =
        bench.start(&sh(&format!("mkfifo {go}; printf on; read line < {go}; printf e,two"))).unwrap();
    wait_for(|| bench.stdout().ends_with(b"on").then_some(()));
    let mut follower = Follower::open(&bench.folder(), 4).unwrap();
    assert_eq!(follower.next(Duration::ZERO).unwrap(), Follow::Nothing);
    std::fs::write(&go, "go\n").unwrap();
    running.end();
    let mut seen = Vec::new();
    while take(&mut follower, &mut seen) {}
    assert_eq!(seen, b"two");
}

#[test]
fn a_folder_is_kept_as_long_as_its_keeper_lives_whatever_has_its_number() {
    let bench = Bench::new();
    assert!(!backstay_exec::maintenance::is_keeper_alive(&bench.folder()).unwrap(), "nobody was there yet");
    let running = bench.start(&sh("exec sleep 600")).unwrap();
    assert!(backstay_exec::maintenance::is_keeper_alive(&bench.folder()).unwrap());
    kill(running.control.keeper_pid());
    running.wait(|event| matches!(event, KeeperEvent::KeeperGone).then_some(()));
    assert!(!backstay_exec::maintenance::is_keeper_alive(&bench.folder()).unwrap());
    kill(running.control.pid());
}
