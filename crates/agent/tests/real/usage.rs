//! Tokens and cost as each CLI tells them, against what the provider counted.

use backstay_agent::{Access, SessionUse, Usage};
use backstay_testkit::{Answer, Counted, Script, ToolCall};

use crate::cli::{Cli, Login};
use crate::clis::{Run, Workplace};

/// What a CLI told: all, or less than that, and it is known to be less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    All,
    Partial,
}

fn told(place: &Workplace, run: &Run) -> Told {
    let signs = place.preset().signs();
    let is_partial =
        run.progress().has_untold_sub_agents() || run.stderr.lines().any(|line| signs.is_sub_agent(line));
    if is_partial { Told::Partial } else { Told::All }
}

/// The scripts that `cli` can play, and what it tells of each.
fn scripts(cli: Cli) -> Vec<(&'static str, Script, Told)> {
    let task = [Answer::shell("echo one > one.txt").after("I should look."), Answer::text("Done.")];
    let sub_agent = [Answer::Tool(ToolCall::SubAgent("Look for a greeting.".to_owned()))];
    let of_sub_agent = match cli {
        Cli::Claude | Cli::Gemini => Told::All,
        Cli::Codex | Cli::Opencode => Told::Partial,
    };
    let mut scripts = vec![
        ("a task", Script::of(task), Told::All),
        ("a sub-agent", Script::of(sub_agent.clone()), of_sub_agent),
    ];
    if cli == Cli::Claude {
        let background = Answer::Tool(ToolCall::Background("sleep 1".to_owned()));
        let both = sub_agent.into_iter().chain([background.clone()]);
        scripts.push(("a command in the background", Script::of([background]), Told::All));
        scripts.push(("both", Script::of(both), Told::All));
    }
    scripts
}

fn is_equal(used: &Usage, counted: Counted) -> bool {
    (used.input, used.cache_read, used.output)
        == (Some(counted.input), Some(counted.cached), Some(counted.output))
}

/// All answers cost the same, so the cost of a run is that of one times their number.
pub(crate) fn tells_what_the_provider_counted(cli: Cli) {
    let mut cost_of_one: Option<f64> = None;
    for (name, script, expected) in scripts(cli) {
        let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
        let run = place.run(script, SessionUse::Start { id: cli.new_session() }, Access::Write);
        let counted = Counted::of(&run.requests);
        let used = run.progress().usage().of_process(None).unwrap();
        println!("{} {name}: {counted:?}, told {used:?}", cli.name());
        assert_eq!((run.code, told(&place, &run)), (Some(0), expected), "{name}: {}", run.stderr);
        if expected == Told::Partial {
            assert!(used.input <= Some(counted.input), "{name}: {used:?} of {counted:?}");
            continue;
        }
        assert!(is_equal(&used, counted), "{name}: {used:?} is not {counted:?}");
        #[expect(clippy::cast_precision_loss, reason = "a handful of requests")]
        let cost = used.cost_usd.map(|cost| cost / counted.requests as f64);
        assert_eq!(cost.is_some(), matches!(cli, Cli::Claude | Cli::Opencode), "{name}: {used:?}");
        if let (Some(one), Some(cost)) = (cost_of_one, cost) {
            assert!((cost - one).abs() < 1e-9, "{name}: {cost} for each, {one} before");
        }
        cost_of_one = cost;
    }
}

/// Of a session that goes on only what is new is told.
pub(crate) fn tells_what_was_counted_since_a_resume(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let first = place.run(Script::of([]), SessionUse::Start { id: cli.new_session() }, Access::Write);
    let progress = first.progress();
    let id = progress.session().unwrap().to_owned();
    let script = Script::of([Answer::shell("echo two > two.txt"), Answer::text("Done.")]);
    let second = place.run(script, SessionUse::Resume { id }, Access::Write);
    let counted = Counted::of(&second.requests);
    let used = second.progress().usage().of_process(progress.usage().of_session()).unwrap();
    assert_eq!((second.code, counted.requests), (Some(0), 2), "{}", second.stderr);
    assert!(is_equal(&used, counted), "{used:?} is not {counted:?}");
}
