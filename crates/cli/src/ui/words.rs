//! Words that go by what they are about.

use backstay_model::event::FailureClass;

/// Such as `1 step` or `3 steps`, of a noun with a regular plural.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What went wrong, where nothing more is known of it.
pub(crate) const fn failure_words(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Exit => "failed",
        FailureClass::Timeout => "timeout",
        FailureClass::Stall => "silent for too long",
        FailureClass::Crash => "lost with a crash",
        FailureClass::InvalidOutput => "not the output that was promised",
        FailureClass::RateLimit => "rate limit",
        FailureClass::Network => "no network",
        FailureClass::Spawn => "could not be started",
        FailureClass::Expression => "an expression failed",
        FailureClass::Exhausted => "its cycles are used up",
        FailureClass::Login => "not logged in",
        FailureClass::Refused => "refused by the provider",
        FailureClass::Budget => "the budget is used up",
        FailureClass::Session => "its session is not as it should be",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_them_is_no_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "step")), ["0 steps", "1 step", "2 steps"]);
    }
}
