//! What a provider sends in pieces is joined before secrets are looked for.

use backstay_testkit::{Answer, Script};
use backstay_tests::World;

use crate::cli::Cli;
use crate::place::{PATIENCE, Place, TASK};

const SECRET: &str = "sesame-opens-the-door-7431";

/// The provider sends a secret in two pieces; no piece has all of it, and the message has. What the processes printed has the
/// pieces; `logs` joins them, and redacts by its own environment.
pub(crate) fn tells_no_secret_that_comes_in_pieces(cli: Cli) {
    let own: &[&str] = if cli == Cli::Claude { &["--include-partial-messages"] } else { &[] };
    let script = |world: &World| {
        let (begin, end) = SECRET.split_at(13);
        let pieces = Answer::Pieces(vec![format!("The word is {begin}"), format!("{end}, I was told.")]);
        Script::of([Answer::write(world.path().join("greeting.txt").as_str(), "hello\n"), pieces])
    };
    let Some(place) = Place::new(cli, script) else { return };
    place.flow_with(own, TASK);
    let (status, out) = place.start_with(&[("MY_TOKEN", SECRET)]).end_within(PATIENCE);
    assert!(status.success(), "{out}");
    assert_eq!(
        place.outputs(),
        r#"{"greeting":"hello","said":"The word is [redacted:MY_TOKEN], I was told."}"#
    );
    let raw =
        String::from_utf8_lossy(&place.world.run(&["logs", "--raw", "@last", "fix"]).stdout).into_owned();
    let (begin, end) = SECRET.split_at(13);
    assert!(raw.contains(begin) && raw.contains(end), "it came in pieces: {raw}");
    let shown = |arguments: &[&str]| String::from_utf8_lossy(&place.world.run(arguments).stdout).into_owned();
    for arguments in [&["show"] as &[&str], &["show", "--json"], &["ls"]] {
        let shown = shown(arguments);
        assert!(!shown.contains("sesame"), "{arguments:?}: {shown}");
    }
    let mut logs = place.world.command(&["logs", "@last", "fix"]);
    let logs = logs.env("MY_TOKEN", SECRET).output().expect("the binary starts").stdout;
    let logs = String::from_utf8_lossy(&logs);
    assert!(logs.contains("[redacted:MY_TOKEN]") && !logs.contains("sesame"), "{logs}");
    // The end of an attempt has what its processes printed, as it came.
    let events = shown(&["events"]);
    assert!(!events.contains(SECRET), "{events}");
    let facts: String = events.lines().filter(|line| !line.contains(" effect_finished ")).collect();
    assert!(facts.contains("[redacted:MY_TOKEN]") && !facts.contains("sesame"), "{facts}");
    assert!(!out.contains("sesame"), "{out}");
}
