//! From YAML to a checked plan, or to diagnostics that say where and how to mend it.

pub mod codes;
pub mod expression;
pub mod plan;
