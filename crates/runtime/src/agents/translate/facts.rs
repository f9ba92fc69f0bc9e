//! The facts that wait to be told.

use backstay_model::Text;
use backstay_model::event::{Said, SaidOn};

use super::{BATCH_FACTS, Observer, WORDS_CHARS_MAX, last_line};

/// Facts of one line that are told, beside the last of each kind that decides something: an append has room for that many.
const LINE_FACTS_MAX: usize = 400;

/// A fact that is to be told.
#[derive(Debug)]
pub(super) struct Waiting {
    on: SaidOn,
    spool_end: u64,
    draft: Draft,
}

/// A fact before its text is kept.
#[derive(Debug)]
pub(super) enum Draft {
    Message {
        text: String,
        is_piece: bool,
    },
    Said(Said),
    /// So many facts of a line are left out.
    LeftOut {
        facts: u64,
    },
}

impl Draft {
    /// Whether something is decided by it: how the turn ended, what is in the way, what was used, in which session.
    fn decides(&self) -> bool {
        match self {
            Draft::Message { .. } | Draft::LeftOut { .. } => false,
            Draft::Said(said) => match said {
                Said::SessionStarted { .. }
                | Said::Usage(_)
                | Said::Limit { .. }
                | Said::LoginNeeded { .. }
                | Said::Refused { .. }
                | Said::NetworkTrouble { .. }
                | Said::TurnEnded { .. } => true,
                Said::Message { .. }
                | Said::Thought { .. }
                | Said::ToolStarted { .. }
                | Said::ToolFinished { .. }
                | Said::FilesTouched { .. }
                | Said::Error { .. } => false,
            },
        }
    }
}

/// Facts for one report, with the texts that have to be kept before.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Batch {
    pub(crate) on: SaidOn,
    pub(crate) said: Vec<(u64, Said)>,
    pub(crate) texts: Vec<String>,
}

impl Observer {
    /// Keeps what the line of stderr that was read last says.
    pub(super) fn wait_beside(&mut self, drafts: Vec<Draft>) {
        let spool_end = self.stderr.end;
        if spool_end > self.known_until.stderr {
            let waiting = drafts.into_iter().map(|draft| Waiting { on: SaidOn::Stderr, spool_end, draft });
            self.waiting.extend(waiting);
        }
    }

    pub(super) fn wait(&mut self, spool_end: u64, draft: Draft) {
        // Pieces that follow each other are one fact of the report, at the place of the last.
        if let (
            Draft::Message { text, is_piece: true },
            Some(Waiting { spool_end: end, draft: Draft::Message { text: before, is_piece: true }, .. }),
        ) = (&draft, self.waiting.last_mut())
        {
            before.push_str(text);
            *end = spool_end;
            self.waiting_bytes += text.len();
            return;
        }
        let of_line = |waiting: &&Waiting| (waiting.on, waiting.spool_end) == (SaidOn::Stdout, spool_end);
        let in_line = self.waiting.iter().rev().take_while(of_line).count();
        match in_line >= LINE_FACTS_MAX {
            true => self.squeeze(in_line, spool_end, draft),
            false => self.push(spool_end, draft),
        }
    }

    fn push(&mut self, spool_end: u64, draft: Draft) {
        self.waiting_bytes += match &draft {
            Draft::Message { text, .. } => text.len(),
            Draft::Said(_) | Draft::LeftOut { .. } => WORDS_CHARS_MAX,
        };
        self.waiting.push(Waiting { on: SaidOn::Stdout, spool_end, draft });
    }

    /// Of a line with more facts than are told, those that decide something are told all the same, the last of each kind; how
    /// many of the others are left out is said once.
    fn squeeze(&mut self, in_line: usize, spool_end: u64, draft: Draft) {
        let begin = self.waiting.len() - in_line;
        let line = &mut self.waiting[begin..];
        if draft.decides() {
            let kind = |draft: &Draft| match draft {
                Draft::Said(said) => Some(std::mem::discriminant(said)),
                Draft::Message { .. } | Draft::LeftOut { .. } => None,
            };
            match line.iter_mut().rev().find(|waiting| kind(&waiting.draft) == kind(&draft)) {
                Some(same) => same.draft = draft,
                None => self.push(spool_end, draft),
            }
            return;
        }
        let left_out = line.iter_mut().find_map(|waiting| match &mut waiting.draft {
            Draft::LeftOut { facts } => Some(facts),
            Draft::Message { .. } | Draft::Said(_) => None,
        });
        match left_out {
            Some(facts) => *facts += 1,
            None => self.push(spool_end, Draft::LeftOut { facts: 1 }),
        }
    }

    /// The next facts to tell; none if there are none.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        let on = self.waiting.first()?.on;
        let mut count = self.waiting.iter().take(BATCH_FACTS).take_while(|waiting| waiting.on == on).count();
        // All of a line are told together: reading goes on behind it.
        let place = |waiting: &Waiting| (waiting.on, waiting.spool_end);
        while self.waiting.get(count).is_some_and(|next| place(next) == place(&self.waiting[count - 1])) {
            count += 1;
        }
        let mut batch = Batch { on, ..Batch::default() };
        for Waiting { spool_end, draft, .. } in self.waiting.drain(..count) {
            let said = match draft {
                Draft::Said(said) => said,
                Draft::LeftOut { facts } => Said::Error {
                    message: format!(
                        "{facts} facts of a line are left out: it has more than {LINE_FACTS_MAX}"
                    ),
                },
                Draft::Message { text, is_piece } => {
                    let (kept, line) = (Text::of(&text), last_line(&text));
                    if kept.blob().is_some() {
                        batch.texts.push(text);
                    }
                    Said::Message { text: kept, line, piece: is_piece }
                }
            };
            batch.said.push((spool_end, said));
        }
        self.waiting_bytes = 0;
        let told = batch.said.last().map(|(end, _)| *end);
        let known = match on {
            SaidOn::Stdout => &mut self.known_until.stdout,
            SaidOn::Stderr => &mut self.known_until.stderr,
        };
        *known = told.unwrap_or(*known);
        Some(batch)
    }
}
