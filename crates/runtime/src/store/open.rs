//! Opening a store: is it this user's, the one that this user had, and may it be written?

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use backstay_log::crash::crash_point;
use backstay_log::maintenance::{StoreIdentity, identify, refuse_damage};
use backstay_log::{BlobStore, InspectError, OpenError, OpenOptions, SqliteLog};
use backstay_model::{LogId, Position};
use camino::{Utf8Path, Utf8PathBuf};

use super::home::Home;
use super::identity::{forget_left, identity_of, is_still, misses_one, peek_copy, standing_of};
use super::mirror::{Mirror, MirrorError, ReadSource};
use super::open_error::StoreOpenError;
use super::paths::{is_writable, real, real_place};
use super::private::{self, PrivateError};
use super::read_only::{ReadOnlyReason, ReadOnlyStore};
use super::registration::Registration;
use super::{Access, DATABASE, Store};
use crate::care::{self, Adopted, refuse_backup};
use crate::clock::{Clock, SystemClock};
use crate::registry::{RegisteredStore, Registry, RegistryError, Standing};

/// A store that is about to be opened. Awaiting it opens it.
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until this is awaited"]
pub struct OpenStore {
    folder: Utf8PathBuf,
    registry: Registry,
    create: bool,
    adopt: bool,
    or_read_only: bool,
}

/// A store that is open, and what was adopted on the way.
#[derive(Debug)]
struct Opened {
    store: Store,
    adopted: Option<Adopted>,
}

impl From<Store> for Opened {
    fn from(store: Store) -> Opened {
        Opened { store, adopted: None }
    }
}

impl IntoFuture for OpenStore {
    type Output = Result<Store, StoreOpenError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.opened().await?.store) })
    }
}

impl OpenStore {
    pub(super) const fn new(folder: Utf8PathBuf, registry: Registry) -> OpenStore {
        OpenStore { folder, registry, create: false, adopt: false, or_read_only: false }
    }

    /// Makes the store if it is not there.
    pub const fn create(mut self) -> OpenStore {
        self.create = true;
        self
    }

    /// Adopts the store if it is not this user's, or not the one that this user had. Where there is no registry, it is used
    /// as it is, and nobody knows it the next time.
    pub const fn adopt(mut self) -> OpenStore {
        self.adopt = true;
        self
    }

    /// Opens a store for reading only where it is not adopted or cannot be written: see [`Store::read_only`].
    pub const fn or_read_only(mut self) -> OpenStore {
        self.or_read_only = true;
        self
    }

    /// Opens the store, and adopts it if need be; says what was adopted.
    ///
    /// # Errors
    /// [`StoreOpenError`]; also if there is no registry.
    pub async fn adopting(self) -> Result<(Store, Option<Adopted>), StoreOpenError> {
        let registry = self.registry.clone();
        tokio::task::spawn_blocking(move || registry.prepare()).await.map_err(StoreOpenError::Thread)??;
        let Opened { store, adopted } = self.adopt().opened().await?;
        Ok((store, adopted))
    }

    /// Where the store can be read without changing anything in it, and why not in its own folder. For what looks at a store
    /// that may be damaged.
    ///
    /// # Errors
    /// [`StoreOpenError`] if it is not this user's, or cannot be copied.
    pub async fn read_source(self) -> Result<(ReadSource, Option<ReadOnlyReason>), StoreOpenError> {
        tokio::task::spawn_blocking(move || self.source()).await.map_err(StoreOpenError::Thread)?
    }

