//! The machines: pure functions from events and inputs to facts and wanted work.
