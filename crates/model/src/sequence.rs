//! Numbers that count, each with its own type.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// The number of an event in its topic, from 1. Zero means "before the first".
    Seq,
    u64
);
counter!(
    /// The place of an event or live event in the whole log: grows with every commit, may have holes. Zero means "before the first".
    Position,
    u64
);
counter!(
    /// Who may append facts to a topic: grows by one with every claim. Zero means "never owned".
    Epoch,
    u64
);
counter!(
    /// One try of an effect or step, from 1.
    Attempt,
    u32
);

impl Attempt {
    /// The first try.
    pub const FIRST: Attempt = Attempt(1);
}
