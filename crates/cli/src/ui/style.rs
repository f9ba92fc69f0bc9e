//! Colours, where they are wanted.

use anstyle::{AnsiColor, Style as Ansi};

/// What a piece of text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Nothing special.
    #[default]
    Plain,
    /// The subject.
    Bold,
    /// Beside the point.
    Dim,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// At work.
    Busy,
    /// Somebody should look.
    Warn,
}

/// Whether there are colours.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// There are.
    pub(crate) color: bool,
}

impl Style {
    /// `text`, painted.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        let ansi = match paint {
            Paint::Plain => return text.to_owned(),
            Paint::Bold => Ansi::new().bold(),
            Paint::Dim => Ansi::new().dimmed(),
            Paint::Good => AnsiColor::Green.on_default(),
            Paint::Bad => AnsiColor::Red.on_default().bold(),
            Paint::Busy => AnsiColor::Cyan.on_default(),
            Paint::Warn => AnsiColor::Yellow.on_default(),
        };
        if self.color { format!("{ansi}{text}{ansi:#}") } else { text.to_owned() }
    }
}
