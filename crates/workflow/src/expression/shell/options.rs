//! Finds the program among the options and operands of an interpreter.

use super::interpreters::{Interpreter, Operand, OptionValue};
use super::programs::{Reading, Role};

/// The place of an interpreter's program, after the options so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ProgramAt {
    Unknown,
    /// It is the first operand, whatever that usually is.
    Operand,
    /// An option had it.
    Option,
}

/// The meaning of one word with an option.
enum OptionKind {
    Flag,
    /// What follows in the word says which option it is.
    Open,
    ProgramIsOperand,
    /// Its value is the next word.
    Next(OptionValue),
    /// Its values are the next two words.
    NextTwo,
    /// Its value begins behind so many bytes of the word.
    Here(OptionValue, usize),
}

impl Reading<'_> {
    pub(super) fn interpreter(&mut self, known: &Interpreter, first: usize) {
        let (mut at, mut options, mut operands) = (first, true, 0_usize);
        let (mut program, mut reads_input) = (ProgramAt::Unknown, false);
        let (mut opens_commands, mut edits_in_place) = (false, false);
        while at < self.len() {
            let prefix = self.words[at].literal_prefix();
            let is_option =
                options && prefix.starts_with(['-', '+']) && (prefix.len() > 1 || self.text(at).is_none());
            if options && self.text(at) == Some("--") {
                options = false;
            } else if is_option {
                let (letters, ender) = known.flags(&prefix);
                opens_commands |= letters.contains(|letter| known.opening.contains(letter));
                edits_in_place |= ender == Some('i');
                match self.option_of(known, at, &prefix) {
                    OptionKind::Flag => reads_input |= known.is_shell && prefix.contains('s'),
                    OptionKind::Open => self.add_after(at, prefix.len(), Role::Option),
                    OptionKind::ProgramIsOperand => program = ProgramAt::Operand,
                    OptionKind::NextTwo => at += 2,
                    OptionKind::Next(value) => {
                        at += 1;
                        program = self.option_value_of(known, value, at, 0).unwrap_or(program);
                    }
                    OptionKind::Here(value, skipped) => {
                        program = self.option_value_of(known, value, at, skipped).unwrap_or(program);
                    }
                }
            } else {
                if options {
                    self.add(at, Role::Operator);
                }
                let may_be_option = options && self.is_open(at);
                options &= known.options_after_operands;
                if opens_commands && !edits_in_place && (program == ProgramAt::Option || operands > 0) {
                    self.add(at, Role::FileOrCommand);
                }
                if self.operand(known, at, operands, program, may_be_option) {
                    return;
                }
                operands += 1;
                let is_input = matches!(self.text(at), Some("-" | "/dev/stdin" | "/dev/fd/0"));
                reads_input |= operands == 1 && is_input && program == ProgramAt::Unknown;
            }
            at += 1;
        }
        let is_idle = operands <= known.operands_before_input && program == ProgramAt::Unknown;
        self.treatment.runs_input |= known.runs_input && (is_idle || reads_input);
        self.lacks_program |= program == ProgramAt::Operand && operands == 0;
    }

    /// Reads an operand. Returns whether it begins a command of its own.
    fn operand(
        &mut self,
        known: &Interpreter,
        at: usize,
        number: usize,
        program: ProgramAt,
        may_be_option: bool,
    ) -> bool {
        let code = if known.is_shell { Role::Script } else { Role::Code };
        let has_program = program == ProgramAt::Option && known.operand(0) == Operand::Program;
        match (program, known.operand(number + usize::from(has_program))) {
            (ProgramAt::Operand, _) if number == 0 => self.add(at, code),
            (ProgramAt::Operand, _) => {}
            (_, Operand::Subcommand) => {
                let Some(text) = self.text(at) else {
                    self.add(at, Role::ProgramName);
                    return true;
                };
                let name = format!("{} {text}", known.names[0]);
                if let Some(known) = Interpreter::named(&name) {
                    self.interpreter(known, at + 1);
                }
                return true;
            }
            (_, Operand::Command) => {
                self.command(at);
                return true;
            }
            (_, Operand::Script) => self.add(at, Role::Script),
            (_, Operand::LikelyCode) => self.likely(|reading| reading.add(at, code)),
            (_, Operand::SettingValue) => {
                if at
                    .checked_sub(1)
                    .and_then(|name| self.text(name))
                    .is_some_and(|name| known.runs_setting(name))
                {
                    self.add(at, code);
                }
            }
            (ProgramAt::Unknown, Operand::Program) if known.is_confined => {
                self.likely(|reading| reading.add(at, code));
            }
            (ProgramAt::Unknown, Operand::Program) | (_, Operand::Code) => self.add(at, code),
            (ProgramAt::Unknown, Operand::ProgramFile) => self.add(at, Role::ProgramFile),
            (_, Operand::Host) if may_be_option => self.add(at, Role::Option),
            (_, Operand::DataOrOption) if may_be_option => {
                self.likely(|reading| reading.add(at, Role::Option));
            }
            (
                _,
                Operand::Program
                | Operand::ProgramFile
                | Operand::Host
                | Operand::DataOrOption
                | Operand::Data,
            ) => {}
        }
        false
    }

    /// Reads the value of an option. Returns the new place of the program, if it changes.
    fn option_value_of(
        &mut self,
        known: &Interpreter,
        value: OptionValue,
        at: usize,
        skipped: usize,
    ) -> Option<ProgramAt> {
        match value {
            OptionValue::Program => {
                self.add_after(at, skipped, if known.is_shell { Role::Script } else { Role::Code });
                Some(ProgramAt::Option)
            }
            OptionValue::Code => {
                self.add_after(at, skipped, Role::Code);
                None
            }
            OptionValue::ProgramFile => {
                self.add_after(at, skipped, Role::ProgramFile);
                Some(ProgramAt::Option)
            }
            OptionValue::CodeFile => {
                self.add_after(at, skipped, Role::ProgramFile);
                None
            }
            OptionValue::Setting => {
                if let Some(word) = self.words.get(at) {
                    let name = word.after(skipped).literal_prefix();
                    match name.find(['=', ' ']) {
                        Some(end) if known.runs_setting(&name[..end]) => {
                            self.add_after(at, skipped + end + 1, Role::Code);
                        }
                        Some(_) => {}
                        None => self.add_after(at, skipped, Role::Code),
                    }
                }
                None
            }
            OptionValue::Data | OptionValue::AttachedCode | OptionValue::AttachedData => None,
        }
    }

    fn option_of(&self, known: &Interpreter, at: usize, prefix: &str) -> OptionKind {
        let is_whole = self.text(at).is_some();
        let (name, has_value) = match prefix.split_once('=') {
            Some((name, _)) => (name, true),
            None => (prefix, false),
        };
        if known.long_with_two_values.contains(&name) && is_whole {
            return OptionKind::NextTwo;
        }
        match known.long(name) {
            Some(value) if has_value => return OptionKind::Here(value, name.len() + 1),
            Some(value) if is_whole => return OptionKind::Next(value),
            // The rest of its name is not known.
            Some(OptionValue::Program | OptionValue::Code | OptionValue::Setting) => return OptionKind::Open,
            Some(_) | None if prefix.starts_with("--") => {
                let is_open = prefix == "--" && !is_whole;
                return if is_open { OptionKind::Open } else { OptionKind::Flag };
            }
            Some(_) | None => {}
        }
        if prefix.starts_with('+') && known.plus_is_code {
            return OptionKind::Here(OptionValue::Code, 1);
        }
        for (index, letter) in prefix.char_indices().skip(1) {
            let end = index + letter.len_utf8();
            let is_last = is_whole && end == prefix.len();
            let Some(value) = known.short(letter) else { continue };
            return match value {
                OptionValue::Program if known.is_shell => OptionKind::ProgramIsOperand,
                // A shell goes on with the letters behind it.
                OptionValue::Data if known.is_shell && prefix[index..].contains('c') => {
                    OptionKind::ProgramIsOperand
                }
                OptionValue::Data if known.is_shell => OptionKind::Next(value),
                OptionValue::AttachedData => OptionKind::Flag,
                OptionValue::AttachedCode if is_last => OptionKind::Flag,
                OptionValue::AttachedCode => OptionKind::Here(OptionValue::Code, end),
                value if is_last => OptionKind::Next(value),
                value => OptionKind::Here(value, end),
            };
        }
        if is_whole || prefix.starts_with('+') { OptionKind::Flag } else { OptionKind::Open }
    }
}
