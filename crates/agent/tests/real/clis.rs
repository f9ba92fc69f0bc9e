//! How each CLI is run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use backstay_agent::{
    Access, AgentEvent, Counts, DeliveryVia, Observed, Obstacle, Preset, Presets, Progress, Reader, Request,
    SchemaFile, SessionUse, Symptom, command_line,
};
use backstay_testkit::{Endpoint, Received, Script};
use camino::Utf8PathBuf;

use crate::cli::{Cli, Login};
use crate::install;

/// The longest that one of these small runs may take on a slow machine; opencode's first start takes 10 s on a quick one.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long is waited for answers before it is looked whether the CLI has ended.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A home and a repository of their own for one CLI.
pub(crate) struct Workplace {
    cli: Cli,
    preset: Preset,
    programs: Utf8PathBuf,
    root: Utf8PathBuf,
    login: Login,
    _temporary: tempfile::TempDir,
}

/// How a run of a CLI went.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) events: Vec<Observed>,
    pub(crate) counts: Counts,
    pub(crate) requests: Vec<Received>,
    pub(crate) url: String,
}

impl Run {
    pub(crate) fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        self.events.iter().for_each(|observed| progress.apply(&observed.event));
        progress
    }
}

impl Workplace {
    /// `None`, having said why, where the CLI is not to be had.
    pub(crate) fn new(cli: Cli, login: Login) -> Option<Workplace> {
        let programs = install::programs()?;
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(temporary.path().canonicalize().unwrap()).unwrap();
        let preset = Presets::built_in().unwrap().get(cli.name()).unwrap().clone();
        let place = Workplace { cli, preset, programs, root, login, _temporary: temporary };
        for folder in [place.home(), place.folder()] {
            std::fs::create_dir(folder).unwrap();
        }
        let git = Command::new("git").args(["init", "--quiet"]).current_dir(place.folder()).status().unwrap();
        assert!(git.success());
        if login != Login::Never {
            cli.furnish(&place.home());
        }
        Some(place)
    }

    pub(crate) fn home(&self) -> Utf8PathBuf {
        self.root.join("home")
    }

    pub(crate) fn folder(&self) -> Utf8PathBuf {
        self.root.join("project")
    }

    pub(crate) fn preset(&self) -> &Preset {
        &self.preset
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, script: Script, session: SessionUse, access: Access) -> Run {
        let endpoint = Endpoint::start(script).unwrap();
        let child = self.spawn(&endpoint, self.request(session, access));
        let output = self.output(child);
        self.told(&endpoint, output)
    }

    /// Runs it until the script has given `answers` answers, then kills it and all that it started.
    pub(crate) fn run_and_kill(&self, script: Script, session: SessionUse, answers: usize) -> Run {
        let endpoint = Endpoint::start(script).unwrap();
        let child = self.spawn(&endpoint, self.request(session, Access::Write));
        let group = child.id();
        assert!(
            endpoint.wait_for_answers(answers, PATIENCE),
            "{} asked {:?}",
            self.cli.name(),
            endpoint.received()
        );
        kill(group);
        let output = self.output(child);
        self.told(&endpoint, output)
    }

    /// Runs it to its end, or until the script has given `answers` answers: then it is killed with all that it started.
    pub(crate) fn run_until_answers(&self, script: Script, session: SessionUse, answers: usize) -> Run {
        let endpoint = Endpoint::start(script).unwrap();
        let child = self.spawn(&endpoint, self.request(session, Access::Write));
        let group = child.id();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        // Each wait ends with the answers, so that only an end of the process is seen late.
        let early = std::iter::repeat_with(|| endpoint.wait_for_answers(answers, LOOK_AGAIN))
            .map(|is_answered| (is_answered, receiver.try_recv().ok()))
            .take(usize::try_from(PATIENCE.as_secs()).unwrap())
            .find(|(is_answered, ended)| *is_answered || ended.is_some());
        let output = match early {
            Some((_, Some(output))) => output,
            Some((_, None)) | None => {
                kill(group);
                receiver.recv().unwrap()
            }
        };
        self.told(&endpoint, output.unwrap())
    }

