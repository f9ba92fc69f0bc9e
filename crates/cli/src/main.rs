//! The `backstay` command.

// These panic where nobody takes what they print, and nothing looks through it: `output` is for that.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod address;
mod args;
mod commands;
mod configuration;
mod confirm;
mod context;
mod defect;
mod detach;
mod error;
mod exit;
mod foreground;
mod found;
mod notify;
mod output;
mod pager;
#[cfg(test)]
mod pages;
mod programs;
mod screen;
mod ui;
mod user_folders;
mod warning;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;

fn main() -> ExitCode {
    backstay_exec::become_keeper_if_asked();
    if let Err(error) = backstay_exec::start_clean() {
        output::note(&format!("the signals that this process inherited stay as they are: {error}"));
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            return match output::answer(&error, context::wants_color()) {
                Ok(()) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)),
                Err(error) => {
                    output::report(&error);
                    exit::of_error(&error).into()
                }
            };
        }
    };
    let exit = match defect::guarded(|| run(arguments)) {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            output::report(&error);
            exit::of_error(&error)
        }
        Err(said) => {
            output::note(&said);
            return ExitCode::from(defect::CODE);
        }
    };
    exit.into()
}

fn run(arguments: Arguments) -> Result<Exit, CliError> {
    let context = Context::new(&arguments)?;
    output::start_tracing(&context);
    if let Some(zone) = context.unknown_zone() {
        output::note(&format!(
            "warning: TZ={zone} names no time zone, so times are in UTC; write one such as TZ=Europe/Berlin"
        ));
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::AsyncRuntime)?;
    let exit = runtime.block_on(commands::dispatch(&context, arguments.command));
    // A thread that still waits for a spool or a file must not keep the person waiting.
    runtime.shutdown_background();
    if let (Err(_), Some(chosen)) = (&exit, context.chosen_run()) {
        output::note(&chosen);
    }
    exit
}