    fn source(mut self) -> Result<(ReadSource, Option<ReadOnlyReason>), StoreOpenError> {
        private::check_place(&self.folder)?;
        let in_place = |folder| Ok((ReadSource::in_place(folder), None));
        // Whoever looks at it says what is wrong.
        if self.folder.join(DATABASE).symlink_metadata().is_err() {
            return in_place(self.folder);
        }
        self.folder = real(&self.folder)?;
        private::check_store(&self.folder, true)?;
        self.refuse_damage()?;
        if refuse_backup(&self.folder).is_err() {
            return Ok((ReadSource::copied(&self.folder)?, None));
        }
        let copied = |reason| Ok((ReadSource::copied(&self.folder)?, Some(reason)));
        if !is_writable(&self.folder) {
            return copied(ReadOnlyReason::NotWritable);
        }
        if self.adopt {
            return in_place(self.folder);
        }
        match self.registered() {
            Ok(Some(_)) => return in_place(self.folder),
            Ok(None) => {}
            Err(StoreOpenError::Registry(error)) => {
                return copied(ReadOnlyReason::NoRegistry { what: error.to_string() });
            }
            Err(StoreOpenError::Look(error)) if error.is_finding() => {
                return Ok((ReadSource::in_place(self.folder).with_damage(error), None));
            }
            Err(error) => return Err(error),
        }
        let unknown = ReadOnlyReason::NotAdopted(Standing::Unknown);
        let (peeked, mirror) = match self.look() {
            Ok(looked) => looked,
            Err(StoreOpenError::Look(error)) if error.is_finding() => {
                return Ok((ReadSource::copied(&self.folder)?.with_damage(error), Some(unknown)));
            }
            Err(error) => return Err(error),
        };
        let reason = match peeked {
            StoreIdentity::Log { log, newest } => {
                match standing_of(&self.folder, &self.registry, log, newest)? {
                    standing if standing.is_own() => return in_place(self.folder),
                    standing => ReadOnlyReason::NotAdopted(standing),
                }
            }
            StoreIdentity::Blank => unknown,
        };
        let source = match mirror {
            Some(mirror) => ReadSource::mirrored(self.folder, mirror),
            None => ReadSource::copied(&self.folder)?,
        };
        Ok((source, Some(reason)))
    }

    /// Registers a store that was just made by other means, such as from a backup, or one that this user vouches for. Where
    /// there is no registry and the store is adopted, it stays unregistered. Blocks.
    ///
    /// # Errors
    /// [`StoreOpenError`] if it cannot be looked at or registered.
    pub fn register_made(mut self) -> Result<(), StoreOpenError> {
        self.folder = real(&self.folder)?;
        let StoreIdentity::Log { log, newest } = identify(self.folder.as_std_path())? else {
            return Err(OpenError::Missing { location: self.folder.into() }.into());
        };
        match self.put(log, newest) {
            // It is used unregistered.
            Err(_) if self.adopt => Ok(()),
            put => Ok(put?),
        }
    }

    async fn opened(self) -> Result<Opened, StoreOpenError> {
        tokio::task::spawn_blocking(move || self.run()).await.map_err(StoreOpenError::Thread)?
    }

