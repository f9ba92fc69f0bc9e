//! What goes back over the wire.

use serde_json::Value;

/// A reply of the provider, before it is bytes.
#[derive(Debug)]
pub(crate) enum Reply {
    /// One JSON document.
    Json {
        /// The HTTP status.
        status: u16,
        /// Headers beside the content type.
        headers: Vec<(&'static str, String)>,
        /// The document.
        body: Value,
    },
    /// Server-sent events: a name, where the dialect has one, and data.
    Stream(Vec<(Option<String>, String)>),
    /// Server-sent events with so many milliseconds before each.
    Paced(Vec<(Option<String>, String)>, u64),
    /// Server-sent events, and the end of the connection before the last of them.
    Cut(Vec<(Option<String>, String)>),
    /// None, ever.
    Never,
}

impl Reply {
    /// A document without further headers.
    pub(crate) fn json(status: u16, body: Value) -> Reply {
        Reply::Json { status, headers: Vec::new(), body }
    }

    /// Events that carry their name in `type`, as the Responses and Messages dialects have them.
    pub(crate) fn typed_stream(events: Vec<Value>) -> Reply {
        let named = |event: Value| (event["type"].as_str().map(str::to_owned), event.to_string());
        Reply::Stream(events.into_iter().map(named).collect())
    }

    /// Whether it is an answer of the model, to its end: it has a count of tokens.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Reply::Json { status, .. } => *status == 200,
            Reply::Stream(_) | Reply::Paced(..) => true,
            Reply::Cut(_) | Reply::Never => false,
        }
    }

    /// The same reply, cut off in its middle; a whole document is no reply at all then.
    pub(crate) fn cut(self) -> Reply {
        match self {
            Reply::Stream(events) => Reply::Cut(events),
            Reply::Json { .. } => Reply::Cut(Vec::new()),
            reply @ (Reply::Paced(..) | Reply::Cut(_) | Reply::Never) => reply,
        }
    }

    /// The same reply with a pause before each of its events; a whole document has none.
    pub(crate) fn paced(self, pause_ms: u64) -> Reply {
        match self {
            Reply::Stream(events) => Reply::Paced(events, pause_ms),
            reply => reply,
        }
    }
}
