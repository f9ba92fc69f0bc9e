//! The presets that a run goes by.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstay_agent::{DeliveryVia, Preset, Presets, ReadingError};
use backstay_model::Digest;
use backstay_model::event::PlanRef;
use backstay_workflow::plan::{Plan, Via};
use backstay_workflow::{PresetTraits, ReadingFault};

use crate::error::RunError;

/// What the check of a workflow has to know of `presets`.
#[must_use]
pub fn preset_traits(presets: &Presets) -> BTreeMap<String, PresetTraits> {
    let traits = |preset: &Preset| PresetTraits {
        access: preset.access().collect(),
        vias: preset.vias().map(via).collect(),
        takes_model: preset.takes_model(),
        takes_args: preset.takes_args(),
        can_resume: preset.can_resume(),
        can_fork: preset.can_fork(),
        file_prefix: preset.file_prefix().map(ToOwned::to_owned),
    };
    presets.iter().map(|preset| (preset.name().to_owned(), traits(preset))).collect()
}

fn via(delivery: DeliveryVia) -> Via {
    match delivery {
        DeliveryVia::Stdin => Via::Stdin,
        DeliveryVia::Arg => Via::Arg,
        DeliveryVia::File => Via::File,
        DeliveryVia::Env => Via::Env,
    }
}

/// The presets that a run goes by.
#[derive(Debug, Default)]
pub(crate) struct Pinned {
    /// Their digests, by name.
    pub(crate) presets: BTreeMap<String, Digest>,
    /// What is to be kept under these.
    pub(crate) texts: Vec<Arc<str>>,
}

/// What is wrong with what an agent says of the output of its command, which is one line of JSON; nothing if all is well.
#[must_use]
pub fn reading_fault(text: &str) -> Option<ReadingFault> {
    let ReadingError { at, message, hint } = Preset::of_command("cmd", "cmd", text).err()?;
    Some(ReadingFault { at, message, hint })
}

/// The presets that `plan` names, and those that are made of its commands.
pub(crate) fn pin(plan: &Plan, presets: &Presets) -> Result<Pinned, RunError> {
    let mut pinned = Pinned::default();
    for name in plan.presets() {
        let preset = presets.get(name).ok_or_else(|| RunError::UnknownPreset { preset: name.to_owned() })?;
        pinned.add(name, preset)?;
    }
    for (name, program, reading) in plan.readings() {
        let preset = Preset::of_command(&name, program, reading)
            .map_err(|source| RunError::Reading { agent: name.clone(), source })?;
        pinned.add(&name, &preset)?;
    }
    Ok(pinned)
}

/// The agents of a run's plan that are set otherwise in `presets` than in what the run goes by.
///
/// # Errors
/// [`RunError`] if a preset has no stored form.
pub fn changed_presets<'own>(own: &'own PlanRef, presets: &Presets) -> Result<Vec<&'own str>, RunError> {
    let mut changed = Vec::new();
    for (name, digest) in &own.presets {
        // What is made of a command of the plan has none there, and what is gone from there takes nothing's place.
        let Some(preset) = presets.get(name) else { continue };
        if digest_of(name, preset)?.0 != *digest {
            changed.push(name.as_str());
        }
    }
    Ok(changed)
}

/// The stored form of `preset`, and its digest.
fn digest_of(name: &str, preset: &Preset) -> Result<(Digest, String), RunError> {
    let stored =
        preset.stored().map_err(|source| RunError::PresetForm { preset: name.to_owned(), source })?;
    Ok((Digest::of(stored.as_bytes()), stored))
}

