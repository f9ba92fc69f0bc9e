//! The proof of an owner in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::contract::{OwnerGuard, OwnerIdentity, OwnerState};

/// The state of an owner, shared by its guard and the log.
#[derive(Debug, Default)]
pub(super) struct Proof(AtomicU8);

const HELD: u8 = 0;
const SESSION_GONE: u8 = 1;
const DEAD: u8 = 2;

impl Proof {
    pub(super) fn state(&self) -> OwnerState {
        match self.0.load(Ordering::SeqCst) {
            HELD => OwnerState::Held,
            SESSION_GONE => OwnerState::SessionGone,
            _ => OwnerState::Dead,
        }
    }

    /// Ends the session of an owner that holds its proof.
    pub(super) fn end_session(&self) {
        self.0.fetch_max(SESSION_GONE, Ordering::SeqCst);
    }
}

/// The owner holds its proof until the guard is dropped, or its session is ended.
#[derive(Debug)]
pub(super) struct MemoryGuard {
    pub(super) identity: OwnerIdentity,
    pub(super) proof: Arc<Proof>,
}

impl OwnerGuard for MemoryGuard {
    fn identity(&self) -> &OwnerIdentity {
        &self.identity
    }

    fn is_lost(&self) -> bool {
        self.proof.state() != OwnerState::Held
    }
}

impl Drop for MemoryGuard {
    fn drop(&mut self) {
        self.proof.0.store(DEAD, Ordering::SeqCst);
    }
}
