//! Exit codes: the one place that gives them.

use std::process::ExitCode;

use backstay_engine::record::RunStatus;
use backstay_log::{InspectError, OpenError, is_out_of_space};
use backstay_runtime::care::{AdoptError, BackupError, RestoreError, StoreScrubError};
use backstay_runtime::{DriveEnd, DriveError, RunError, StoreOpenError};

use crate::error::CliError;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// As wanted.
    Completed,
    /// The run failed, or the command could not do its work.
    Failed,
    /// The command was not said right.
    Usage,
    /// The run waits for a person.
    WaitsForPerson,
    /// The run was cancelled or a question denied.
    Cancelled,
    /// The run stands still.
    Suspended,
    /// Another process owns the run.
    OwnedElsewhere,
    /// The run was left to the background, and how it ends is not known yet; as sysexits.h says "try again later".
    Left,
    /// `wait --timeout` was over first; as timeout(1) says it.
    TimedOut,
    /// A view was ended by Ctrl-C; as a shell says it.
    Interrupted,
    /// A view was told to end; as a shell says it.
    Terminated,
}

impl Exit {
    /// A keeper that was started by hand, in another order of arguments: its place is before everything else.
    pub(crate) fn from_keeper(folder: &camino::Utf8Path) -> Exit {
        crate::output::note(&format!("`backstay keeper --folder {folder}` is for the runtime to start"));
        Exit::Usage
    }

    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Completed => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::WaitsForPerson => 3,
            Exit::Cancelled => 4,
            Exit::Suspended => 5,
            Exit::OwnedElsewhere => 6,
            Exit::Left => 75,
            Exit::TimedOut => 124,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The exit of a command that worked on a run.
pub(crate) const fn of_drive(end: DriveEnd) -> Exit {
    match end {
        DriveEnd::Ended(status) => of_status(status),
        DriveEnd::Suspended | DriveEnd::Stopped => Exit::Suspended,
        DriveEnd::WaitingForPerson | DriveEnd::Asking => Exit::WaitsForPerson,
    }
}

/// The exit of a command that tells where a run stands, once it is of no use to wait any longer.
pub(crate) const fn of_status(status: RunStatus) -> Exit {
    match status {
        RunStatus::Completed | RunStatus::Queued | RunStatus::Running => Exit::Completed,
        RunStatus::Failed => Exit::Failed,
        RunStatus::Waiting => Exit::WaitsForPerson,
        RunStatus::Cancelling | RunStatus::Cancelled => Exit::Cancelled,
        RunStatus::Suspending | RunStatus::Suspended => Exit::Suspended,
    }
}

/// The exit of a command that met an error.
pub(crate) fn of_error(error: &CliError) -> Exit {
    match error {
        // Nothing of a run has failed: it goes on, or is asked for again, once there is room.
        CliError::Drive(error) if error.has_no_room() => Exit::Suspended,
        CliError::Store(StoreOpenError::Log(_) | StoreOpenError::Look(_) | StoreOpenError::Registry(_))
        | CliError::Registry(_)
        | CliError::Run(_)
        | CliError::Say(_)
            if is_out_of_space(error) =>
        {
            Exit::Suspended
        }
        CliError::NoStore { .. }
        | CliError::NoRuns
        | CliError::UnknownRun { .. }
        | CliError::AmbiguousRun { .. }
        | CliError::UnknownStep { .. }
        | CliError::AddressForm { .. }
        | CliError::NoSuchLoop { .. }
        | CliError::UnknownCycle { .. }
        | CliError::CycleNotTaken { .. }
        | CliError::UnknownQuestion { .. }
        | CliError::ManyQuestions { .. }
        | CliError::SeveralQuestions { .. }
        | CliError::NoQuestion
        | CliError::TestNotRun { .. }
        | CliError::NoAnswer { .. }
        | CliError::EmptyPrompt { .. }
        | CliError::NotAgreed { .. }
        | CliError::Workflow { .. }
        | CliError::Mistakes { .. }
        | CliError::Inputs(_)
        | CliError::InputForm { .. }
        | CliError::InputsFile { .. }
        | CliError::NotJson { .. }
        | CliError::AgentForm { .. }
        | CliError::NoTerminal
        | CliError::UnusedAgent { .. }
        | CliError::UnknownAgent { .. }
        | CliError::Presets(_)
        | CliError::DurationForm { .. }
        | CliError::SizeForm { .. }
        | CliError::NotInAStep
        | CliError::CannotAskHere { .. }
        | CliError::FileExists { .. }
        | CliError::DefaultNotAnOption { .. }
        | CliError::NotOurs { .. }
        | CliError::Configuration { .. }
        | CliError::UntrustedConfiguration { .. }
        | CliError::NoConfiguration { .. }
        | CliError::TrustInAStep
        | CliError::OthersWrite { .. }
        | CliError::NoStateFolder
        | CliError::Cursor(_)
        | CliError::Registry(_)
        | CliError::Store(
            StoreOpenError::IsBackup(_)
            | StoreOpenError::Private(_)
            | StoreOpenError::OtherThings { .. }
            | StoreOpenError::NotAdopted { .. }
            | StoreOpenError::Registry(_)
            | StoreOpenError::Adopt(AdoptError::Private(_))
            | StoreOpenError::Look(InspectError::Open(
                OpenError::Missing { .. }
                | OpenError::NotAStore { .. }
                | OpenError::NewerStore { .. }
                | OpenError::DevelopmentStore { .. }
                | OpenError::NetworkFileSystem { .. },
            )),
        )
        | CliError::Store(StoreOpenError::Log(
            OpenError::Missing { .. }
            | OpenError::NotAStore { .. }
            | OpenError::NewerStore { .. }
            | OpenError::DevelopmentStore { .. }
            | OpenError::NetworkFileSystem { .. },
        ))
        | CliError::Look(InspectError::Open(
            OpenError::Missing { .. }
            | OpenError::NotAStore { .. }
            | OpenError::NewerStore { .. }
            | OpenError::DevelopmentStore { .. }
            | OpenError::NetworkFileSystem { .. },
        ))
        | CliError::Backup(
            BackupError::Occupied { .. } | BackupError::Inside { .. } | BackupError::IsBackup(_),
        )
        | CliError::RestoreStore(
            RestoreError::Occupied { .. } | RestoreError::NotABackup { .. } | RestoreError::IsBackup(_),
        )
        | CliError::Scrub(StoreScrubError::IsBackup(_))
        | CliError::NoVariable { .. }
        | CliError::Run(RunError::Unknown(_))
        | CliError::NotUtf8 { .. }
        | CliError::PathName { .. }
        | CliError::ReadFile { .. } => Exit::Usage,
        CliError::Drive(
            DriveError::OwnedElsewhere { .. } | DriveError::Fenced { .. } | DriveError::OwnerLost { .. },
        ) => Exit::OwnedElsewhere,
        CliError::OutputClosed => Exit::Completed,
        CliError::Drive(_)
        | CliError::Store(
            StoreOpenError::Log(OpenError::Store(_))
            | StoreOpenError::Adopt(_)
            | StoreOpenError::Look(_)
            | StoreOpenError::Mirror(_)
            | StoreOpenError::Thread(_),
        )
        | CliError::Run(_)
        | CliError::Say(_)
        | CliError::Free(_)
        | CliError::Attach(_)
        | CliError::Pause(_)
        | CliError::Refused(_)
        | CliError::Log(_)
        | CliError::Spool(_)
        | CliError::NoTree { .. }
        | CliError::SeveralPlaces { .. }
        | CliError::Tree(_)
        | CliError::Input(_)
        | CliError::Look(_)
        | CliError::Backup(_)
        | CliError::RestoreStore(_)
        | CliError::Scrub(_)
        | CliError::WriteFile { .. }
        | CliError::Folder(_)
        | CliError::Program(_)
        | CliError::AsyncRuntime(_)
        | CliError::Pager { .. }
        | CliError::Signals(_)
        | CliError::Thread(_)
        | CliError::Encode(_)
        | CliError::Output(_)
        | CliError::Demo { .. }
        | CliError::TooFewFiles { .. }
        | CliError::Keep { .. } => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_are_those_of_the_documentation() {
        let codes = [
            (DriveEnd::Ended(RunStatus::Completed), 0),
            (DriveEnd::Ended(RunStatus::Failed), 1),
            (DriveEnd::WaitingForPerson, 3),
            (DriveEnd::Asking, 3),
            (DriveEnd::Ended(RunStatus::Cancelled), 4),
            (DriveEnd::Suspended, 5),
            (DriveEnd::Stopped, 5),
        ];
        for (end, code) in codes {
            assert_eq!(of_drive(end).code(), code, "{end:?}");
        }
        assert_eq!(of_error(&CliError::NoRuns).code(), 2);
        assert_eq!(Exit::OwnedElsewhere.code(), 6);
    }
}
