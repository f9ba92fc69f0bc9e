//! A run while a person is on an agent's own screen: nothing else begins to work in its sessions.

use std::time::Duration;

use backstay_exec::{KeptClosed, OpenScreen, ScreenState, screen_state};
use backstay_model::{Code, Coded, RunId};

use crate::attach::AttachError;
use crate::error::{RunError, SayError};
use crate::store::Store;

/// The bound on waiting for a screen whose terminal was closed a moment ago.
const CLOSING_TRIES: u32 = 20;
const CLOSING_AGAIN: Duration = Duration::from_millis(50);

/// Somebody is on an agent's own screen, in a session of the run.
#[derive(Debug, thiserror::Error)]
#[error("{}", words(*.run, .screen.as_ref()))]
pub struct ScreenIsOpen {
    /// The run.
    pub run: RunId,
    /// The screen, where it can be told.
    pub screen: Option<OpenScreen>,
}

fn words(run: RunId, screen: Option<&OpenScreen>) -> String {
    let Some(OpenScreen { pid, on }) = screen else {
        return format!("the screen of an agent is open in a session of {run}");
    };
    format!("the screen of {} is open in the session {} of {run} (pid {pid})", on.agent, on.session)
}

impl Coded for ScreenIsOpen {
    fn code(&self) -> Code {
        Code("BKS-R089")
    }

    fn hint(&self) -> Option<String> {
        Some(format!("leave that screen; or `backstay resume {} --take-over` ends it", self.run))
    }
}

impl Store {
    /// Looks whether the run may begin to work in its sessions; no screen is opened until the answer is dropped.
    pub(crate) async fn keep_screens_closed(&self, run: RunId) -> Result<KeptClosed, SayError> {
        let folder = self.run_folder(run);
        let looked = tokio::task::spawn_blocking(move || {
            let mut tries = CLOSING_TRIES;
            loop {
                match screen_state(&folder) {
                    Ok(ScreenState::Open(_)) if tries > 0 => {
                        tries -= 1;
                        std::thread::park_timeout(CLOSING_AGAIN);
                    }
                    Ok(state) => return Ok(state),
                    Err(source) => return Err(RunError::Folder { path: folder, source }),
                }
            }
        });
        match looked.await.map_err(RunError::Thread)?? {
            ScreenState::Closed(kept) => Ok(kept),
            ScreenState::Open(screen) => Err(SayError::ScreenIsOpen(ScreenIsOpen { run, screen })),
        }
    }

    /// Ends the screen that somebody has open in a session of the run, and waits until what was done on it is written down.
    /// The screen that was open, if one was.
    ///
    /// # Errors
    /// [`AttachError`] if it is still open.
    pub async fn end_screen(&self, run: RunId) -> Result<Option<OpenScreen>, AttachError> {
        let folder = self.run_folder(run);
        let ended = tokio::task::spawn_blocking(move || {
            let state = screen_state(&folder);
            let state = state.map_err(|source| RunError::Folder { path: folder.clone(), source })?;
            let ScreenState::Open(screen) = state else { return Ok(None) };
            backstay_exec::end_screen(&folder)?;
            Ok::<_, AttachError>(screen)
        });
        ended.await?
    }
}
