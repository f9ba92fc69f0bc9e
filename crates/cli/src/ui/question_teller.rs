//! What a run needs of a person, told once to whoever waits for the run without a screen.

use std::collections::BTreeSet;

use backstay_model::{QuestionId, RunId, Seq, Topic};
use backstay_runtime::{RunView, Store};

use super::live::LiveRun;
use super::nexts::asks;
use super::page::Page;
use super::time::Times;
use super::{Line, Paint};
use crate::error::CliError;

/// Tells each question once: those of the run, and those of the run that has the checkout it waits for.
#[derive(Debug, Default)]
pub(crate) struct QuestionTeller {
    told: BTreeSet<QuestionId>,
    /// The run that has the checkout, and how far it was at the last look.
    holder: Option<(RunId, Seq)>,
}

impl QuestionTeller {
    /// The lines about questions that were not told yet.
    pub(crate) async fn lines(
        &mut self,
        store: &Store,
        live: &LiveRun,
        times: &Times,
    ) -> Result<Vec<Line>, CliError> {
        let mut lines = self.untold(&live.page(), times);
        if let Some(holder) = live.record.checkout_busy.as_ref().and_then(|busy| busy.held_by) {
            lines.extend(self.of_holder(store, holder, times).await?);
        }
        Ok(lines)
    }

    /// What the run that has the checkout asks: the one that waits for it goes on no sooner. One of another store says nothing.
    async fn of_holder(
        &mut self,
        store: &Store,
        holder: RunId,
        times: &Times,
    ) -> Result<Vec<Line>, CliError> {
        let Some(row) = store.log().topic(&Topic::run(holder)).await? else { return Ok(Vec::new()) };
        if self.holder.replace((holder, row.head)) == Some((holder, row.head)) {
            return Ok(Vec::new());
        }
        let view: RunView = store.view(holder).await?;
        let signs = std::collections::BTreeMap::new();
        let mut lines = self.untold(&Page::of(&view, &signs), times);
        if !lines.is_empty() {
            let text = format!(" {holder}, which has the checkout, waits for a person:");
            lines.insert(0, Line::of(Paint::Warn, text));
        }
        Ok(lines)
    }

    fn untold(&mut self, page: &Page<'_>, times: &Times) -> Vec<Line> {
        let asked = asks(page, times, usize::MAX).into_iter();
        asked.filter(|(question, _)| self.told.insert(*question)).flat_map(|(_, lines)| lines).collect()
    }
}
