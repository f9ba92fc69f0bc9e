//! The laws of the log. One suite runs against each store; the laws across processes need a store that is shared.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

#[macro_use]
mod suite;
mod copies;
#[cfg(target_os = "linux")]
mod disk;
mod formats;
mod index_rows;
mod kills;
mod large;
mod model;
mod opening;
mod packing;
mod processes;
#[macro_use]
mod retention;
mod sqlite;
mod support;

mod memory {
    laws!(crate::support::Fixture::memory);
    retention_laws!(crate::support::Fixture::memory);
}

mod lagging_horizon {
    laws!(crate::support::Fixture::lagging);
    retention_laws!(crate::support::Fixture::lagging);
}

mod packing_laws {
    laws!(crate::support::Fixture::packing);
    retention_laws!(crate::support::Fixture::packing);
}

mod sqlite_laws {
    laws!(crate::support::Fixture::sqlite);
    retention_laws!(crate::support::Fixture::sqlite);
}
