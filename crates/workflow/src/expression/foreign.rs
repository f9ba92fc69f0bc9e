//! Names in expressions of other tools, each with its counterpart here.

const AFTER_ALL: &str = "put the step under `finally`: its steps run at the end, whatever happened";
const NO_VARIABLES: &str =
    "a script reads `$NAME`; an expression reads what is declared under `inputs`:  inputs.NAME";
const NO_CONTEXT: &str = "ask git or the system in a step before, and read it as `steps.ID.output`";
const NO_MATRIX: &str = "not there yet: write one step for each value, with `needs: []` to run side by side";

/// The names, each with its counterpart.
const NAMES: &[(&str, &str)] = &[
    ("always", AFTER_ALL),
    ("failure", "put the step under `finally`, with `if: not run.ok`, or `if: not steps.ID.ok` for one step"),
    ("success", "leave it out: a step runs only after what it needs has succeeded"),
    ("cancelled", "put the step under `finally`, with `if: steps.ID.status == 'cancelled'`"),
    ("env", NO_VARIABLES),
    ("vars", NO_VARIABLES),
    ("github", NO_CONTEXT),
    ("gitlab", NO_CONTEXT),
    ("runner", NO_CONTEXT),
    ("job", "write `steps.ID`"),
    ("jobs", "write `steps.ID`"),
    ("needs", "write `steps.ID`"),
    ("tasks", "write `steps.ID`"),
    ("matrix", NO_MATRIX),
    ("strategy", NO_MATRIX),
    ("contains", "write `'part' in value`"),
    ("startsWith", "write `value is startingwith 'start'`"),
    ("endsWith", "write `value is endingwith 'end'`"),
    ("format", "join the parts with `~`:  'a ' ~ inputs.b"),
    ("join", "it is a filter:  value | join(', ')"),
    ("fromJSON", "it is a filter:  value | from_json"),
    ("toJSON", "it is a filter:  value | json"),
    ("hashFiles", "do it in a step before, and read it as `steps.ID.output`"),
];

/// Fields of steps in other tools, each with its counterpart here.
const STEP_FIELDS: &[(&str, &str)] = &[
    ("outcome", "write `ok`, or `status`:  steps.ID.status == 'succeeded'"),
    ("conclusion", "write `ok`, or `status`:  steps.ID.status == 'succeeded'"),
    ("result", "write `output` for what it said, `status` for how it ended"),
    ("outputs", "a step has one `output`; with `output: json` it has fields:  steps.ID.output.NAME"),
    ("stdout", "write `output`"),
    ("code", "write `exit_code`"),
];

/// Returns the counterpart of `name`.
pub(crate) fn foreign_name_hint(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|(foreign, _)| *foreign == name).map(|(_, answer)| *answer)
}

/// Returns the counterpart of `field` of a step.
pub(crate) fn foreign_field_hint(field: &str) -> Option<&'static str> {
    STEP_FIELDS.iter().find(|(foreign, _)| *foreign == field).map(|(_, answer)| *answer)
}
