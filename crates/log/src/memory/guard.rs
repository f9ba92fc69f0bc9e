//! The proof of an owner in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::contract::{OwnerGuard, OwnerIdentity};

/// Its owner lives until it is dropped.
#[derive(Debug)]
pub(super) struct MemoryGuard {
    pub(super) identity: OwnerIdentity,
    pub(super) alive: Arc<AtomicBool>,
}

impl OwnerGuard for MemoryGuard {
    fn identity(&self) -> &OwnerIdentity {
        &self.identity
    }
}

impl Drop for MemoryGuard {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::SeqCst);
    }
}
