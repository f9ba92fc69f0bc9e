//! The programs that run text which they are given, and where it stands.

use super::interpreters::{Interpreter, Operand};

/// A program that runs the file that is its first operand, or its input.
const LANGUAGE: Interpreter = Interpreter {
    names: &[],
    programs: "",
    long_programs: &[],
    code: "",
    long_code: &[],
    files: "",
    long_files: &[],
    code_files: "",
    long_code_files: &[],
    settings: "",
    long_settings: &[],
    code_settings: &[],
    with_value: "",
    long_with_value: &[],
    long_with_two_values: &[],
    attached_code: "",
    attached: "",
    opening: "",
    operands: &[Operand::ProgramFile, Operand::Data],
    options_after_operands: false,
    plus_is_code: false,
    runs_input: true,
    operands_before_input: 0,
    is_confined: false,
    is_shell: false,
};

/// A program that does something else, and runs what some of its options say.
const TOOL: Interpreter = Interpreter {
    operands: &[Operand::DataOrOption],
    options_after_operands: true,
    runs_input: false,
    ..LANGUAGE
};

/// A tool whose operands are data: its options name only programs, which a value can hardly place.
const TOOL_OF_DATA: Interpreter = Interpreter { operands: &[Operand::Data], ..TOOL };

/// Settings of git that it runs.
const GIT_SETTINGS: &[&str] = &[
    "alias.",
    "pager.",
    "protocol.ext.",
    "askpass",
    "clean",
    "cmd",
    "command",
    "driver",
    "editor",
    "external",
    "fsmonitor",
    "gitproxy",
    "helper",
    "hookspath",
    "packobjectshook",
    "pager",
    "path",
    "process",
    "program",
    "receivepack",
    "smudge",
    "sshcommand",
    "templatedir",
    "textconv",
    "update",
    "uploadpack",
    "vcs",
];

/// Settings of ssh that it runs, or reads code from.
const SSH_SETTINGS: &[&str] = &[
    "include",
    "knownhostscommand",
    "localcommand",
    "match",
    "pkcs11provider",
    "proxycommand",
    "remotecommand",
    "securitykeyprovider",
    "xauthlocation",
];

