//! The event log: its contract, its laws, and the stores that keep them.
