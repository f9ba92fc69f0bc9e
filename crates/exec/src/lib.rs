//! Child processes that outlive the runtime: the keeper, its spool, its kill.
