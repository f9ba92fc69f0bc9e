//! A full disk: the agent goes on, what is lost is counted, the record is written all the same.

mod support;

use backstay_exec::{EndedBy, Keepers};
use support::{Bench, Running, SmallDisk, keeper_program, sh};

#[test]
fn a_full_disk_loses_output_by_count_and_nothing_else() {
    let bench = Bench::new();
    let disk = match SmallDisk::mount(&bench.path("disk"), 256) {
        Ok(disk) => disk,
        Err(reason) => return support::skip(&reason),
    };
    let ballast = disk.path.join("ballast");
    std::fs::write(&ballast, vec![1; 64 * 1024]).unwrap();
    let folder = disk.path.join("attempt");
    std::fs::create_dir(&folder).unwrap();
    let keepers = Keepers::new(keeper_program(), Vec::new(), vec![bench.path("s")]);
    let go = bench.path("go");
    let script =
        format!("mkfifo {go}; head -c 1000000 /dev/zero; echo full >&2; read line < {go}; echo again");
    let running = Running::new(keepers.start(&folder, &sh(&script)).unwrap());
    support::wait_for(|| {
        let beat = running.wait(|event| match event {
            backstay_exec::KeeperEvent::Beat(beat) => Some(beat),
            _ => None,
        });
        (beat.stdout_bytes == 1_000_000 && beat.stderr_bytes == 5).then_some(())
    });
    std::fs::remove_file(&ballast).unwrap();
    std::fs::write(&go, "go\n").unwrap();
    let record = running.end();
    assert_eq!((&record.ended_by, record.exit_code), (&EndedBy::Exit, Some(0)));
    let kept = std::fs::read(folder.join("stdout")).unwrap();
    let zeros = kept.iter().take_while(|&&byte| byte == 0).count() as u64;
    assert!(zeros > 0 && record.stdout.lost_bytes == 1_000_000 - zeros, "{zeros} kept, {record:?}");
    let rest = format!(
        "\n[backstay: {} bytes are missing here, the disk was full]\nagain\n",
        record.stdout.lost_bytes
    );
    assert_eq!(String::from_utf8_lossy(&kept[usize::try_from(zeros).unwrap()..]), rest);
    let verified = backstay_exec::spool::stdout_bytes(&folder, u64::MAX).unwrap();
    assert_eq!(verified.len() as u64, record.stdout.size_bytes);
    let whole = backstay_exec::spool::read_ordered(&folder, 0, u64::MAX).unwrap();
    let shown: u64 = whole.chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum();
    assert_eq!((shown, whole.ended), (record.stdout.size_bytes + record.stderr.size_bytes, true));
}
