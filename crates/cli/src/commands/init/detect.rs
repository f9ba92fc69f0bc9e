//! The command that tests a repository, as its own files say it.

use std::io::ErrorKind;

use camino::Utf8Path;
use serde::Serialize;
use toml::de::DeTable;

use crate::error::CliError;

/// A command that tests a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct TestCommand {
    /// The command.
    pub(super) command: String,
    /// What says so: a file, or the option of the person.
    pub(super) by: String,
}

/// What a folder says of its tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Detected {
    /// The commands, the one that is meant most likely first.
    pub(super) commands: Vec<TestCommand>,
    /// What could not be understood.
    pub(super) remarks: Vec<String>,
}

/// What `npm init` writes where there are no tests.
const NPM_PLACEHOLDER: &str = "no test specified";
/// Who runs the scripts of a package, by the file that it leaves.
const PACKAGE_RUNNERS: [(&str, &str); 5] = [
    ("pnpm-lock.yaml", "pnpm test"),
    ("yarn.lock", "yarn test"),
    ("bun.lock", "bun run test"),
    ("bun.lockb", "bun run test"),
    ("package-lock.json", "npm test"),
];
/// Who runs Python, by the file that it leaves.
const PYTHON_RUNNERS: [(&str, &str); 2] =
    [("uv.lock", "uv run pytest"), ("poetry.lock", "poetry run pytest")];
const MAKEFILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];

/// Looks for test commands in `folder`.
///
/// # Errors
/// A file that is there cannot be read.
pub(super) fn detect(folder: &Utf8Path) -> Result<Detected, CliError> {
    let mut detected = Detected::default();
    for look in [cargo, package, python, go, make] {
        look(folder, &mut detected)?;
    }
    Ok(detected)
}

impl Detected {
    fn add(&mut self, command: &str, by: &str) {
        self.commands.push(TestCommand { command: command.to_owned(), by: by.to_owned() });
    }
}

fn cargo(folder: &Utf8Path, detected: &mut Detected) -> Result<(), CliError> {
    let Some(text) = read(folder, "Cargo.toml")? else { return Ok(()) };
    match DeTable::parse(&text) {
        Ok(manifest) => {
            let is_workspace = manifest.get_ref().keys().any(|key| key.get_ref() == "workspace");
            detected.add(if is_workspace { "cargo test --workspace" } else { "cargo test" }, "Cargo.toml");
        }
        Err(error) => detected.remarks.push(format!("Cargo.toml is no TOML: {}", error.message())),
    }
    Ok(())
}

fn package(folder: &Utf8Path, detected: &mut Detected) -> Result<(), CliError> {
    #[derive(serde::Deserialize)]
    struct Package {
        #[serde(default)]
        scripts: std::collections::BTreeMap<String, String>,
    }
    let Some(text) = read(folder, "package.json")? else { return Ok(()) };
    match serde_json::from_str::<Package>(&text) {
        Ok(package) => {
            let script = package.scripts.get("test").map_or("", |script| script.trim());
            if !script.is_empty() && !script.contains(NPM_PLACEHOLDER) {
                let runner = PACKAGE_RUNNERS.iter().find(|(file, _)| folder.join(file).exists());
                detected.add(runner.map_or("npm test", |(_, command)| command), "package.json");
            }
        }
        Err(error) => detected.remarks.push(format!("package.json cannot be understood: {error}")),
    }
    Ok(())
}

fn python(folder: &Utf8Path, detected: &mut Detected) -> Result<(), CliError> {
    let runner = PYTHON_RUNNERS.iter().find(|(file, _)| folder.join(file).exists());
    let command = runner.map_or("python3 -m pytest", |(_, command)| command);
    for (file, sign) in [
        ("pyproject.toml", "pytest"),
        ("setup.cfg", "tool:pytest"),
        ("tox.ini", "pytest"),
        ("pytest.ini", ""),
    ] {
        if read(folder, file)?.is_some_and(|text| text.contains(sign)) {
            detected.add(command, file);
            return Ok(());
        }
    }
    let is_project =
        ["pyproject.toml", "setup.py", "setup.cfg"].iter().any(|file| folder.join(file).exists());
    if let Some(file) = python_test(folder)?.filter(|_| is_project) {
        detected.add(command, &file);
    }
    Ok(())
}

/// A file of tests as pytest finds them.
fn python_test(folder: &Utf8Path) -> Result<Option<String>, CliError> {
    for place in ["tests", "test"] {
        let unreadable = |source| CliError::ReadFile { path: folder.join(place), source };
        let entries = match folder.join(place).read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(source) => return Err(unreadable(source)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(unreadable)?.file_name().to_owned());
        }
        names.sort();
        let is_test = |name: &&String| {
            name.strip_suffix(".py").is_some_and(|stem| stem.starts_with("test_") || stem.ends_with("_test"))
        };
        if let Some(name) = names.iter().find(is_test) {
            return Ok(Some(format!("{place}/{name}")));
        }
    }
    Ok(None)
}

