//! What a backend or the system said, without its type.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// What the backend or the system said. It is shared, because one failure answers many callers, and opaque: who needs more than its
/// text asks the error that has it for its kind.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// Returns a cause that others have too.
    #[must_use]
    pub const fn shared(source: Arc<dyn Error + Send + Sync>) -> Cause {
        Cause(source)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Cause {
    fn from(source: E) -> Cause {
        Cause(Arc::new(source))
    }
}

/// So the source of an error is what was said itself, and not this wrapper.
impl Deref for Cause {
    type Target = dyn Error + Send + Sync + 'static;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
