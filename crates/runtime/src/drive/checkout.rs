//! The checkout that the run works in: taken before the first work that may change it, held until the drive is over.

use std::time::Duration;

use backstay_model::RunId;
use backstay_model::event::CheckoutBusy;
use camino::Utf8PathBuf;
use tokio::time::Instant;

use super::in_flight::chain;
use super::run_loop::Drive;
use crate::checkout::{Checkout, Lease, LeaseHolder, Leased, TreeError};

/// The variable that tells what a step starts which run holds its checkout. A run that is asked for there notes it
/// ([`RunRequested::within`](backstay_model::event::RunRequested)).
pub const CHECKOUT_RUN: &str = "BACKSTAY_CHECKOUT_RUN";
/// Until a checkout that another run works in is asked for again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long git may take to say where the checkout is. Nothing else of the run goes on meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the run stands to the folder that it works in.
#[derive(Debug, Default)]
pub(super) enum CheckoutLease {
    /// It was not asked for yet.
    #[default]
    Unasked,
    /// There is nothing to take: it is in no checkout, or in one that cannot be locked.
    Unbound,
    /// The run that this one works for holds it.
    Shared,
    /// It is this run's.
    Held(Lease),
    /// It is this run's, and the lock is still that of an earlier owner. The lock is asked for again before each start:
    /// once that owner is gone, another run may have it.
    Inherited { checkout: Checkout, again_at: Instant },
    /// Another run works in it.
    Busy {
        checkout: Checkout,
        /// What is not told to the machine yet.
        untold: Option<CheckoutBusy>,
        again_at: Instant,
    },
}

impl Drive<'_> {
    /// Whether work may begin that may change the run's folder.
    pub(super) fn holds_checkout(&self) -> bool {
        matches!(
            self.lease,
            CheckoutLease::Unbound
                | CheckoutLease::Shared
                | CheckoutLease::Held(_)
                | CheckoutLease::Inherited { .. }
        )
    }

    /// The run by which those that its steps start know the checkout as theirs, too.
    pub(super) fn checkout_holder(&self) -> Option<RunId> {
        match &self.lease {
            CheckoutLease::Held(lease) => Some(lease.named()),
            CheckoutLease::Inherited { .. } => Some(self.run),
            _ => self.machine.request().and_then(|request| request.parent_run),
        }
    }

    /// When the checkout is asked for again, if somebody waits for it or its lock is another process's.
    pub(super) fn checkout_again_at(&self) -> Option<Instant> {
        match &self.lease {
            CheckoutLease::Inherited { again_at, .. } => Some(*again_at),
            CheckoutLease::Busy { again_at, .. } if self.machine.wants_to_write() => Some(*again_at),
            _ => None,
        }
    }

    /// What the machine is to be told of who works in the checkout.
    pub(super) fn untold_tenant(&mut self) -> Option<CheckoutBusy> {
        match &mut self.lease {
            CheckoutLease::Busy { untold, .. } if self.machine.wants_to_write() => untold.take(),
            _ => None,
        }
    }

    /// Whether the machine is to be told something.
    pub(super) fn has_untold_tenant(&self) -> bool {
        matches!(&self.lease, CheckoutLease::Busy { untold: Some(_), .. }) && self.machine.wants_to_write()
    }

    /// Whether the checkout is to be asked for before anything is waited for: by a new plan a run may change a folder that it
    /// could not change before.
    pub(super) fn has_unasked_checkout(&self) -> bool {
        let has_folder = self.machine.request().is_some();
        matches!(self.lease, CheckoutLease::Unasked) && has_folder && self.machine.may_ever_write()
    }

    /// Takes the checkout if it is time to ask for it.
    pub(super) async fn ask_for_checkout(&mut self) {
        let checkout = match &self.lease {
            CheckoutLease::Unasked if self.machine.may_ever_write() => None,
            CheckoutLease::Busy { checkout, again_at, .. }
                if self.machine.wants_to_write() && *again_at <= Instant::now() =>
            {
                Some(checkout.clone())
            }
            CheckoutLease::Inherited { checkout, again_at }
                if self.machine.wants_to_write() || *again_at <= Instant::now() =>
            {
                Some(checkout.clone())
            }
            _ => return,
        };
        let Some(request) = self.machine.request() else { return };
        let cwd = Utf8PathBuf::from(&request.cwd);
        let (run, store, within) = (self.run, self.owner.store.folder.clone(), request.parent_run);
        let holder = LeaseHolder { run, store, within, epoch: Some(self.epoch) };
        let asked = tokio::task::spawn_blocking(move || ask(checkout, &cwd, &holder)).await;
        self.lease = match asked {
            Ok(Ok(lease)) => lease,
            // Whoever starts a run says how its folder stands.
            Ok(Err(error @ (TreeError::Checkout(_) | TreeError::NoGit(_)))) => {
                tracing::debug!(run = %self.run, error = %chain(&error), "there is no checkout to lock");
                CheckoutLease::Unbound
            }
            Ok(Err(error)) => {
                tracing::warn!(run = %self.run, error = %chain(&error), "the checkout is worked in unlocked");
                CheckoutLease::Unbound
            }
            Err(error) => {
                tracing::warn!(run = %self.run, %error, "the checkout is worked in unlocked");
                CheckoutLease::Unbound
            }
        };
    }
}

fn ask(
    checkout: Option<Checkout>,
    cwd: &Utf8PathBuf,
    holder: &LeaseHolder,
) -> Result<CheckoutLease, TreeError> {
    let checkout = match checkout {
        Some(checkout) => Some(checkout),
        None => Checkout::around_within(cwd, PATIENCE)?,
    };
    let Some(checkout) = checkout else { return Ok(CheckoutLease::Unbound) };
    Ok(match checkout.lease(holder)? {
        Leased::Held(lease) => CheckoutLease::Held(lease),
        Leased::Shared => CheckoutLease::Shared,
        Leased::Inherited => CheckoutLease::Inherited { checkout, again_at: Instant::now() + AGAIN },
        Leased::Busy(busy) => {
            CheckoutLease::Busy { checkout, untold: Some(busy), again_at: Instant::now() + AGAIN }
        }
    })
}
