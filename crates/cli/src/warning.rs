//! What the libraries log, as a person reads it who did not ask for a log.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes `warning WHAT: WHY (name value, …)` in one line: no time, no level, no part of the program.
pub(crate) struct WarningLine;

/// The parts of one line.
#[derive(Default)]
struct Parts {
    /// What happened, and then why.
    sentence: Vec<String>,
    /// What it happened to.
    details: Vec<String>,
}

impl<S, N> FormatEvent<S, N> for WarningLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let kind = if *event.metadata().level() == Level::ERROR { "error" } else { "warning" };
        write!(writer, "{kind} {}", parts.sentence.join(": "))?;
        if !parts.details.is_empty() {
            write!(writer, " ({})", parts.details.join(", "))?;
        }
        writer.write_char('\n')
    }
}

impl Parts {
    fn take(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" | "error" => self.sentence.push(text),
            name => self.details.push(format!("{} {text}", name.replace('_', " "))),
        }
    }
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_warning_is_one_sentence_with_its_cause_and_what_it_happened_to() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().event_format(WarningLine).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let error = io::Error::other("no route");
            tracing::warn!(owner = 7, %error, at_work = "two", "the owner was not renewed");
            tracing::error!("a thread panicked");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "warning the owner was not renewed: no route (owner 7, at work two)\nerror a thread panicked\n"
        );
    }
}