impl Pinned {
    fn add(&mut self, name: &str, preset: &Preset) -> Result<(), RunError> {
        if self.presets.contains_key(name) {
            return Ok(());
        }
        let (digest, stored) = digest_of(name, preset)?;
        self.presets.insert(name.to_owned(), digest);
        self.texts.push(Arc::from(stored));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use backstay_model::event::Access;
    use backstay_workflow::{CheckInput, Checked, Diagnostic, check};

    use super::*;

    fn checked(agent: &str) -> Result<Checked, Vec<Diagnostic>> {
        let text = format!(
            "backstay: 1\ninputs: {{tool: {{default: x}}}}\nagents:\n  mine:\n{agent}\nsteps:\n  - {{id: fix, agent: mine, prompt: Do it., on_limit: wait, max_wait: 1h}}\n"
        );
        checked_text(&text)
    }

    fn checked_text(text: &str) -> Result<Checked, Vec<Diagnostic>> {
        check(&CheckInput {
            path: "flow.yaml",
            text,
            read_file: &|path| panic!("it names {path}"),
            schema_fault: &|_| None,
            reading_fault: &reading_fault,
            agents: BTreeMap::new(),
            presets: preset_traits(&Presets::built_in().unwrap()),
        })
    }

    const MINE: &str = "    command: [./mine, --x, '${{ inputs.tool }}']
    stream: json_lines
    lines:
      - {when: {type: text}, message: text}
      - when: {type: [done, 5, true]}
        usage: {span: process, input: [in, cached]}
        turn_ended: {ok: {is_error: false}, failure: why}
    signs: {login: [\"bad key\"]}";

    #[test]
    fn of_a_command_whose_output_is_described_a_preset_is_made_that_the_run_goes_by() {
        let checked = checked(MINE).unwrap();
        assert_eq!(checked.warnings, [], "limits mean something to it");
        let pinned = pin(&checked.plan, &Presets::built_in().unwrap()).unwrap();
        assert_eq!(pinned.presets.keys().collect::<Vec<_>>(), ["cmd:mine"]);
        let preset = Preset::from_stored("cmd:mine", &pinned.texts[0]).unwrap();
        assert_eq!((preset.program(), preset.version_command()), ("./mine", None));
        assert_eq!(preset.access().collect::<Vec<_>>(), [Access::Read, Access::Write, Access::Full]);
        let mut reader = preset.reader(0);
        let read = reader.feed(b"{\"type\":5,\"in\":3,\"cached\":2,\"is_error\":true,\"why\":\"bad KEY\"}\n");
        let told: Vec<String> = read.iter().map(|one| serde_json::to_string(&one.event).unwrap()).collect();
        assert_eq!(
            told,
            [
                r#"{"kind":"usage","span":"process","input":5}"#,
                r#"{"kind":"login_needed","message":"bad KEY"}"#,
                r#"{"kind":"turn_ended","ok":false,"failure":"bad KEY"}"#,
            ]
        );
    }

    #[test]
    fn the_workflow_on_the_page_about_agents_is_a_good_one() {
        let page = include_str!("../../../../docs/agents.md");
        let text = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
        let checked = checked_text(text).unwrap();
        let pinned = pin(&checked.plan, &Presets::built_in().unwrap()).unwrap();
        assert_eq!((checked.warnings.len(), pinned.presets.contains_key("cmd:mine")), (0, true));
    }

    #[test]
    fn what_is_wrong_in_the_description_of_an_output_is_told_at_its_place() {
        let command = "    command: [./mine]\n";
        for (rest, place, message, hint) in [
            ("    signs: {sucess: [x]}", (6, 13), "unknown field `sucess`", Some("did you mean `success`?")),
            ("    signs: {success: x}", (6, 22), "invalid type: string \"x\"", None),
            ("    stream: jsonlines", (6, 13), "unknown variant `jsonlines`", None),
            ("    stream: json_lines", (6, 5), "`stream: json_lines` needs rules", Some("add a rule:")),
            (
                "    lines:\n      - {when: {type: a}, message: text}",
                (6, 5),
                "it has `lines`, which only `stream: json_lines` has",
                Some("add `stream"),
            ),
            (
                "    stream: json_lines\n    lines:\n      - when: {type: a}\n        message: a..b",
                (8, 9),
                "`a..b` is no path to a value",
                None,
            ),
            (
                "    stream: json_lines\n    lines:\n      - {when: {type: a}, mesage: b}",
                (8, 27),
                "unknown field `mesage`",
                Some("did you mean `message`?"),
            ),
            (
                "    stream: json_lines\n    lines:\n      - {when: {type: a}, usage: {input: b}}",
                (8, 34),
                "missing field `span`",
                None,
            ),
            (
                "    stream: json_lines\n    lines: [{when: {type: a}, message: b}, {when: {type: a}}]",
                (7, 12),
                "rule 2 of `lines`: it says nothing",
                None,
            ),
            (
                "    stream: json_lines\n    lines: [{when: {v: 1.5}, message: b}]",
                (7, 20),
                "expected a text, a whole number",
                None,
            ),
            (
                "    stream: json_lines\n    lines: [{when: {v: [1, 1.5]}, message: b}]",
                (7, 20),
                "expected a text, a whole number",
                None,
            ),
            (
                "    signs: {success: ['${{ inputs.tool }}']}",
                (6, 23),
                "`${{ }}` has no value where the output of a command is described",
                Some("write the text itself"),
            ),
        ] {
            let found = checked(&format!("{command}{rest}")).unwrap_err();
            assert_eq!(found.len(), 1, "{rest}: {found:?}");
            let found = &found[0];
            assert_eq!(
                (found.line, found.column, found.code.to_string().as_str()),
                (place.0, place.1, "BKS-W042"),
                "{rest}: {}",
                found.message
            );
            assert!(found.message.starts_with(message), "{rest}: {}", found.message);
            if let Some(hint) = hint {
                assert!(
                    found.hint.as_ref().is_some_and(|found| found.starts_with(hint)),
                    "{rest}: {:?}",
                    found.hint
                );
            }
        }
        let by_value = checked("    command: ['${{ inputs.tool }}']\n    signs: {success: [x]}").unwrap_err();
        assert_eq!(
            by_value[0].message,
            "the program of a command whose output is described is named by a value"
        );
        let of_preset = checked("    use: codex\n    signs: {success: [x]}").unwrap_err();
        assert_eq!(
            of_preset[0].message,
            "`signs` belongs to a `command`; the preset `codex` knows its own output"
        );
    }
}