    /// Runs it until its stderr says what is wrong, then ends it. Its stderr is what it said until then.
    pub(crate) fn run_until_symptom(&self, script: Script, session: SessionUse) -> (Option<Symptom>, Run) {
        let endpoint = Endpoint::start(script).unwrap();
        let mut child = self.spawn(&endpoint, self.request(session, Access::Write));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (group, signs) = (child.id(), self.preset.signs().clone());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut said, mut symptom) = (String::new(), None);
            for line in stderr.lines().map_while(Result::ok) {
                said.push_str(&line);
                said.push('\n');
                symptom = signs.symptom(&line);
                if symptom.is_some() {
                    break;
                }
            }
            sender.send((symptom, said))
        });
        let heard = receiver.recv_timeout(PATIENCE);
        kill(group);
        let (symptom, stderr) = heard.unwrap_or_default();
        let output = Output { stderr: stderr.into_bytes(), ..self.output(child) };
        (symptom, self.told(&endpoint, output))
    }

    /// Runs it until its stream or its stderr says what is in its way, as a run of Backstay hears it, then ends it. Gives that,
    /// and the requests by then; none if it ended without.
    pub(crate) fn first_obstacle(&self, script: Script) -> (Option<Obstacle>, usize) {
        let endpoint = Endpoint::start(script).unwrap();
        let session = SessionUse::Start { id: self.cli.new_session() };
        let mut child = self.spawn(&endpoint, self.request(session, Access::Write));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (signs, format) = (self.preset.signs().clone(), self.preset.stream());
        let (group, (sender, receiver)) = (child.id(), mpsc::channel());
        let (of_stream, of_stderr) = (sender.clone(), sender);
        let signs_of_stderr = signs.clone();
        std::thread::spawn(move || {
            let mut reader = Reader::new(format, signs, 0);
            let found = BufReader::new(stdout).split(b'\n').map_while(Result::ok).find_map(|mut line| {
                line.push(b'\n');
                obstacle(reader.feed(&line).into_iter().map(|observed| observed.event))
            });
            of_stream
                .send(found.or_else(|| obstacle(reader.end().into_iter().map(|observed| observed.event))))
        });
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
            of_stderr.send(lines.find_map(|line| obstacle(signs_of_stderr.event(&line))))
        });
        // Each of the two says once what it found, or that it ended.
        let first = receiver.recv_timeout(PATIENCE).unwrap_or(None);
        let found = first.or_else(|| receiver.recv_timeout(PATIENCE).unwrap_or(None));
        kill(group);
        child.wait().unwrap();
        (found, endpoint.received().iter().filter(|request| request.answer.is_some()).count())
    }

    /// Runs it to its end; its answer shall be of the form `schema`.
    pub(crate) fn run_with_schema(&self, script: Script, schema: &str) -> Run {
        let endpoint = Endpoint::start(script).unwrap();
        let path = self.root.join("schema.json");
        std::fs::write(&path, schema).unwrap();
        let mut request = self.request(SessionUse::Start { id: self.cli.new_session() }, Access::Read);
        request.schema = Some(SchemaFile { text: schema.to_owned(), path: path.into_string() });
        let output = self.output(self.spawn(&endpoint, request));
        self.told(&endpoint, output)
    }

    /// Runs it to its end, with `prompt` given `via`.
    pub(crate) fn run_with_prompt(&self, script: Script, via: DeliveryVia, prompt: &str) -> Run {
        let endpoint = Endpoint::start(script).unwrap();
        let mut request = self.request(SessionUse::Start { id: self.cli.new_session() }, Access::Write);
        (request.via, request.prompt) = (Some(via), prompt.to_owned());
        let output = self.output(self.spawn(&endpoint, request));
        self.told(&endpoint, output)
    }

    /// Runs it to its end with `args` of the user's.
    pub(crate) fn run_with_args(&self, script: Script, session: SessionUse, args: Vec<String>) -> Run {
        let endpoint = Endpoint::start(script).unwrap();
        let request = Request { args, ..self.request(session, Access::Write) };
        let output = self.output(self.spawn(&endpoint, request));
        self.told(&endpoint, output)
    }

    fn request(&self, session: SessionUse, access: Access) -> Request {
        Request {
            prompt: "Write a greeting.".to_owned(),
            via: None,
            prompt_file: None,
            access,
            model: None,
            session,
            schema: None,
            args: Vec::new(),
        }
    }

    fn spawn(&self, endpoint: &Endpoint, mut request: Request) -> Child {
        let (args, env) = self.cli.connection(&endpoint.url(), self.login);
        request.args.splice(0..0, args);
        let line = command_line(&self.preset, &request).unwrap();
        let system = std::env::var_os("PATH").unwrap().into_string().unwrap();
        let mut child = Command::new(self.programs.join(&line.argv[0]))
            .args(&line.argv[1..])
            .env_clear()
            .env("PATH", format!("{}:{system}", self.programs))
            .env("HOME", self.home())
            .env("TZ", "UTC")
            .envs(env)
            .envs(&line.env)
            .current_dir(self.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        if let backstay_agent::Stdin::Text(text) = line.stdin {
            match stdin.write_all(text.as_bytes()) {
                // It has ended without reading, and says why.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
                written => written.unwrap(),
            }
        }
        child
    }

    fn output(&self, child: Child) -> Output {
        let group = child.id();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        match receiver.recv_timeout(PATIENCE) {
            Ok(output) => output.unwrap(),
            Err(_too_late) => {
                kill(group);
                let output = receiver.recv().unwrap().unwrap();
                panic!("{} did not end in {PATIENCE:?}: {output:?}", self.cli.name());
            }
        }
    }

    fn told(&self, endpoint: &Endpoint, output: Output) -> Run {
        let mut reader = Reader::new(self.preset.stream(), self.preset.signs().clone(), 0);
        let mut events = reader.feed(&output.stdout);
        events.extend(reader.end());
        Run {
            code: output.status.code(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            stdout: output.stdout,
            events,
            counts: reader.counts(),
            requests: endpoint.received(),
            url: endpoint.url(),
        }
    }
}

/// What is in the agent's way after these events.
fn obstacle(events: impl IntoIterator<Item = AgentEvent>) -> Option<Obstacle> {
    let mut progress = Progress::default();
    events.into_iter().for_each(|event| progress.apply(&event));
    progress.obstacle().cloned()
}

fn kill(group: u32) {
    let status = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status().unwrap();
    assert!(status.success());
}
