//! Who listens to the keeper. Nobody who listens can hold it up: what does not fit is dropped, and so is who is too slow.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use backstay_model::Epoch;

use crate::protocol::{self, COMMAND_BYTES_MAX, FromKeeper, Lines, ToKeeper};

/// Owners that can be connected at once; there is one at a time, and some who are being fenced.
const CLIENTS_MAX: usize = 16;
/// How long nobody is taken after the system had no descriptor or memory for one.
const DEAF: Duration = Duration::from_secs(1);
/// Bytes that may wait for one of them.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// One connection.
struct Client {
    stream: UnixStream,
    lines: Lines,
    waiting: Vec<u8>,
    /// The epoch under which it listens, once it said so.
    attached: Option<Epoch>,
    gone: bool,
}

/// All connections.
pub(super) struct Clients {
    listener: UnixListener,
    /// Until then nobody is taken: the system had no room for one more.
    deaf_until: Option<Instant>,
    clients: Vec<Client>,
    highest: Epoch,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Which client.
    pub(super) client: usize,
    /// Its words.
    pub(super) says: ToKeeper,
}

impl Clients {
    /// Listens at `listener`; the starter is attached already.
    pub(super) fn new(
        listener: UnixListener,
        starter: Option<&UnixStream>,
        epoch: Epoch,
    ) -> io::Result<Clients> {
        listener.set_nonblocking(true)?;
        let mut clients = Vec::new();
        if let Some(starter) = starter {
            let mut client = Client::new(starter.try_clone()?)?;
            client.attached = Some(epoch);
            clients.push(client);
        }
        Ok(Clients { listener, deaf_until: None, clients, highest: epoch })
    }

    /// Owners come to `listener` from now on.
    pub(super) fn listen_at(&mut self, listener: UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.listener = listener;
        Ok(())
    }

    /// Where owners come, unless nobody can be taken at `now`: who waits there would wake the keeper without end.
    pub(super) fn listener(&self, now: Instant) -> Option<&UnixListener> {
        self.deaf_until.is_none_or(|until| until <= now).then_some(&self.listener)
    }

    /// When owners can be taken again, if they cannot at `now`.
    pub(super) fn deaf_until(&self, now: Instant) -> Option<Instant> {
        self.deaf_until.filter(|until| *until > now)
    }

    /// Each connection, and whether something waits to be written to it.
    pub(super) fn streams(&self) -> impl Iterator<Item = (&UnixStream, bool)> {
        self.clients.iter().map(|client| (&client.stream, !client.waiting.is_empty()))
    }

    /// Whether anybody listens.
    pub(super) fn any_attached(&self) -> bool {
        self.clients.iter().any(|client| client.attached.is_some() && !client.gone)
    }

    /// Takes who is waiting to connect.
    pub(super) fn accept(&mut self, now: Instant) {
        self.deaf_until = None;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    // A connection that fails is its client's trouble; it will try again.
                    if self.clients.len() < CLIENTS_MAX
                        && let Ok(client) = Client::new(stream)
                    {
                        self.clients.push(client);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                Err(_no_room) => {
                    self.deaf_until = Some(now + DEAF);
                    return;
                }
            }
        }
    }

    /// Reads what client `index` says.
    pub(super) fn read(&mut self, index: usize) -> Vec<Command> {
        let Some(client) = self.clients.get_mut(index) else { return Vec::new() };
        client.read().into_iter().map(|says| Command { client: index, says }).collect()
    }

    /// Writes on what waits for client `index`.
    pub(super) fn flush(&mut self, index: usize) {
        if let Some(client) = self.clients.get_mut(index) {
            client.flush();
        }
    }

    /// Whether a command in the name of `epoch` is obeyed. If it is, older owners are told that they are not any more;
    /// if not, this one is.
    pub(super) fn admit(&mut self, index: usize, epoch: Epoch) -> bool {
        if epoch < self.highest {
            let highest = self.highest;
            if let Some(client) = self.clients.get_mut(index) {
                client.fence(highest);
            }
            return false;
        }
        self.highest = epoch;
        for client in &mut self.clients {
            if client.attached.is_some_and(|attached| attached < epoch) {
                client.fence(epoch);
            }
        }
        true
    }

    /// Client `index` listens from now on, and first hears `messages`.
    pub(super) fn attach(&mut self, index: usize, epoch: Epoch, messages: &[FromKeeper]) {
        if let Some(client) = self.clients.get_mut(index) {
            client.attached = Some(epoch);
            for message in messages {
                client.send(message);
            }
        }
    }

    /// Answers client `index`, and does not speak with it any more.
    pub(super) fn answer(&mut self, index: usize, message: &FromKeeper) {
        if let Some(client) = self.clients.get_mut(index) {
            client.send(message);
            client.attached = None;
        }
    }

    /// Tells all who listen.
    pub(super) fn tell(&mut self, message: &FromKeeper) {
        for client in self.clients.iter_mut().filter(|client| client.attached.is_some()) {
            client.send(message);
        }
    }

    /// Tells all who listen and are not behind; what is said so is said again soon.
    pub(super) fn mention(&mut self, message: &FromKeeper) {
        for client in &mut self.clients {
            if client.attached.is_some() && client.waiting.is_empty() {
                client.send(message);
            }
        }
    }

    /// Forgets who is gone. Indexes change.
    pub(super) fn sweep(&mut self) {
        self.clients.retain(|client| !client.gone);
    }
}

impl Client {
    fn new(stream: UnixStream) -> io::Result<Client> {
        stream.set_nonblocking(true)?;
        Ok(Client { stream, lines: Lines::default(), waiting: Vec::new(), attached: None, gone: false })
    }

    fn read(&mut self) -> Vec<ToKeeper> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.gone = true,
            Ok(count) => self.lines.push(&buffer[..count]),
            Err(error) if is_passing(&error) => {}
            Err(_broken) => self.gone = true,
        }
        let mut said = Vec::new();
        while let Some(line) = self.lines.next_line() {
            match serde_json::from_slice(&line) {
                Ok(command) => said.push(command),
                // Who speaks something else is not understood in the rest either.
                Err(_unknown) => self.gone = true,
            }
        }
        if self.lines.pending_bytes() > COMMAND_BYTES_MAX {
            self.gone = true;
        }
        said
    }

    fn send(&mut self, message: &FromKeeper) {
        let Ok(line) = protocol::line(message) else { return };
        if self.waiting.len() + line.len() > WAITING_BYTES_MAX {
            self.gone = true;
            return;
        }
        self.waiting.extend_from_slice(&line);
        self.flush();
    }

    fn fence(&mut self, highest: Epoch) {
        self.send(&FromKeeper::Fenced { highest });
        self.attached = None;
    }

    fn flush(&mut self) {
        while !self.waiting.is_empty() {
            match self.stream.write(&self.waiting) {
                Ok(count) if count > 0 => {
                    self.waiting.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {
                    self.gone = true;
                    self.waiting.clear();
                }
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
