//! Opening a store: is it this user's, the one that this user had, and may it be written?

use std::io;
use std::os::unix::fs::MetadataExt;
use std::pin::Pin;
use std::sync::Arc;

use backstay_log::care::{Peeked, peek, refuse_damage};
use backstay_log::crash::crash_point;
use backstay_log::{BlobStore, LookError, OpenError, OpenOptions, SqliteLog};
use backstay_model::{Code, Coded, LogId, Position};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Access as Wish, AtFlags, CWD, accessat};

use super::home::Home;
use super::mirror::{Mirror, MirrorError, ReadSource};
use super::private::{self, PrivateError};
use super::read_only::{ReadOnlyLog, ReadOnlyReason, ReadOnlyStore};
use super::registration::Registration;
use super::{Access, Store};
use crate::care::{self, AdoptError, Adopted, IsBackup, refuse_backup};
use crate::clock::{Clock, SystemClock};
use crate::registry::{OldPlace, Place, RegisteredStore, Registry, RegistryError, Standing, standing};

/// The database of a store.
const DATABASE: &str = "log.db";

/// A store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// It is a backup.
    #[error(transparent)]
    IsBackup(#[from] IsBackup),
    /// It is not this user's alone, or not what a store is.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// A store was to be made in a folder that has other things in it.
    #[error("{folder} is not a Backstay store, and `{name}` is in it")]
    OtherThings {
        /// The folder.
        folder: Utf8PathBuf,
        /// One of them.
        name: String,
    },
    /// It is not this user's, or not the one that this user had.
    #[error("the store {folder} {}: it can be read, and nothing is written to it until you adopt it", .standing.describe())]
    NotAdopted {
        /// The store.
        folder: Utf8PathBuf,
        /// How it stands to what is known of it.
        standing: Standing,
    },
    /// Whether it is this user's cannot be told or noted.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It cannot be adopted.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// It cannot be copied for reading.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// It cannot be looked at.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The log says why.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The thread that opened it is gone.
    #[error("the thread that opens the store died")]
    Thread(#[source] tokio::task::JoinError),
}

impl Coded for StoreOpenError {
    fn code(&self) -> Code {
        match self {
            StoreOpenError::IsBackup(error) => error.code(),
            StoreOpenError::Private(error) => error.code(),
            StoreOpenError::OtherThings { .. } => Code("BKS-R081"),
            StoreOpenError::NotAdopted { .. } => Code("BKS-R082"),
            StoreOpenError::Registry(error) => error.code(),
            StoreOpenError::Adopt(error) => error.code(),
            StoreOpenError::Mirror(error) => error.code(),
            StoreOpenError::Look(error) => error.code(),
            StoreOpenError::Log(error) => error.code(),
            StoreOpenError::Thread(_) => Code("BKS-R001"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            StoreOpenError::IsBackup(error) => error.hint(),
            StoreOpenError::Private(error) => error.hint(),
            StoreOpenError::OtherThings { .. } => {
                Some("name the folder of a store, or an empty one".to_owned())
            }
            StoreOpenError::NotAdopted { folder, .. } => Some(format!(
                "`backstay --store {folder} store adopt` says what is in it and adopts it; `--adopt` or BACKSTAY_ADOPT=1 does so on the way (in the library: `Store::open(…).adopt()`); `--store DIR` names another store"
            )),
            StoreOpenError::Registry(error) => error.hint(),
            StoreOpenError::Adopt(error) => error.hint(),
            StoreOpenError::Mirror(error) => error.hint(),
            StoreOpenError::Look(error) => error.hint(),
            StoreOpenError::Log(error) => error.hint(),
            StoreOpenError::Thread(_) => None,
        }
    }
}

/// What the copy of a database is; an error names the original in `folder`.
fn peek_copy(copy: &Utf8Path, folder: &Utf8Path) -> Result<Peeked, LookError> {
    peek(copy.as_std_path()).map_err(|error| match error {
        LookError::Open(OpenError::NotAStore { what, .. }) => {
            LookError::Open(OpenError::NotAStore { path: folder.join(DATABASE).into(), what })
        }
        error => error,
    })
}

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
        let reason = match self.registered() {
            _ if !is_writable(&self.folder) => ReadOnlyReason::NotWritable,
            Ok(Some(_)) => return in_place(self.folder),
            Ok(None) if self.adopt => return in_place(self.folder),
            Ok(None) => {
                let source = ReadSource::copied(&self.folder)?;
                let standing = match peek_copy(source.database(), &self.folder) {
                    Ok(Peeked::Log { log, newest }) => self.standing(log, newest)?,
                    Ok(Peeked::Blank) | Err(_) => Standing::Unknown,
                };
                if standing.is_own() {
                    return in_place(self.folder);
                }
                return Ok((source, Some(ReadOnlyReason::NotAdopted(standing))));
            }
            Err(_) if self.adopt => return in_place(self.folder),
            Err(error) => ReadOnlyReason::NoRegistry { what: error.to_string() },
        };
        Ok((ReadSource::copied(&self.folder)?, Some(reason)))
    }

    /// Registers a store that was just made by other means, such as from a backup, or one that this user vouches for. Where
    /// there is no registry and the store is adopted, it stays unregistered. Blocks.
    ///
    /// # Errors
    /// [`StoreOpenError`] if it cannot be looked at or registered.
    pub fn register_made(mut self) -> Result<(), StoreOpenError> {
        self.folder = real(&self.folder)?;
        let Peeked::Log { log, newest } = peek(self.folder.as_std_path())? else {
            return Err(OpenError::Missing { path: self.folder.into() }.into());
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
            Err(error) => self.without_registry(error),
        }
    }

    /// Refuses a damaged store before SQLite sees it, or a copy of it without what tells of the damage.
    fn refuse_damage(&self) -> Result<(), StoreOpenError> {
        Ok(refuse_damage(self.folder.as_std_path()).map_err(LookError::from)?)
    }

    /// What is known of the store at this path, if it is still that one and has not gone back.
    fn registered(&self) -> Result<Option<RegisteredStore>, RegistryError> {
        let Some(entry) = self.registry.at_path(&self.folder)? else { return Ok(None) };
        let is_it = match peek(self.folder.as_std_path()) {
            Ok(Peeked::Log { log, newest }) => log == entry.log && newest >= entry.head,
            Ok(Peeked::Blank) => false,
            // One that cannot be read is told by who opens it.
            Err(_) => true,
        };
        Ok(is_it.then_some(entry))
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
        Ok(matches!(peek(self.folder.as_std_path())?, Peeked::Log { .. }))
    }

    /// Opens a store of which the registry knows nothing at this path.
    fn open_unregistered(mut self) -> Result<Opened, StoreOpenError> {
        // Whoever makes a store at this moment holds the lock until it is registered.
        let lock = match self.registry.prepare().and_then(|()| self.registry.lock()) {
            Ok(lock) => lock,
            Err(error) => return self.without_registry(error),
        };
        if let Some(entry) = self.registered()? {
            drop(lock);
            return Ok(self.open_log(Some(entry))?.into());
        }
        let (peeked, mirror) = self.look()?;
        let (log, newest) = match peeked {
            Peeked::Log { log, newest } => (log, newest),
            // Whoever made it was killed at once.
            Peeked::Blank => {
                drop(lock);
                self.create = true;
                return self.make();
            }
        };
        match self.standing(log, newest)? {
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
                let (adopted, head) = care::adopt(&self.folder, standing, SystemClock.wall())?;
                self.put(log, head)?;
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
    fn look(&self) -> Result<(Peeked, Option<Mirror>), StoreOpenError> {
        self.refuse_damage()?;
        match Mirror::make(&self.folder) {
            Ok(mirror) => Ok((peek_copy(mirror.path(), &self.folder)?, Some(mirror))),
            Err(MirrorError::TooLarge { .. }) if self.adopt || self.misses_one()? => {
                Ok((peek(self.folder.as_std_path())?, None))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a store that the registry knows is not where it was.
    fn misses_one(&self) -> Result<bool, RegistryError> {
        let is_missing = |entry: RegisteredStore| {
            entry.path.join(DATABASE).symlink_metadata().is_err_and(|error| is_gone(&error))
        };
        Ok(self.registry.all()?.into_iter().any(is_missing))
    }

    /// How a store whose log goes up to `newest` stands to what is known of that log.
    fn standing(&self, log: LogId, newest: Position) -> Result<Standing, RegistryError> {
        let places: Vec<Place> =
            self.registry.of_log(log)?.into_iter().map(|entry| self.place(entry)).collect();
        Ok(standing(&self.folder, newest, &places))
    }

    fn place(&self, registered: RegisteredStore) -> Place {
        Place { old_place: old_place(&registered, &self.folder), registered }
    }

    fn log(&self) -> Result<SqliteLog, StoreOpenError> {
        let options = OpenOptions { create: self.create, ..OpenOptions::default() };
        Ok(SqliteLog::open(self.folder.as_std_path(), options)?)
    }

    /// Opens the log of a store that is this user's: as `entry` says, or unregistered.
    fn open_log(&self, entry: Option<RegisteredStore>) -> Result<Store, StoreOpenError> {
        let log = self.log()?;
        let noted = match entry {
            Some(entry) if entry.log == backstay_log::Log::id(&log) => Some(entry.head),
            Some(_) => {
                let what = "it was replaced while it was opened".to_owned();
                return Err(OpenError::NotAStore { path: self.folder.clone().into(), what }.into());
            }
            None => None,
        };
        self.store(log, noted)
    }

    /// Registers an open store, at this path.
    fn register(&self, log: SqliteLog) -> Result<Store, StoreOpenError> {
        let head = log.durable_position().map_err(OpenError::from)?;
        self.put(backstay_log::Log::id(&log), head)?;
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
        if peek_copy(mirror.path(), &self.folder)? == Peeked::Blank {
            return Err(OpenError::Missing { path: self.folder.into() }.into());
        }
        let options = OpenOptions {
            create: false,
            owners: Some(self.folder.join("owners").into()),
            ..OpenOptions::default()
        };
        let copy = SqliteLog::open(mirror.path().as_std_path(), options)?;
        let folder = self.folder;
        let read_only = ReadOnlyStore { folder: folder.clone(), reason, mirror };
        let store = Store {
            blobs: BlobStore::in_folder(folder.join("blobs").as_std_path()),
            log: Arc::new(ReadOnlyLog { copy, folder: folder.clone() }),
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

/// A path without links.
fn real(folder: &Utf8Path) -> Result<Utf8PathBuf, StoreOpenError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotADirectory => {
            OpenError::NotAStore { path: folder.into(), what: "it is not a folder".to_owned() }.into()
        }
        _ => StoreOpenError::from(PrivateError::Io { path: folder.to_owned(), source }),
    };
    // Above it links are the user's; itself it is none.
    let folder = backstay_files::Dir::open_found(folder.as_std_path()).map_err(failed)?;
    Ok(Utf8PathBuf::from(folder.path().to_string_lossy().into_owned()))
}

/// The same for a folder that need not be there yet.
fn real_place(folder: &Utf8Path) -> Result<Utf8PathBuf, StoreOpenError> {
    let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else { return real(folder) };
    if folder.exists() {
        return real(folder);
    }
    let failed = |source| PrivateError::Io { path: above.to_owned(), source };
    std::fs::create_dir_all(above).map_err(failed)?;
    Ok(real(above)?.join(name))
}

/// Whether this process may write to the folder and to the database in it.
fn is_writable(folder: &Utf8Path) -> bool {
    let may_write =
        |path: &Utf8Path| accessat(CWD, path.as_std_path(), Wish::WRITE_OK, AtFlags::EACCESS).is_ok();
    may_write(folder) && may_write(&folder.join(DATABASE))
}

/// What is where the registry says that the log is, seen from the store in `folder`.
fn old_place(entry: &RegisteredStore, folder: &Utf8Path) -> OldPlace {
    if entry.path == folder {
        return OldPlace::SameFolder;
    }
    let number = |path: &Utf8Path| path.metadata().map(|found| (found.dev(), found.ino()));
    match (number(&entry.path), number(folder)) {
        (Ok(old), Ok(new)) if old == new => return OldPlace::SameFolder,
        (Err(error), _) if is_gone(&error) => return OldPlace::Empty,
        _ => {}
    }
    match entry.path.join(DATABASE).symlink_metadata() {
        Err(error) if is_gone(&error) => return OldPlace::Empty,
        Err(_) => return OldPlace::Unreadable,
        Ok(_) => {}
    }
    if private::check_store(&entry.path, false).is_err() {
        return OldPlace::Unreadable;
    }
    match peek(entry.path.as_std_path()) {
        Ok(Peeked::Log { log, .. }) if log == entry.log => OldPlace::SameLog,
        Ok(Peeked::Log { .. }) => OldPlace::OtherLog,
        Ok(Peeked::Blank) => OldPlace::Empty,
        Err(_) => OldPlace::Unreadable,
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
