//! Tests that start the real binary, kill it, and compare.
