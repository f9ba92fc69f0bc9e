//! Opening a store.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use backstay_agent::Presets;
use backstay_model::event::Actor;
use backstay_runtime::{Clock, Registry, Sink, Store};
use camino::Utf8PathBuf;

use crate::error::Error;
use crate::handle::{Backstay, Settings};

/// Begins to open the store in this folder, which is made if it is not there: nothing is done until what this returns is
/// awaited. A relative path is one from the working folder.
///
/// ```no_run
/// # async fn example() -> Result<(), backstay::Error> {
/// let backstay = backstay::open(".backstay").await?;
/// # Ok(()) }
/// ```
pub fn open(folder: impl Into<Utf8PathBuf>) -> Opening {
    Opening {
        folder: folder.into(),
        create: true,
        adopt: false,
        or_read_only: false,
        environment: None,
        agents: None,
        actor: None,
        clock: None,
        keeper_program: None,
        sinks: Vec::new(),
    }
}

/// A store that is about to be opened. Awaiting it opens it.
#[must_use = "nothing is opened until this is awaited"]
pub struct Opening {
    folder: Utf8PathBuf,
    create: bool,
    adopt: bool,
    or_read_only: bool,
    environment: Option<BTreeMap<String, String>>,
    agents: Option<Presets>,
    actor: Option<Actor>,
    clock: Option<Arc<dyn Clock>>,
    keeper_program: Option<Utf8PathBuf>,
    sinks: Vec<Box<dyn Sink>>,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment may hold secrets.
        f.debug_struct("Opening").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Opening {
    /// Does not make the store where it is not there.
    pub fn existing(mut self) -> Opening {
        self.create = false;
        self
    }

    /// Takes the store as this user's, where it came from elsewhere, is a copy, or is older than what this user had.
    pub fn adopt(mut self) -> Opening {
        self.adopt = true;
        self
    }

    /// Opens the store for reading where it is not this user's or cannot be written.
    pub fn or_read_only(mut self) -> Opening {
        self.or_read_only = true;
        self
    }

    /// The environment that steps start from, and that names the user's folders. Default: that of this process.
    pub fn environment(mut self, environment: BTreeMap<String, String>) -> Opening {
        self.environment = Some(environment);
        self
    }

    /// The agents that workflows can name. Default: those that come with Backstay.
    pub fn agents(mut self, agents: Presets) -> Opening {
        self.agents = Some(agents);
        self
    }

    /// Who starts runs and says things to them. Default: the user that the environment names.
    pub fn actor(mut self, actor: Actor) -> Opening {
        self.actor = Some(actor);
        self
    }

    /// What tells the time, for tests. Default: the clocks of this machine.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Opening {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The program that keepers are: one that calls [`init`](crate::init), such as `backstay` itself. Default: this one.
    pub fn keeper_program(mut self, program: impl Into<Utf8PathBuf>) -> Opening {
        self.keeper_program = Some(program.into());
        self
    }

    /// Gives `sink` every event of the runs that this process works on.
    pub fn sink(mut self, sink: impl Sink) -> Opening {
        self.sinks.push(Box::new(sink));
        self
    }

    async fn opened(self) -> Result<Backstay, Error> {
        let cwd = std::env::current_dir().and_then(utf8).map_err(Error::WorkingFolder)?;
        let environment = self.environment.unwrap_or_else(environment);
        let mut opening = Store::open(&cwd.join(&self.folder), &Registry::of_environment(&environment));
        if self.create {
            opening = opening.create();
        }
        if self.adopt {
            opening = opening.adopt();
        }
        if self.or_read_only {
            opening = opening.or_read_only();
        }
        let mut store = opening.await?;
        if let Some(clock) = self.clock {
            store = store.with_clock(clock);
        }
        let actor = self.actor.unwrap_or_else(|| user(&environment));
        let agents = self.agents.map_or_else(Presets::built_in, Ok)?;
        let settings = Settings { environment, agents, actor, keeper_program: self.keeper_program };
        Ok(Backstay::new(store, settings, self.sinks))
    }
}

impl IntoFuture for Opening {
    type Output = Result<Backstay, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.opened())
    }
}

/// The environment of this process. What is not UTF-8 is left out: no step could name it.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn user(environment: &BTreeMap<String, String>) -> Actor {
    let name = environment.get("USER").filter(|name| !name.is_empty());
    Actor { name: name.map_or("somebody", String::as_str).to_owned(), via: "library".to_owned() }
}

/// A path of the system's, which has to be UTF-8.
pub(crate) fn utf8(path: std::path::PathBuf) -> io::Result<Utf8PathBuf> {
    Utf8PathBuf::from_path_buf(path).map_err(|path| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is not UTF-8", path.display()))
    })
}
