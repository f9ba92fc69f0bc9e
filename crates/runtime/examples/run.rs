//! Runs a workflow file by the library alone: `run FILE [STORE]`. Called as `keeper --folder DIR` it is its own keeper.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

use backstay_agent::Presets;
use backstay_exec::{Keepers, keeper_main, socket_folders};
use backstay_log::ClaimMode;
use backstay_model::event::Actor;
use backstay_runtime::{
    DriveEnd, Owner, OwnerSettings, Registry, RunRequest, StopSwitch, Store, preset_traits, schema_fault,
};
use backstay_workflow::{CheckInput, check};
use camino::{Utf8Path, Utf8PathBuf};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["keeper", "--folder", folder] => keeper_main(Utf8Path::new(folder)),
        [file] => report(run(file, ".backstay")),
        [file, store] => report(run(file, store)),
        _ => {
            eprintln!("usage: run FILE [STORE]");
            ExitCode::from(2)
        }
    }
}

fn report(end: Result<DriveEnd, Box<dyn Error>>) -> ExitCode {
    match end {
        Ok(end) => {
            println!("{end:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(file: &str, store: &str) -> Result<DriveEnd, Box<dyn Error>> {
    let cwd = Utf8PathBuf::try_from(std::env::current_dir()?)?;
    let path = cwd.join(file);
    let folder = path.parent().unwrap_or(&cwd).to_owned();
    let text = std::fs::read_to_string(&path)?;
    let read_file = |name: &str| std::fs::read_to_string(folder.join(name));
    let presets = Presets::built_in()?;
    let input = CheckInput {
        path: file,
        text: &text,
        read_file: &read_file,
        schema_fault: &schema_fault,
        reading_fault: &|_| None,
        agents: BTreeMap::new(),
        presets: preset_traits(&presets),
    };
    let checked = check(&input)
        .map_err(|diagnostics| diagnostics.iter().map(|found| found.render(&text, 92)).collect::<String>())?;
    let inputs = checked.plan.bind_inputs(&BTreeMap::new()).map_err(|problems| format!("{problems:?}"))?;

    let env: BTreeMap<String, String> = std::env::vars().collect();
    let store = Store::open(&cwd.join(store), &Registry::of_environment(&env)).create().await?;
    let request = RunRequest {
        inputs: inputs.to_json()?,
        agents: Vec::new(),
        plan: checked.plan,
        presets,
        source: text,
        file: file.to_owned(),
        folder,
        cwd,
        within: None,
        by: Actor { name: "example".to_owned(), via: "library".to_owned() },
    };
    let run = store.request(request).await?;
    println!("{run}");
    let program = Utf8PathBuf::try_from(std::env::current_exe()?)?;
    let keepers = Keepers::new(program, vec!["keeper".to_owned()], socket_folders(None));
    let owner = Owner::register(&store, OwnerSettings { keepers, env }).await?;
    let end = owner.drive(run, ClaimMode::IfFree, &StopSwitch::default()).await?;
    println!("{}", serde_json::to_string_pretty(&store.view(run).await?.record)?);
    Ok(end)
}
