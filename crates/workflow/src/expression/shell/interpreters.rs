//! The ways of a program that runs text to take it: the types. `tables` has the programs.

use super::tables::PROGRAMS;

/// The meaning of a word for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// The program, unless an option named one.
    Program,
    /// The file with the program, unless an option named one.
    ProgramFile,
    /// A host to connect to, which may be an option that names a program.
    Host,
    /// Code, whatever options there are.
    Code,
    /// Code in some of its forms.
    LikelyCode,
    /// A script of a shell.
    Script,
    /// A command with its arguments.
    Command,
    /// What it is to do: `git rebase` has an entry of its own.
    Subcommand,
    /// The value of the setting that the word before it names.
    SettingValue,
    /// Data, but an option that runs code if it begins with `-`.
    DataOrOption,
    /// Data.
    Data,
}

/// The meaning of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptionValue {
    /// The program that runs in place of an operand.
    Program,
    /// Code that runs beside it.
    Code,
    /// The file with the program.
    ProgramFile,
    /// A file, module or folder with code that is loaded beside it.
    CodeFile,
    /// `name=value`, of which some names take code.
    Setting,
    /// Data.
    Data,
    /// Code, only in the same word.
    AttachedCode,
    /// Data, only in the same word.
    AttachedData,
}

/// The ways of a program to take the text that it runs. Options are letters, or whole names with their dashes.
pub(super) struct Interpreter {
    pub(super) names: &'static [&'static str],
    pub(super) programs: &'static str,
    pub(super) long_programs: &'static [&'static str],
    pub(super) code: &'static str,
    pub(super) long_code: &'static [&'static str],
    pub(super) files: &'static str,
    pub(super) long_files: &'static [&'static str],
    pub(super) code_files: &'static str,
    pub(super) long_code_files: &'static [&'static str],
    pub(super) settings: &'static str,
    pub(super) long_settings: &'static [&'static str],
    /// Settings whose value is code, in small letters: whole names, their last parts, or with a `.` behind it the first.
    pub(super) code_settings: &'static [&'static str],
    pub(super) with_value: &'static str,
    pub(super) long_with_value: &'static [&'static str],
    pub(super) long_with_two_values: &'static [&'static str],
    pub(super) attached_code: &'static str,
    pub(super) attached: &'static str,
    /// Letters with which a file among the operands may be a command.
    pub(super) opening: &'static str,
    /// What its operands are; the last one stands for all that follow.
    pub(super) operands: &'static [Operand],
    /// Whether options may stand behind operands.
    pub(super) options_after_operands: bool,
    /// Whether a word that begins with `+` is code.
    pub(super) plus_is_code: bool,
    /// Whether it runs its input without another program.
    pub(super) runs_input: bool,
    /// The operands that it may have and still run its input.
    pub(super) operands_before_input: usize,
    /// Whether its programs can start no other.
    pub(super) is_confined: bool,
    /// Whether it is a shell: the program is the first operand behind all options.
    pub(super) is_shell: bool,
}

impl Interpreter {
    /// The program of this name, without its folder; a version may stand behind the name: `python3.12`.
    pub(super) fn named(name: &str) -> Option<&'static Interpreter> {
        let find = |name: &str| PROGRAMS.iter().find(|known| known.names.contains(&name));
        find(name).or_else(|| find(name.trim_end_matches(|c: char| c.is_ascii_digit() || ".-".contains(c))))
    }

    pub(super) fn operand(&self, number: usize) -> Operand {
        self.operands.get(number).or(self.operands.last()).copied().unwrap_or(Operand::Data)
    }

    /// Returns the meaning of the value of the option with this letter.
    pub(super) fn short(&self, letter: char) -> Option<OptionValue> {
        let kinds = [
            (self.programs, OptionValue::Program),
            (self.code, OptionValue::Code),
            (self.files, OptionValue::ProgramFile),
            (self.code_files, OptionValue::CodeFile),
            (self.settings, OptionValue::Setting),
            (self.with_value, OptionValue::Data),
            (self.attached_code, OptionValue::AttachedCode),
            (self.attached, OptionValue::AttachedData),
        ];
        kinds.iter().find(|(letters, _)| letters.contains(letter)).map(|(_, value)| *value)
    }

    /// Returns the meaning of the value of the option with this name. Programs of GNU take the beginning of a name for the whole.
    pub(super) fn long(&self, name: &str) -> Option<OptionValue> {
        let kinds = [
            (self.long_programs, OptionValue::Program),
            (self.long_code, OptionValue::Code),
            (self.long_files, OptionValue::ProgramFile),
            (self.long_code_files, OptionValue::CodeFile),
            (self.long_settings, OptionValue::Setting),
            (self.long_with_value, OptionValue::Data),
        ];
        let find = |is: &dyn Fn(&str) -> bool| {
            kinds.iter().find(|(names, _)| names.iter().any(|known| is(known))).map(|(_, value)| *value)
        };
        let is_beginning = name.starts_with("--") && name.len() > 3;
        find(&|known| known == name).or_else(|| find(&|known| is_beginning && known.starts_with(name)))
    }

    /// The letters of a word with options before the first that has a value, and that one.
    pub(super) fn flags<'a>(&self, word: &'a str) -> (&'a str, Option<char>) {
        if word.starts_with("--") || self.long(word).is_some() {
            return ("", None);
        }
        let letters = crate::text::part(word, 1..);
        match letters.char_indices().find(|(_, letter)| self.short(*letter).is_some()) {
            Some((end, letter)) => (&letters[..end], Some(letter)),
            None => (letters, None),
        }
    }

    /// Whether the value of this setting is code.
    pub(super) fn runs_setting(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.code_settings.iter().any(|known| match known.strip_suffix('.') {
            Some(_) => name.starts_with(known),
            None => name == *known || name.strip_suffix(known).is_some_and(|before| before.ends_with('.')),
        })
    }
}
