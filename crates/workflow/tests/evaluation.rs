//! Evaluation as the engine uses it.

use std::collections::BTreeMap;

use backstay_model::Coded;
use backstay_model::event::StepStatus;
use backstay_workflow::expression::{Expression, RunValues, Script, StepValues, Template, Values};
use minijinja::Value;

fn values() -> Values {
    let output: Value =
        serde_json::from_str(r#"{"blocking":2,"list":[[1],[2,3]],"b":1,"a":null}"#).expect("fixed text");
    let step = StepValues {
        ok: true,
        status: StepStatus::Succeeded,
        exit_code: Some(0),
        output,
        summary: "done".to_owned(),
        log: "one\ntwo\nthree\n".to_owned(),
        output_path: None,
        artifacts: Vec::new(),
        attempts: 1,
        cycles: 0,
    };
    Values {
        inputs: serde_json::from_str(
            r#"{"text":"it's; $(x) `y`","n":3,"flag":true,"nul":"a\u0000b","code":"npm test"}"#,
        )
        .expect("fixed text"),
        steps: BTreeMap::from([("build".parse().expect("fixed text"), step)]),
        previous: None,
        run: RunValues { id: "run_1".to_owned(), workflow: "w".to_owned(), cwd: "/tmp".to_owned(), ok: true },
    }
}

fn condition(source: &str) -> Result<bool, String> {
    Expression::parse(source)
        .map_err(|error| error.code.to_string())?
        .condition(&values())
        .map_err(|error| error.code().to_string())
}

#[test]
fn a_condition_is_true_or_false_or_an_error() {
    for (source, expected) in [
        ("steps.build.ok", Ok(true)),
        ("steps.build.status == 'succeeded'", Ok(true)),
        ("steps.build.exit_code != 0", Ok(false)),
        ("steps.build.output.blocking > 1 and not inputs.n == 4", Ok(true)),
        ("steps.build.output_path is none", Ok(true)),
        ("steps.build.output.nothing is defined", Ok(false)),
        ("inputs.n", Err("BKS-W100")),
        ("'true'", Err("BKS-W100")),
        ("none", Err("BKS-W100")),
        ("inputs.missing", Err("BKS-W101")),
        ("steps.build.output.nothing.more == 1", Err("BKS-W101")),
        ("range(100000) | map('string') | list | length > range(100000) | list | length", Ok(false)),
        ("inputs.text | from_json", Err("BKS-W104")),
        ("a &&", Err("BKS-W051")),
        ("inputs.n = 3", Err("BKS-W051")),
        ("not (inputs.n = 3)", Err("BKS-W051")),
        ("inputs.flag and [inputs.n = 3]", Err("BKS-W051")),
        ("steps.build.log | tail(lines=(2 - 1)) == 'three\n'", Ok(true)),
    ] {
        assert_eq!(condition(source), expected.map_err(ToOwned::to_owned), "{source}");
    }
}

#[test]
fn an_expression_that_takes_too_long_is_stopped() {
    let template =
        Template::parse("${% for a in range(9999) %}${% for b in range(9999) %}${% endfor %}${% endfor %}");
    let error = template.unwrap().render(&values()).unwrap_err();
    assert_eq!(error.code().to_string(), "BKS-W103");
}

#[test]
fn a_template_prints_texts_as_they_are_and_the_rest_as_json() {
    for (source, expected) in [
        ("plain {{ }} ${#x[@]} $HOME\n", Ok("plain {{ }} ${#x[@]} $HOME\n")),
        ("${{ inputs.text }}|${{ inputs.n }}|${{ inputs.flag }}", Ok("it's; $(x) `y`|3|true")),
        ("${{ steps.build.output }}", Ok(r#"{"blocking":2,"list":[[1],[2,3]],"b":1,"a":null}"#)),
        ("${{ steps.build.output.list | flatten }}", Ok("[1,2,3]")),
        ("${{ steps.build.log | tail(lines=1) }}", Ok("three\n")),
        ("${{ steps.build.log | head(2) }}", Ok("one\ntwo\n")),
        ("${{ 'Ärger & Über 9!' | slug }}", Ok("rger-ber-9")),
        ("${{ 'abcdef' | truncate(4) }}", Ok("abc…")),
        ("${{ 'a```b' | fence }}", Ok("````\na```b\n````")),
        ("${{ '{\"a\": [1]}' | from_json | json }}", Ok(r#"{"a":[1]}"#)),
        ("${{ {'a': {'b': '}}'}} }}", Ok(r#"{"a":{"b":"}}"}}"#)),
        ("${% if inputs.flag %}\nyes\n${% endif %}\nend", Ok("yes\nend")),
        ("${{ steps.build.output.a }}", Err("BKS-W102")),
        ("${{ none | truncate(length=20) }}", Err("BKS-W102")),
        ("${{ none | tail }}", Err("BKS-W102")),
        ("${{ none | fence }}", Err("BKS-W102")),
        ("${{ none | upper }}", Err("BKS-W102")),
        ("${{ none | trim }}", Err("BKS-W102")),
        ("${{ none | replace('a', 'b') }}", Err("BKS-W102")),
        ("${{ ' abc, ' | trim | trim(',') | replace('b', 'B') | lower }}", Ok("abc")),
        ("${{ inputs.missing }}", Err("BKS-W101")),
    ] {
        let rendered = Template::parse(source).unwrap().render(&values());
        let rendered = rendered.map_err(|error| error.code().to_string());
        assert_eq!(
            rendered.as_deref(),
            expected.map_err(ToOwned::to_owned).as_ref().map(|text| *text),
            "{source}"
        );
    }
}

#[test]
fn one_whole_interpolation_keeps_its_type() {
    let value = |source: &str| Template::parse(source).unwrap().value(&values()).unwrap();
    assert_eq!(value("${{ inputs.n }}"), Value::from(3));
    assert_eq!(value(" ${{ steps.build.output.list | flatten }}\n"), Value::from(vec![1, 2, 3]));
    assert!(value("${{ steps.build.output.a }}").is_none());
    assert_eq!(value("${{ inputs.n }}${{ inputs.n }}"), Value::from("33"));
}

#[test]
fn the_steps_that_a_text_names_are_known() {
    let steps = |source: &str| {
        Template::parse(source).unwrap().steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(steps("${{ steps.b.output.x }} ${{ steps.a.ok and inputs.n }}"), "a b");
    assert_eq!(steps("${% for steps in inputs.list %}${{ steps.x }}${% endfor %}"), "");
    assert_eq!(Expression::parse(" steps").unwrap_err().range, 1..6);
    assert_eq!(Expression::parse("  a || b").unwrap_err().range, 4..6);
}

#[test]
fn a_script_has_references_and_never_values() {
    let script = Script::parse("echo ${{ inputs.text }} \"${{inputs.n}}\" # ${{ x y }}\n").unwrap();
    let rendered = script.render(&values()).unwrap();
    assert_eq!(rendered.text, "echo \"${BACKSTAY_V1}\" \"${BACKSTAY_V2}\" # ${{ x y }}\n");
    assert_eq!(
        rendered.env,
        [("BACKSTAY_V1".to_owned(), "it's; $(x) `y`".to_owned()), ("BACKSTAY_V2".to_owned(), "3".to_owned())]
    );
    let nul = Script::parse("echo ${{ inputs.nul }}").unwrap().render(&values()).unwrap_err();
    assert_eq!(nul.code().to_string(), "BKS-W105");
    let large = Script::parse("echo ${{ inputs.text * 20000 }}").unwrap().render(&values()).unwrap_err();
    assert_eq!(large.code().to_string(), "BKS-W107");
    assert!(large.to_string().contains("one value in a script at most 131059"), "{large}");
    assert_eq!(Script::whole("code").render(&values()).unwrap().text, "npm test");
}
