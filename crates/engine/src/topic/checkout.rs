//! The lease of the checkout that a run works in.

use backstay_model::event::{CheckoutBusy, FactEvent};

/// What the topic's events say of the lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckoutState {
    busy: Option<CheckoutBusy>,
}

impl CheckoutState {
    /// Who works in the checkout that the run waits for.
    pub(crate) fn busy(&self) -> Option<&CheckoutBusy> {
        self.busy.as_ref()
    }

    pub(crate) fn fold(&mut self, fact: &FactEvent) {
        match fact {
            FactEvent::CheckoutBusy(busy) => self.busy = Some(busy.clone()),
            // Another owner finds out for itself.
            FactEvent::CheckoutFree(_) | FactEvent::OwnerChanged(_) | FactEvent::OwnerReleased(_) => {
                self.busy = None;
            }
            _ => {}
        }
    }
}