    fn run(mut self) -> Result<Opened, StoreOpenError> {
        private::check_place(&self.folder)?;
        refuse_backup(&self.folder)?;
        match std::fs::metadata(&self.folder) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.create => return self.make(),
            // The log says what is wrong with it.
            Err(_) => return Ok(self.open_log(None)?.into()),
        }
        self.folder = real(&self.folder)?;
        if !self.folder.is_dir() {
            return Ok(self.open_log(None)?.into());
        }
        private::check_store(&self.folder, self.or_read_only)?;
        self.refuse_damage()?;
        if std::fs::symlink_metadata(self.folder.join(DATABASE)).is_err() {
            return if self.create { self.make() } else { Ok(self.open_log(None)?.into()) };
        }
        if self.or_read_only && !is_writable(&self.folder) {
            return self.read(ReadOnlyReason::NotWritable);
        }
        private::check_store(&self.folder, false)?;
        match self.registered() {
            Ok(Some(entry)) => Ok(self.open_log(Some(entry))?.into()),
            Ok(None) => self.open_unregistered(),
            Err(StoreOpenError::Registry(error)) => self.without_registry(error),
            Err(error) => Err(error),
        }
    }

    /// Refuses a damaged store before SQLite sees it, or a copy of it without what tells of the damage.
    fn refuse_damage(&self) -> Result<(), StoreOpenError> {
        Ok(refuse_damage(self.folder.as_std_path()).map_err(InspectError::from)?)
    }

    /// What is known of the store at this path, if it is still that one and has not gone back.
    fn registered(&self) -> Result<Option<RegisteredStore>, StoreOpenError> {
        let Some(entry) = self.registry.at_path(&self.folder)? else { return Ok(None) };
        Ok(is_still(&self.folder, &entry)?.then_some(entry))
    }

    /// What there is to do where nobody can tell whose a store is.
    fn without_registry(self, error: RegistryError) -> Result<Opened, StoreOpenError> {
        if self.adopt {
            return Ok(self.open_log(None)?.into());
        }
        if self.or_read_only {
            return self.read(ReadOnlyReason::NoRegistry { what: error.to_string() });
        }
        Err(error.into())
    }

    /// Makes a new store, and registers it.
    fn make(mut self) -> Result<Opened, StoreOpenError> {
        let lock = match self.registry.prepare().and_then(|()| self.registry.lock()) {
            Ok(lock) => Some(lock),
            Err(_) if self.adopt => None,
            Err(error) => return Err(error.into()),
        };
        self.refuse_damage()?;
        let is_made = self.folder.join(DATABASE).symlink_metadata().is_ok_and(|found| found.len() > 0);
        if lock.is_some() && is_made && self.has_log()? {
            // Another process was first: by now it has registered it.
            drop(lock);
            return self.run();
        }
        if let Some(name) = private::other_things(&self.folder)? {
            return Err(StoreOpenError::OtherThings { folder: self.folder, name });
        }
        self.folder = real_place(&self.folder)?;
        if lock.is_none() {
            return Ok(self.open_log(None)?.into());
        }
        self.registry.begin_making(&self.folder)?;
        let log = match self.log() {
            Ok(log) => log,
            Err(error) => {
                // Another store that comes to this place later is not the one that was to be made.
                self.registry.end_making(&self.folder)?;
                return Err(error);
            }
        };
        crash_point("store.make.made");
        let store = self.register(log)?;
        self.registry.end_making(&self.folder)?;
        drop(lock);
        Ok(store.into())
    }

    /// Whether the database in the folder has been made.
    fn has_log(&self) -> Result<bool, StoreOpenError> {
        Ok(matches!(identify(self.folder.as_std_path())?, StoreIdentity::Log { .. }))
    }

    /// Opens a store of which the registry knows nothing at this path.
    fn open_unregistered(mut self) -> Result<Opened, StoreOpenError> {
        if let Err(error) = self.registry.prepare() {
            return self.without_registry(error);
        }
        // It may take long, and others need the lock meanwhile.
        let looked = self.look();
        // Whoever makes a store at this moment holds the lock until it is registered.
        let lock = match self.registry.lock() {
            Ok(lock) => lock,
            Err(error) => return self.without_registry(error),
        };
        if let Some(entry) = self.registered()? {
            // What was seen was a store that was just being made.
            drop(lock);
            return Ok(self.open_log(Some(entry))?.into());
        }
        let (peeked, mirror) = looked?;
        let (log, newest) = match peeked {
            StoreIdentity::Log { log, newest } => (log, newest),
            // Whoever made it was killed at once.
            StoreIdentity::Blank => {
                drop(lock);
                self.create = true;
                return self.make();
            }
        };
        match standing_of(&self.folder, &self.registry, log, newest)? {
            // It is mounted at two places, or it was here before another one was.
            Standing::Known => {
                let log = self.log()?;
                Ok(self.register(log)?.into())
            }
            Standing::Moved { from } => {
                tracing::info!(%from, to = %self.folder, "the store was moved");
                let opened = self.log()?;
                let store = self.register(opened)?;
                self.registry.remove(log, &from)?;
                Ok(store.into())
            }
            // Whoever made it was killed before it had an entry, so that nothing was written to it yet.
            Standing::Unknown if newest == Position(0) && self.registry.is_making(&self.folder)? => {
                let log = self.log()?;
                let store = self.register(log)?;
                self.registry.end_making(&self.folder)?;
                Ok(store.into())
            }
            standing if self.adopt => {
                drop(mirror);
                let identity = identity_of(&self.folder, &self.registry, log)?;
                let (adopted, head) = care::adopt(&self.folder, standing, identity, SystemClock.wall())?;
                let log = adopted.content.log;
                self.put(log, head)?;
                forget_left(&self.folder, &self.registry, log)?;
                let entry = self.registry.of_place(log, &self.folder)?;
                Ok(Opened { store: self.open_log(entry)?, adopted: Some(adopted) })
            }
            standing if self.or_read_only => {
                let reason = ReadOnlyReason::NotAdopted(standing);
                match mirror {
                    Some(mirror) => self.mirrored(mirror, reason),
                    None => self.read(reason),
                }
            }
            standing => Err(StoreOpenError::NotAdopted { folder: self.folder, standing }),
        }
    }

    /// What a store is that the registry does not know at this path, and the copy in which that was seen. One that is too large
    /// to be copied is looked at where it is, if it is adopted anyway or can be one that was moved.
    fn look(&self) -> Result<(StoreIdentity, Option<Mirror>), StoreOpenError> {
        self.refuse_damage()?;
        match Mirror::make(&self.folder) {
            Ok(mirror) => Ok((peek_copy(mirror.path(), &self.folder)?, Some(mirror))),
            Err(MirrorError::TooLarge { .. }) if self.adopt || misses_one(&self.registry)? => {
                Ok((identify(self.folder.as_std_path())?, None))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn log(&self) -> Result<SqliteLog, StoreOpenError> {
        let options = OpenOptions { create: self.create, ..OpenOptions::default() };
        Ok(SqliteLog::open(self.folder.as_std_path(), options)?)
    }

    /// Opens the log of a store that is this user's: as `entry` says, or unregistered.
    fn open_log(&self, entry: Option<RegisteredStore>) -> Result<Store, StoreOpenError> {
        let log = self.log()?;
        let noted = match entry {
            Some(entry) if entry.log == backstay_log::LogReader::id(&log) => Some(entry.head),
            Some(_) => {
                let what = "it was replaced while it was opened".to_owned();
                return Err(OpenError::NotAStore { location: self.folder.clone().into(), what }.into());
            }
            None => None,
        };
        self.store(log, noted)
    }

    /// Registers an open store, at this path.
    fn register(&self, log: SqliteLog) -> Result<Store, StoreOpenError> {
        let head = log.durable_position().map_err(OpenError::from)?;
        self.put(backstay_log::LogReader::id(&log), head)?;
        self.store(log, Some(head))
    }

    fn put(&self, log: LogId, head: Position) -> Result<(), RegistryError> {
        self.registry.put(&RegisteredStore::new(log, self.folder.clone(), head, SystemClock.wall()))
    }

    fn store(&self, log: SqliteLog, noted: Option<Position>) -> Result<Store, StoreOpenError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let registration = noted.map(|noted| {
            let (registry, path) = (self.registry.clone(), self.folder.clone());
            Arc::new(Registration::new(registry, path, log.clone(), clock.clone(), noted))
        });
        let blobs = log.blobs().clone();
        Ok(Store {
            folder: self.folder.clone(),
            home: home(&self.folder)?,
            log: Arc::new(log),
            blobs,
            clock,
            access: Access::Full(registration),
        })
    }

    fn read(self, reason: ReadOnlyReason) -> Result<Opened, StoreOpenError> {
        self.refuse_damage()?;
        let mirror = Mirror::make(&self.folder)?;
        self.mirrored(mirror, reason)
    }

    /// Opens the copy of a database for reading.
    fn mirrored(self, mirror: Mirror, reason: ReadOnlyReason) -> Result<Opened, StoreOpenError> {
        if peek_copy(mirror.path(), &self.folder)? == StoreIdentity::Blank {
            return Err(OpenError::Missing { location: self.folder.into() }.into());
        }
        let copy_of = Some(self.folder.clone().into());
        let options = OpenOptions { create: false, copy_of, ..OpenOptions::default() };
        let copy = SqliteLog::open(mirror.path().as_std_path(), options)?;
        let folder = self.folder;
        let read_only = ReadOnlyStore { folder: folder.clone(), reason, mirror };
        let store = Store {
            blobs: BlobStore::in_folder(folder.join("blobs").as_std_path()),
            log: Arc::new(copy),
            clock: Arc::new(SystemClock),
            access: Access::ReadOnly(Arc::new(read_only)),
            home: home(&folder)?,
            folder,
        };
        Ok(store.into())
    }
}

fn home(folder: &Utf8Path) -> Result<Home, StoreOpenError> {
    let failed = |source| PrivateError::Io { path: folder.to_owned(), source };
    Ok(Home::open(folder).map_err(failed)?)
}
