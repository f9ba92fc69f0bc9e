//! Programs that run text: where it stands among their arguments.

/// What a word is to an interpreter.
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
    /// Data.
    Data,
}

/// How a program is given what it runs.
pub(super) struct Interpreter {
    pub(super) names: &'static [&'static str],
    /// Letters of options whose value is code.
    pub(super) programs: &'static str,
    /// Long options whose value is code.
    pub(super) long_programs: &'static [&'static str],
    /// Letters of options whose value is a file with code.
    pub(super) files: &'static str,
    /// Letters of options with a value that is data.
    pub(super) with_value: &'static str,
    /// Long options with a value behind them that is data.
    pub(super) long_with_value: &'static [&'static str],
    /// What its operands are; the last one stands for all that follow.
    operands: &'static [Operand],
    /// Whether options may stand behind operands.
    pub(super) options_after_operands: bool,
    /// Whether it runs its input where it is not told what else to run.
    pub(super) runs_input: bool,
    /// The operands that it may have and still run its input.
    pub(super) operands_before_input: usize,
    /// Whether its programs can start no other.
    pub(super) is_confined: bool,
    /// Whether it is a shell: the program is the first operand behind all options.
    pub(super) is_shell: bool,
}

impl Interpreter {
    pub(super) fn operand(&self, number: usize) -> Operand {
        self.operands.get(number).or(self.operands.last()).copied().unwrap_or(Operand::Data)
    }
}

const BASE: Interpreter = Interpreter {
    names: &[],
    programs: "",
    long_programs: &[],
    files: "",
    with_value: "",
    long_with_value: &[],
    operands: &[Operand::ProgramFile, Operand::Data],
    options_after_operands: false,
    runs_input: true,
    operands_before_input: 0,
    is_confined: false,
    is_shell: false,
};

/// Every interpreter that is known.
pub(super) const INTERPRETERS: &[Interpreter] = &[
    Interpreter {
        names: &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "rbash", "csh", "tcsh"],
        programs: "c",
        with_value: "oO",
        long_with_value: &["--rcfile", "--init-file"],
        is_shell: true,
        ..BASE
    },
    Interpreter {
        names: &["python", "python2", "python3", "pypy", "pypy3"],
        programs: "c",
        files: "m",
        with_value: "WX",
        ..BASE
    },
    Interpreter { names: &["perl"], programs: "eE", with_value: "I", ..BASE },
    Interpreter { names: &["ruby"], programs: "e", with_value: "IrC", ..BASE },
    Interpreter {
        names: &["node", "nodejs", "bun", "deno"],
        programs: "ep",
        long_programs: &["--eval", "--print"],
        with_value: "rC",
        long_with_value: &["--require", "--import"],
        ..BASE
    },
    Interpreter { names: &["php"], programs: "rBRE", files: "fF", with_value: "d", ..BASE },
    Interpreter {
        names: &["lua", "luajit", "guile", "Rscript", "R", "osascript"],
        programs: "e",
        with_value: "l",
        ..BASE
    },
    Interpreter { names: &["pwsh", "powershell"], programs: "c", long_programs: &["-Command"], ..BASE },
    Interpreter { names: &["tclsh", "expect"], programs: "c", files: "f", ..BASE },
    Interpreter {
        names: &["awk", "gawk", "mawk", "nawk", "original-awk"],
        programs: "e",
        long_programs: &["--source"],
        files: "fE",
        with_value: "vFil",
        long_with_value: &["--assign", "--field-separator"],
        operands: &[Operand::Program, Operand::Data],
        runs_input: false,
        ..BASE
    },
    Interpreter {
        names: &["sed", "gsed"],
        programs: "e",
        long_programs: &["--expression"],
        files: "f",
        with_value: "lL",
        operands: &[Operand::Program, Operand::Data],
        options_after_operands: true,
        runs_input: false,
        ..BASE
    },
    Interpreter {
        names: &["jq", "yq", "gojq", "jaq"],
        files: "f",
        with_value: "L",
        operands: &[Operand::Program, Operand::Data],
        is_confined: true,
        runs_input: false,
        ..BASE
    },
    Interpreter {
        names: &["psql", "mysql", "mariadb"],
        programs: "ce",
        long_programs: &["--command", "--execute"],
        files: "f",
        with_value: "dUhpvPF",
        long_with_value: &["--set", "--variable", "--host", "--user", "--dbname"],
        operands: &[Operand::Data],
        options_after_operands: true,
        operands_before_input: usize::MAX,
        ..BASE
    },
    Interpreter {
        names: &["sqlite3", "duckdb"],
        operands: &[Operand::Data, Operand::Code],
        operands_before_input: 1,
        ..BASE
    },
    Interpreter {
        names: &["ssh", "rsh", "mosh"],
        with_value: "BbcDEeFIiJLlmOoPpQRSWw",
        operands: &[Operand::Host, Operand::Code],
        operands_before_input: 1,
        ..BASE
    },
    Interpreter {
        names: &["at", "batch", "crontab", "ed", "ex", "dc", "gdb", "ftp", "sftp", "lftp", "vi", "vim"],
        programs: "ce",
        operands: &[Operand::Data],
        operands_before_input: usize::MAX,
        ..BASE
    },
];