fn go(folder: &Utf8Path, detected: &mut Detected) -> Result<(), CliError> {
    if read(folder, "go.mod")?.is_some() {
        detected.add("go test ./...", "go.mod");
    }
    Ok(())
}

fn make(folder: &Utf8Path, detected: &mut Detected) -> Result<(), CliError> {
    for file in MAKEFILES {
        // make itself takes the first of them that is there.
        let Some(text) = read(folder, file)? else { continue };
        if text.lines().any(has_test_target) {
            detected.add("make test", file);
        }
        return Ok(());
    }
    Ok(())
}

/// Whether a line of a makefile begins a rule for `test`: no recipe, and no assignment.
fn has_test_target(line: &str) -> bool {
    let Some((targets, rest)) = line.split_once(':') else { return false };
    let is_assignment = rest.starts_with('=') || rest.starts_with(":=") || targets.contains('=');
    let is_rule = !line.starts_with(['\t', '#', ' ', '.']) && !is_assignment;
    is_rule && targets.split_whitespace().any(|target| target == "test")
}

fn read(folder: &Utf8Path, name: &str) -> Result<Option<String>, CliError> {
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => Ok(None),
        Err(source) => Err(CliError::ReadFile { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Detected {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        detect(folder).unwrap()
    }

    #[test]
    fn each_kind_of_repository_has_its_test_command() {
        /// Names with what belongs to them.
        type Pairs = &'static [(&'static str, &'static str)];
        let cases: [(Pairs, Pairs); 17] = [
            (&[("Cargo.toml", "[package]\nname = \"x\"\n")], &[("cargo test", "Cargo.toml")]),
            (&[("Cargo.toml", "[workspace]\nmembers = []\n")], &[("cargo test --workspace", "Cargo.toml")]),
            (&[("package.json", r#"{"scripts": {"test": "vitest run"}}"#)], &[("npm test", "package.json")]),
            (
                &[("package.json", r#"{"scripts": {"test": "jest"}}"#), ("pnpm-lock.yaml", "")],
                &[("pnpm test", "package.json")],
            ),
            (
                &[("package.json", r#"{"scripts": {"test": "jest"}}"#), ("yarn.lock", "")],
                &[("yarn test", "package.json")],
            ),
            (
                &[(
                    "package.json",
                    r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#,
                )],
                &[],
            ),
            (&[("package.json", r#"{"scripts": {"build": "tsc"}}"#)], &[]),
            (&[("package.json", r#"{"name": "x"}"#)], &[]),
            (
                &[("pyproject.toml", "[tool.pytest.ini_options]\n")],
                &[("python3 -m pytest", "pyproject.toml")],
            ),
            (
                &[("pyproject.toml", "[dependency-groups]\ndev = [\"pytest>=8\"]\n"), ("uv.lock", "")],
                &[("uv run pytest", "pyproject.toml")],
            ),
            (&[("pytest.ini", "")], &[("python3 -m pytest", "pytest.ini")]),
            (
                &[("pyproject.toml", "[project]\nname = \"x\"\n"), ("tests/test_a.py", "")],
                &[("python3 -m pytest", "tests/test_a.py")],
            ),
            (&[("pyproject.toml", "[project]\nname = \"x\"\n"), ("tests/data.json", "")], &[]),
            (&[("go.mod", "module x\n")], &[("go test ./...", "go.mod")]),
            (&[("Makefile", "build test: deps\n\tgo test\n")], &[("make test", "Makefile")]),
            (&[("Makefile", "# test:\ntest := x\ntest ::= y\n.PHONY: test\nbuild:\n\ttest: x\n")], &[]),
            (
                &[("Makefile", "test:\n\tcargo test\n"), ("Cargo.toml", "[package]\n"), ("src/lib.rs", "")],
                &[("cargo test", "Cargo.toml"), ("make test", "Makefile")],
            ),
        ];
        for (files, expected) in cases {
            let found = of(files);
            let commands: Vec<_> =
                found.commands.iter().map(|test| (test.command.as_str(), test.by.as_str())).collect();
            assert_eq!(commands, expected, "{files:?}");
            assert_eq!(found.remarks, [""; 0], "{files:?}");
        }
        assert_eq!(of(&[]), Detected::default());
    }

    #[test]
    fn what_cannot_be_understood_is_told_and_hides_nothing_else() {
        let found = of(&[("package.json", "{"), ("Cargo.toml", "[package"), ("go.mod", "module x\n")]);
        assert_eq!(found.commands.len(), 1);
        assert!(found.remarks[0].starts_with("Cargo.toml is no TOML: "), "{found:?}");
        assert!(found.remarks[1].starts_with("package.json cannot be understood: "), "{found:?}");
    }
}