/// Every program that is known. A version may stand behind a name.
pub(super) const PROGRAMS: &[Interpreter] = &[
    Interpreter {
        names: &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "rbash", "csh", "tcsh"],
        programs: "c",
        with_value: "oO",
        long_with_value: &["--rcfile", "--init-file"],
        is_shell: true,
        ..LANGUAGE
    },
    Interpreter {
        names: &["python", "pypy"],
        programs: "c",
        files: "m",
        code_files: "W",
        with_value: "X",
        ..LANGUAGE
    },
    Interpreter {
        names: &["perl"],
        programs: "eE",
        code: "M",
        code_files: "mI",
        attached_code: "dF",
        attached: "iDVx",
        opening: "np",
        ..LANGUAGE
    },
    Interpreter {
        names: &["ruby"],
        programs: "e",
        code_files: "rI",
        with_value: "CEF",
        attached: "iKTWx",
        ..LANGUAGE
    },
    Interpreter {
        names: &["node", "nodejs", "bun"],
        programs: "ep",
        long_programs: &["--eval", "--print", "-pe", "-ep"],
        long_code: &["--import", "--loader", "--experimental-loader"],
        code_files: "r",
        long_code_files: &[
            "--require",
            "--preload",
            "--env-file",
            "--env-file-if-exists",
            "--openssl-config",
            "--snapshot-blob",
            "--test-global-setup",
            "--test-reporter",
        ],
        with_value: "C",
        long_with_value: &["--conditions", "--title"],
        ..LANGUAGE
    },
    Interpreter { names: &["deno"], operands: &[Operand::Subcommand], ..LANGUAGE },
    Interpreter { names: &["deno eval"], operands: &[Operand::Code], ..LANGUAGE },
    Interpreter { names: &["deno run"], ..LANGUAGE },
    Interpreter {
        names: &["php"],
        programs: "rBRE",
        code: "d",
        files: "fF",
        code_files: "cz",
        with_value: "St",
        ..LANGUAGE
    },
    Interpreter { names: &["lua", "luajit"], programs: "e", code_files: "l", ..LANGUAGE },
    Interpreter {
        names: &["guile"],
        programs: "ce",
        files: "s",
        code_files: "lL",
        with_value: "x",
        ..LANGUAGE
    },
    Interpreter { names: &["Rscript", "R"], programs: "e", files: "f", long_files: &["--file"], ..LANGUAGE },
    Interpreter { names: &["osascript"], programs: "e", with_value: "ls", ..LANGUAGE },
    Interpreter {
        names: &["julia", "elixir", "octave", "erl", "groovy", "scala", "ghc", "gnuplot", "mongosh", "mongo"],
        programs: "eE",
        long_programs: &["--eval", "--print", "-eval"],
        code_files: "Lr",
        long_code_files: &["--load", "--require"],
        ..LANGUAGE
    },
    Interpreter {
        names: &["pwsh", "powershell"],
        long_programs: &[
            "-c",
            "-Command",
            "-command",
            "-e",
            "-ec",
            "-enc",
            "-EncodedCommand",
            "-encodedcommand",
        ],
        long_files: &["-f", "-File", "-file"],
        ..LANGUAGE
    },
    Interpreter { names: &["tclsh", "expect"], programs: "c", files: "f", ..LANGUAGE },
    Interpreter {
        names: &["awk", "gawk", "mawk", "nawk", "original-awk"],
        programs: "eW",
        long_programs: &["--source"],
        files: "fE",
        long_files: &["--file", "--exec"],
        code_files: "il",
        long_code_files: &["--include", "--load"],
        with_value: "vF",
        long_with_value: &["--assign", "--field-separator"],
        operands: &[Operand::Program, Operand::Data],
        runs_input: false,
        ..LANGUAGE
    },
    Interpreter {
        names: &["sed", "gsed"],
        programs: "e",
        long_programs: &["--expression"],
        files: "f",
        long_files: &["--file"],
        with_value: "lL",
        long_with_value: &["--line-length"],
        attached: "i",
        operands: &[Operand::Program, Operand::DataOrOption],
        ..TOOL
    },
    Interpreter {
        names: &["jq", "yq", "gojq", "jaq"],
        files: "f",
        long_files: &["--from-file"],
        with_value: "L",
        long_with_value: &["--indent"],
        long_with_two_values: &["--arg", "--argjson", "--rawfile", "--slurpfile"],
        operands: &[Operand::Program, Operand::Data],
        is_confined: true,
        ..TOOL
    },
    Interpreter {
        names: &["psql"],
        programs: "c",
        long_programs: &["--command"],
        code: "o",
        long_code: &["--output"],
        files: "f",
        long_files: &["--file"],
        with_value: "dUhpvPFRTL",
        long_with_value: &["--set", "--variable", "--host", "--username", "--dbname", "--port"],
        runs_input: true,
        operands_before_input: usize::MAX,
        ..TOOL
    },
    Interpreter {
        names: &["mysql", "mariadb"],
        programs: "e",
        long_programs: &["--execute"],
        long_code: &["--init-command", "--pager"],
        long_code_files: &["--defaults-file", "--defaults-extra-file", "--plugin-dir"],
        with_value: "DhPSu",
        long_with_value: &["--host", "--user", "--database"],
        attached: "p",
        runs_input: true,
        operands_before_input: usize::MAX,
        ..TOOL
    },
    Interpreter {
        names: &["sqlite3", "duckdb"],
        long_programs: &["-c", "-s"],
        long_code: &["-cmd", "--cmd"],
        long_code_files: &["-init", "--init"],
        long_with_value: &["-separator", "--separator", "-nullvalue", "--nullvalue", "-newline", "--newline"],
        operands: &[Operand::Data, Operand::Code],
        operands_before_input: 1,
        ..LANGUAGE
    },
    Interpreter {
        names: &["ssh", "rsh", "mosh"],
        settings: "o",
        code_settings: SSH_SETTINGS,
        long_code: &["--ssh"],
        code_files: "FI",
        with_value: "BbcDEeiJLlmOpPQRSWw",
        operands: &[Operand::Host, Operand::Code],
        operands_before_input: 1,
        ..LANGUAGE
    },
    Interpreter {
        names: &["scp", "sftp"],
        settings: "o",
        code_settings: SSH_SETTINGS,
        code: "DS",
        files: "b",
        code_files: "F",
        with_value: "BcilJPRX",
        ..TOOL
    },
    Interpreter {
        names: &["vi", "vim", "nvim", "gvim", "view", "ex", "vimdiff"],
        code: "c",
        long_code: &["--cmd"],
        code_files: "suS",
        with_value: "iTtw",
        plus_is_code: true,
        runs_input: true,
        operands_before_input: usize::MAX,
        ..TOOL
    },
    Interpreter {
        names: &["emacs", "emacsclient"],
        code: "e",
        long_code: &["--eval", "--execute", "-eval"],
        code_files: "l",
        long_code_files: &["--load", "--script", "-load", "-script"],
        ..TOOL
    },
    Interpreter {
        names: &["gdb"],
        long_code: &["-ex", "--ex", "-iex", "--iex", "--eval-command", "--init-eval-command"],
        code_files: "x",
        long_code_files: &["--command", "--init-command", "-ix"],
        runs_input: true,
        operands_before_input: usize::MAX,
        ..TOOL
    },
    Interpreter {
        names: &["at", "batch", "crontab", "ed", "dc", "ftp", "lftp", "m4"],
        programs: "ce",
        files: "f",
        operands: &[Operand::Data],
        options_after_operands: true,
        operands_before_input: usize::MAX,
        ..LANGUAGE
    },
    Interpreter {
        names: &["make", "gmake"],
        code: "E",
        long_code: &["--eval"],
        code_files: "fI",
        long_code_files: &["--file", "--makefile", "--include-dir"],
        with_value: "CjloW",
        operands: &[Operand::LikelyCode],
        ..TOOL
    },
    Interpreter {
        names: &["tar", "gtar", "bsdtar"],
        code: "IF",
        long_code: &[
            "--to-command",
            "--use-compress-program",
            "--rsh-command",
            "--rmt-command",
            "--info-script",
            "--new-volume-script",
        ],
        long_settings: &["--checkpoint-action"],
        code_settings: &["exec"],
        with_value: "CfTXbHKLNVg",
        ..TOOL
    },
    Interpreter {
        names: &["rsync"],
        code: "e",
        long_code: &["--rsh", "--rsync-path"],
        with_value: "fBMT",
        ..TOOL
    },
    Interpreter { names: &["sort"], long_code: &["--compress-program"], with_value: "koSTt", ..TOOL_OF_DATA },
    Interpreter { names: &["split"], long_code: &["--filter"], with_value: "abClnt", ..TOOL_OF_DATA },
    Interpreter {
        names: &["rg"],
        long_code: &["--pre", "--hostname-bin"],
        with_value: "efgtTABCm",
        ..TOOL_OF_DATA
    },
    Interpreter { names: &["man"], code: "PH", long_code: &["--pager", "--html"], ..TOOL_OF_DATA },
    Interpreter { names: &["zip"], long_code: &["-TT", "--unzip-command"], ..TOOL_OF_DATA },
    Interpreter { names: &["wget"], code: "e", long_code: &["--use-askpass", "--execute"], ..TOOL_OF_DATA },
    Interpreter {
        names: &["nc", "ncat", "netcat"],
        code: "ec",
        long_code: &["--exec", "--sh-exec"],
        ..TOOL_OF_DATA
    },
    Interpreter { names: &["npx"], code: "c", long_code: &["--call"], operands: &[Operand::Command], ..TOOL },
    Interpreter { names: &["socat", "tmux", "screen"], operands: &[Operand::LikelyCode], ..TOOL },
    Interpreter { names: &["go"], operands: &[Operand::Subcommand], ..TOOL },
    Interpreter {
        names: &["go run", "go test", "go build", "go vet", "go generate", "go install"],
        long_code: &["-exec", "-toolexec", "-vettool", "--exec", "--toolexec", "--vettool"],
        ..TOOL_OF_DATA
    },
    Interpreter {
        names: &["git"],
        settings: "c",
        code_settings: GIT_SETTINGS,
        long_code_files: &["--exec-path"],
        with_value: "C",
        long_with_value: &["--git-dir", "--work-tree", "--namespace", "--config-env"],
        operands: &[Operand::Subcommand],
        ..TOOL
    },
    Interpreter {
        names: &["git clone"],
        settings: "c",
        long_settings: &["--config"],
        code_settings: GIT_SETTINGS,
        code: "u",
        long_code: &["--upload-pack"],
        long_code_files: &["--template"],
        with_value: "obj",
        ..TOOL
    },
    Interpreter {
        names: &["git fetch", "git pull", "git ls-remote", "git archive", "git push", "git send-pack"],
        long_code: &["--upload-pack", "--receive-pack", "--exec"],
        with_value: "osXj",
        ..TOOL
    },
    Interpreter { names: &["git rebase"], code: "x", long_code: &["--exec"], with_value: "sXC", ..TOOL },
    Interpreter {
        names: &["git grep"],
        attached_code: "O",
        long_code: &["--open-files-in-pager"],
        with_value: "efABCm",
        ..TOOL
    },
    Interpreter { names: &["git difftool"], code: "x", long_code: &["--extcmd"], with_value: "t", ..TOOL },
    Interpreter {
        names: &["git filter-branch"],
        long_code: &[
            "--setup",
            "--env-filter",
            "--tree-filter",
            "--index-filter",
            "--parent-filter",
            "--msg-filter",
            "--commit-filter",
            "--tag-name-filter",
        ],
        ..TOOL
    },
    Interpreter { names: &["git bisect"], operands: &[Operand::Subcommand], ..TOOL },
    Interpreter { names: &["git submodule"], operands: &[Operand::Subcommand], ..TOOL },
    Interpreter { names: &["git bisect run"], operands: &[Operand::Command], ..TOOL },
    Interpreter { names: &["git submodule foreach"], operands: &[Operand::Script], ..TOOL },
    Interpreter {
        names: &["git config"],
        code_settings: GIT_SETTINGS,
        code_files: "f",
        long_with_value: &["--file", "--blob", "--type", "--default"],
        operands: &[Operand::Data, Operand::SettingValue],
        ..TOOL
    },
];
