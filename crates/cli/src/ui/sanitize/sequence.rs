//! Where escape sequences begin and end.

/// Characters of the parameters of a sequence that are looked at.
const PARAMETERS_MAX: usize = 128;
/// Characters of a title and the like that are shown where it turns out to have no end.
const BODY_MAX: usize = 4 * 1024;

const ESCAPE: char = '\u{1b}';
const BELL: char = '\u{7}';

/// What a character comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It is part of a sequence, or ends one that does nothing here.
    Nothing,
    /// It may be shown.
    Print(char),
    /// A control character that belongs to no sequence.
    Control(char),
    /// The end of a control sequence.
    Csi { parameters: String, last: char },
}

/// Knows which characters belong to sequences, as ECMA-48 and terminals have it.
#[derive(Debug, Default)]
pub(super) enum Sequences {
    /// Between sequences.
    #[default]
    Idle,
    /// Behind the escape.
    Escape,
    /// Within one of three characters and more, such as the choice of a character set.
    Intermediate,
    /// Within a control sequence.
    Csi(String),
    /// Within a string: OSC, DCS, SOS, PM or APC.
    Body(String),
    /// Within a string, behind an escape that may begin its end.
    BodyEscape(String),
}

impl Sequences {
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self, Sequences::Idle)
    }

    /// The line ends: gives the body of a string that has no end.
    pub(super) fn end(&mut self) -> String {
        match std::mem::take(self) {
            Sequences::Body(body) | Sequences::BodyEscape(body) => body,
            Sequences::Idle | Sequences::Escape | Sequences::Intermediate | Sequences::Csi(_) => {
                String::new()
            }
        }
    }

    pub(super) fn take(&mut self, character: char) -> Action {
        match std::mem::take(self) {
            Sequences::Idle => self.idle(character),
            Sequences::Escape => self.escape(character),
            Sequences::Intermediate => match character {
                ' '..='/' => self.stay(Sequences::Intermediate),
                '0'..='~' => Action::Nothing,
                other => self.idle(other),
            },
            Sequences::Csi(mut parameters) => match character {
                ' '..='?' => {
                    if parameters.len() < PARAMETERS_MAX {
                        parameters.push(character);
                    }
                    self.stay(Sequences::Csi(parameters))
                }
                '@'..='~' => Action::Csi { parameters, last: character },
                // Whatever else comes ends it, and is what it is.
                other => self.idle(other),
            },
            Sequences::Body(mut body) => match character {
                BELL | '\u{18}' | '\u{1a}' | '\u{9c}' => Action::Nothing,
                ESCAPE => self.stay(Sequences::BodyEscape(body)),
                other => {
                    if body.len() < BODY_MAX {
                        body.push(other);
                    }
                    self.stay(Sequences::Body(body))
                }
            },
            Sequences::BodyEscape(_) => match character {
                '\\' => Action::Nothing,
                // An escape ends a string in any case; with this one something else begins.
                other => self.escape(other),
            },
        }
    }

    fn stay(&mut self, state: Sequences) -> Action {
        *self = state;
        Action::Nothing
    }

    fn idle(&mut self, character: char) -> Action {
        match character {
            ESCAPE => self.stay(Sequences::Escape),
            '\u{9b}' => self.stay(Sequences::Csi(String::new())),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => self.stay(Sequences::Body(String::new())),
            control if control.is_control() => Action::Control(control),
            character => Action::Print(character),
        }
    }

    fn escape(&mut self, character: char) -> Action {
        match character {
            '[' => self.stay(Sequences::Csi(String::new())),
            ']' | 'P' | 'X' | '^' | '_' => self.stay(Sequences::Body(String::new())),
            ' '..='/' => self.stay(Sequences::Intermediate),
            '0'..='~' => Action::Nothing,
            other => self.idle(other),
        }
    }
}
