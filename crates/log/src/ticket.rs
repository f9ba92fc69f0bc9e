//! Tickets: the handle on an append that is under way.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio::sync::oneshot;

use crate::contract::{Appended, Batch, SubmitResult};
use crate::error::{AppendError, StoreError};

/// A batch that was handed over. Await it, or [`wait`](Ticket::wait) for it. Dropping it does not cancel the batch.
#[must_use = "the batch is not acknowledged before its ticket resolves"]
pub struct Ticket(State);

enum State {
    Known(Option<SubmitResult>),
    Waiting(oneshot::Receiver<Ack>, Option<Arc<dyn CommitDriver>>),
}

/// The answer to a ticket. The batch goes back to the submitter, so that its memory is freed there and not by the writing thread.
pub(crate) struct Ack {
    pub(crate) result: SubmitResult,
    pub(crate) spent: Option<Batch>,
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.result.fmt(f)
    }
}

impl Ack {
    fn into_result(self) -> SubmitResult {
        drop(self.spent);
        self.result
    }
}

/// Gets a queued batch written.
pub(crate) trait CommitDriver: Send + Sync {
    /// Writes the queued batches on this thread, unless another thread writes.
    fn commit_inline(&self);

    /// Lets a writing thread write the queued batches.
    fn wake_writer(&self);
}

impl Ticket {
    /// Returns a ticket that is already resolved.
    pub const fn ready(result: SubmitResult) -> Ticket {
        Ticket(State::Known(Some(result)))
    }

    /// Returns a ticket and the sender that resolves it.
    pub(crate) fn pair() -> (oneshot::Sender<Ack>, Ticket) {
        let (sender, receiver) = oneshot::channel();
        (sender, Ticket(State::Waiting(receiver, None)))
    }

    /// Returns the ticket of a batch of which no writing thread may know yet.
    pub(crate) fn driven_by(mut self, by: Arc<dyn CommitDriver>) -> Ticket {
        if let State::Waiting(_, drive) = &mut self.0 {
            *drive = Some(by);
        }
        self
    }

    /// Blocks this thread until the batch is durable as requested, or refused. Not for async code.
    ///
    /// If no thread writes, this one writes the queued batches, its own and others.
    ///
    /// # Errors
    /// [`AppendError`] if the batch was refused or could not be written.
    pub fn wait(mut self) -> Result<Appended, AppendError> {
        if let State::Waiting(answer, drive) = &mut self.0
            && !on_async_worker()
            && let Some(drive) = drive.take()
        {
            if let Ok(answer) = answer.try_recv() {
                return answer.into_result();
            }
            drive.commit_inline();
            if let Ok(answer) = answer.try_recv() {
                return answer.into_result();
            }
        }
        block_on(self)
    }
}

/// Returns whether this thread is an async worker. Such a thread never commits.
pub(crate) fn on_async_worker() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}

impl Drop for Ticket {
    /// The batch is written nevertheless.
    fn drop(&mut self) {
        if let State::Waiting(_, drive) = &mut self.0
            && let Some(drive) = drive.take()
        {
            drive.wake_writer();
        }
    }
}

impl Future for Ticket {
    type Output = SubmitResult;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<SubmitResult> {
        match &mut self.0 {
            State::Known(result) => match result.take() {
                Some(result) => Poll::Ready(result),
                // Polled again after it resolved: a misuse that must not look like an acknowledgement.
                None => Poll::Ready(Err(StoreError::Stopped.into())),
            },
            State::Waiting(receiver, drive) => {
                if let Some(drive) = drive.take() {
                    drive.wake_writer();
                }
                match Pin::new(receiver).poll(context) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Ok(answer)) => Poll::Ready(answer.into_result()),
                    Poll::Ready(Err(_writer_gone)) => Poll::Ready(Err(StoreError::Stopped.into())),
                }
            }
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Known(Some(_)) => "known",
            State::Known(None) => "taken",
            State::Waiting(..) => "waiting",
        };
        write!(f, "Ticket({state})")
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// True while this thread is in [`block_on`].
    static BLOCKING: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether the calling thread may block: it waits in [`block_on`] anyway.
pub(crate) fn may_block() -> bool {
    BLOCKING.get() && !on_async_worker()
}

/// Runs one of this crate's futures on the calling thread, which sleeps in between. Needs no async runtime.
///
/// For callers with a thread of their own; never call it on an async worker. Reads run on the calling thread itself.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    // Where this is called on an async worker all the same, the runtime would pause what has run for long until the worker
    // comes back to it, which is here.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        let before = BLOCKING.replace(true);
        let polled = future.as_mut().poll(&mut context);
        BLOCKING.set(before);
        match polled {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
