//! `backstay watch` of many runs, of one store or of all.

use std::collections::BTreeMap;
use std::pin::pin;

use backstay_engine::record::RunStatus;
use backstay_log::TopicFilter;
use backstay_model::{Position, QuestionId, RunId};
use backstay_runtime::{RunRow, Store};
use camino::{Utf8Path, Utf8PathBuf};

use super::ls::{needs_person, urgency};
use super::watch::{Behind, Seen, see_run};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::screen::{Saying, Start, Taker, perform, ready};
use crate::ui::{
    Deed, Frame, Key, Line, Listen, Offered, Pace, Paint, Parts, Person, Size, Wish, asked_words,
    can_suspend, key_line, laid_out, rule, short, wrapped,
};

/// Time between two looks without news: an owner's death is no event, and other stores have no bell here.
const LOOK: std::time::Duration = std::time::Duration::from_secs(2);

/// Shows the runs of `stores` that have not ended, what needs a person first, until none is left or the person leaves.
pub(super) async fn watch_list(context: &Context, scope: Where) -> Result<Exit, CliError> {
    let mut person = Person::listen(Listen::ToKeys)?;
    let mut list = List::new(context, scope, person.has_keys())?;
    loop {
        tokio::select! {
            wish = person.wish() => match wish {
                Wish::Press(key) => match list.press(key) {
                    Pressed::Nothing => {}
                    Pressed::Leave => return list.leave(Exit::Completed),
                    Pressed::Open(start) => if let Some(exit) = list.open(&mut person, start).await? {
                        return Ok(exit);
                    },
                    Pressed::Suspend => list.suspend(),
                },
                Wish::Resize => list.pace.hurry(),
                Wish::Pause => {
                    person.pause(&mut list.frame)?;
                    list.pace.hurry();
                }
                Wish::Interrupt => return list.leave(Exit::Interrupted),
                Wish::Terminate => return list.leave(Exit::Terminated),
                Wish::HangUp => return Ok(Exit::Terminated),
            },
            said = ready(&mut list.saying) => list.hear(said),
            (index, seen) = changed(&list.stores) => {
                list.stores[index].seen = seen;
                list.pace.note();
            }
            () = tokio::time::sleep(LOOK) => list.pace.note(),
            () = list.pace.due() => {
                list.look().await?;
                if list.rows.is_empty() && list.unreadable.is_empty() {
                    list.frame.clear()?;
                    output::note("no run is under way any more");
                    return Ok(Exit::Completed);
                }
                list.draw().await?;
            }
        }
    }
}

/// Every key and what it does, for a person who asks.
const HELP: [(&str, &str); 7] = [
    ("↑↓ j k", "choose a run; esc chooses the first"),
    ("enter", "open it; esc comes back"),
    ("a", "answer what it asks"),
    ("s", "suspend it: what is at work is stopped, and it can be resumed"),
    ("Ctrl-Z", "back to the shell for a while; fg comes back"),
    ("q", "leave this view; the runs go on"),
    ("Ctrl-C", "leave this view"),
];

/// Which stores are watched.
#[derive(Debug)]
pub(super) enum Where {
    /// This one.
    Here(Store),
    /// All that the user has worked in, also those that come meanwhile.
    Everywhere,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressed {
    Nothing,
    Leave,
    Open(Start),
    Suspend,
}

/// What stands below the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pane {
    /// What the chosen run asks.
    Asked,
    /// What the keys do.
    Help,
}

/// A store and the last position in it that was seen.
#[derive(Debug)]
struct Watched {
    store: Store,
    seen: Position,
    /// Whether its news ring the terminal.
    rings: bool,
}

impl Watched {
    fn new(context: &Context, store: Store) -> Result<Watched, CliError> {
        let rings = context.rings && context.configuration(store.folder())?.bell();
        Ok(Watched { store, seen: Position(0), rings })
    }
}

/// The runs, and where the person is among them.
struct List<'a> {
    context: &'a Context,
    is_everywhere: bool,
    stores: Vec<Watched>,
    /// With the place of its store among `stores`; what needs a person first.
    rows: Vec<(usize, RunRow)>,
    /// Stores that cannot be read, with why.
    unreadable: BTreeMap<Utf8PathBuf, String>,
    chosen: Option<RunId>,
    has_keys: bool,
    pane: Pane,
    notice: Option<(Paint, String)>,
    saying: Option<Saying<'a>>,
    news: Option<BTreeMap<RunId, Option<QuestionId>>>,
    frame: Frame,
    pace: Pace,
}

impl<'a> List<'a> {
    fn new(context: &'a Context, scope: Where, has_keys: bool) -> Result<List<'a>, CliError> {
        let mut list = List {
            context,
            is_everywhere: matches!(scope, Where::Everywhere),
            stores: Vec::new(),
            rows: Vec::new(),
            unreadable: BTreeMap::new(),
            chosen: None,
            has_keys,
            pane: Pane::Asked,
            notice: None,
            saying: None,
            news: None,
            frame: Frame::new(context.style),
            pace: Pace::undrawn(),
        };
        if let Where::Here(store) = scope {
            list.stores.push(Watched::new(context, store)?);
        }
        Ok(list)
    }

    /// Opens the stores that were not known before.
    async fn find_stores(&mut self) -> Result<(), CliError> {
        for folder in self.context.known_stores()? {
            if self.stores.iter().any(|watched| watched.store.folder() == folder) {
                continue;
            }
            let opened = match self.context.opening(&folder).await {
                Ok(store) => Watched::new(self.context, store),
                Err(error) => Err(error.into()),
            };
            match opened {
                Ok(watched) => {
                    self.unreadable.remove(&folder);
                    self.stores.push(watched);
                }
                Err(error) => drop(self.unreadable.insert(folder, output::describe_any(&error))),
            }
        }
        Ok(())
    }

    /// Reads the rows anew.
    async fn look(&mut self) -> Result<(), CliError> {
        if self.is_everywhere {
            self.find_stores().await?;
        }
        let mut groups: Vec<(usize, Vec<RunRow>)> = Vec::new();
        for (index, watched) in self.stores.iter().enumerate() {
            match watched.store.runs(TopicFilter { open_only: true, ..TopicFilter::default() }).await {
                Ok(mut rows) => {
                    self.unreadable.remove(watched.store.folder());
                    rows.sort_by_key(urgency);
                    groups.push((index, rows));
                }
                Err(error) if self.is_everywhere => {
                    self.unreadable.insert(watched.store.folder().to_owned(), output::describe_any(&error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        groups.sort_by_key(|(_, rows)| rows.iter().map(urgency).min().unwrap_or(u8::MAX));
        self.rows = groups
            .into_iter()
            .flat_map(|(index, rows)| rows.into_iter().map(move |row| (index, row)))
            .collect();
        self.ring();
        Ok(())
    }

    /// Rings for a question that was not there at the last look, and for a run that ended.
    fn ring(&mut self) {
        let heard = self.rows.iter().filter(|(store, _)| self.stores[*store].rings);
        let now: BTreeMap<RunId, Option<QuestionId>> =
            heard.map(|(_, row)| (row.run, row.summary.question)).collect();
        let before = self.news.replace(now.clone());
        if before.is_some_and(|before| is_news(&before, &now)) {
            self.frame.ring();
        }
    }

    fn chosen_index(&self) -> usize {
        self.chosen.and_then(|run| self.rows.iter().position(|(_, row)| row.run == run)).unwrap_or(0)
    }

    fn chosen_row(&self) -> Option<&(usize, RunRow)> {
        self.rows.get(self.chosen_index())
    }

    fn press(&mut self, key: Key) -> Pressed {
        self.notice = None;
        self.pace.hurry();
        if std::mem::replace(&mut self.pane, Pane::Asked) == Pane::Help {
            return Pressed::Nothing;
        }
        let now = self.chosen_index();
        let choose = |index: usize| self.rows.get(index).map(|(_, row)| row.run);
        match key {
            Key::Text('q' | 'Q') => return Pressed::Leave,
            Key::Text('?') => self.pane = Pane::Help,
            Key::Up | Key::Text('k') => self.chosen = choose(now.saturating_sub(1)),
            Key::Down | Key::Text('j') => {
                self.chosen = choose((now + 1).min(self.rows.len().saturating_sub(1)))
            }
            Key::Escape => self.chosen = None,
            Key::Enter => return Pressed::Open(Start::AtTable),
            Key::Text('a') if self.is_asked() => return Pressed::Open(Start::AtAnswer),
            Key::Text('s') if self.can_suspend() && self.saying.is_none() => return Pressed::Suspend,
            _ => {}
        }
        Pressed::Nothing
    }

    fn is_asked(&self) -> bool {
        self.chosen_row().is_some_and(|(_, row)| row.summary.question.is_some())
    }

    fn can_suspend(&self) -> bool {
        self.chosen_row().is_some_and(|(_, row)| can_suspend(row.summary.status) && !row.is_without_owner())
    }

    /// Shows the chosen run; gives the exit if the whole view is over.
    async fn open(&mut self, person: &mut Person, start: Start) -> Result<Option<Exit>, CliError> {
        let Some((index, run)) = self.chosen_row().map(|(index, row)| (*index, row.run)) else {
            return Ok(None);
        };
        self.frame.clear()?;
        let store = self.stores[index].store.clone();
        let mut view = pin!(see_run(self.context, &store, run, person, start, Behind::Nothing));
        // What was said in the list is heard meanwhile.
        let (seen, said) = tokio::select! {
            seen = &mut view => (seen?, None),
            said = ready(&mut self.saying) => (view.await?, Some(said)),
        };
        if let Some(said) = said {
            self.hear(said);
        }
        self.chosen = Some(run);
        self.news = None;
        self.pace.hurry();
        match seen {
            Seen::Left => {}
            Seen::Ended(_) => {
                let record = store.view(run).await?.record;
                let paint = if record.status == RunStatus::Completed { Paint::Good } else { Paint::Warn };
                self.notice = Some((paint, format!("{} is {}", short(run), record.status)));
            }
            Seen::Stopped(exit) => return Ok(Some(exit)),
        }
        Ok(None)
    }

    /// Lets the chosen run come to a stand.
    fn suspend(&mut self) {
        let Some((index, run)) = self.chosen_row().map(|(index, row)| (*index, row.run)) else { return };
        let store = self.stores[index].store.clone();
        let context = self.context;
        self.notice = Some((Paint::Dim, "…".to_owned()));
        self.saying = Some(Box::pin(async move {
            let done = perform(context, store, run, Deed::Suspend, Taker::Background).await?;
            Ok(format!("{}: {done}", short(run)))
        }));
    }

    /// Takes what came of what was said.
    fn hear(&mut self, said: Result<String, CliError>) {
        self.saying = None;
        self.notice = Some(match said {
            Ok(done) => (Paint::Good, done),
            Err(error) => (Paint::Bad, output::describe_any(&error)),
        });
        self.pace.hurry();
    }

    async fn draw(&mut self) -> Result<(), CliError> {
        let size = Size::now();
        let lines = self.lines(size).await?;
        let offered = self.frame.draw(&lines, size)?;
        self.pace.drawn();
        if offered == Offered::Busy {
            self.pace.note();
        }
        Ok(())
    }

    async fn lines(&self, size: Size) -> Result<Vec<Line>, CliError> {
        let (times, columns) = (self.context.times(), size.columns);
        let rows: Vec<RunRow> = self.rows.iter().map(|(_, row)| row.clone()).collect();
        let mut table = super::ls::lines(&times, &rows, &BTreeMap::new(), columns).into_iter();
        let header = table.next().unwrap_or_default();
        let chosen = self.chosen_index();
        let (mut lines, mut marked, mut last) = (Vec::new(), None, None);
        for (place, (line, (store, _))) in table.zip(&self.rows).enumerate() {
            if self.is_everywhere && last != Some(*store) {
                let folder = self.stores[*store].store.folder();
                lines.push(Line::of(
                    Paint::Bold,
                    format!(" {}", self.shown_place(folder.parent().unwrap_or(folder))),
                ));
                last = Some(*store);
            }
            if place == chosen && self.has_keys {
                marked = Some(lines.len());
                lines.push(line.marked());
            } else {
                lines.push(line);
            }
        }
        let below =
            self.unreadable.iter().map(|(folder, why)| Line::of(Paint::Bad, format!(" {folder}: {why}")));
        Ok(laid_out(
            Parts {
                head: vec![self.head(size.columns)],
                header,
                rows: lines,
                chosen: marked,
                below: below.collect(),
                pane: match self.pane {
                    Pane::Asked => self.asked(columns).await,
                    Pane::Help => help(columns),
                },
                is_pane_whole: self.pane == Pane::Help,
                notice: self.notice.as_ref().map(|(paint, text)| Line::of(*paint, format!(" {text}"))),
                foot: self.foot(columns),
            },
            size.rows,
        ))
    }

    /// How much is under way, and how much of it waits for the person in front of it.
    fn head(&self, columns: usize) -> Line {
        let count =
            |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let waits = self.rows.iter().filter(|(_, row)| needs_person(row)).count();
        let mut line = Line::of(Paint::Bold, format!(" {} under way", count(self.rows.len(), "run", "runs")));
        if self.is_everywhere {
            let stores: std::collections::BTreeSet<usize> =
                self.rows.iter().map(|(store, _)| *store).collect();
            line = line.with(Paint::Dim, format!(" in {}", count(stores.len(), "store", "stores")));
        }
        match waits {
            0 => line.with_right(columns, Paint::Dim, "nothing needs you"),
            1 => line.with(Paint::Plain, "  ").with(Paint::Warn, "1 needs you"),
            many => line.with(Paint::Plain, "  ").with(Paint::Warn, format!("{many} need you")),
        }
    }

    /// What the chosen run asks.
    async fn asked(&self, columns: usize) -> Vec<Line> {
        let Some((store, row)) = self.chosen_row().filter(|(_, row)| row.summary.question.is_some()) else {
            return Vec::new();
        };
        // Between two looks a run may be freed.
        let Ok(view) = self.stores[*store].store.view(row.run).await else { return Vec::new() };
        let open = view.record.questions.iter().filter(|question| question.closed_at.is_none());
        let mut lines = Vec::new();
        for question in open {
            let asked = asked_words(question, &self.context.times());
            lines.push(rule(&format!("{} asks", question.step), &asked, columns));
            let prompt = wrapped(&question.prompt, columns.saturating_sub(6));
            lines.extend(prompt.iter().map(|part| Line::of(Paint::Plain, format!("   {part}"))));
        }
        lines
    }

    fn foot(&self, columns: usize) -> Line {
        if !self.has_keys {
            return key_line(&[("Ctrl-C", "leave this view")], columns);
        }
        if self.pane == Pane::Help {
            return key_line(&[("any key", "back")], columns);
        }
        let keys = [
            (self.rows.len() > 1, ("↑↓", "run")),
            (!self.rows.is_empty(), ("enter", "open it")),
            (self.is_asked(), ("a", "answer")),
            (self.can_suspend(), ("s", "suspend")),
            (true, ("q", "leave")),
            (true, ("?", "help")),
        ];
        let keys: Vec<_> = keys.into_iter().filter_map(|(works, key)| works.then_some(key)).collect();
        key_line(&keys, columns)
    }

    /// A folder as its user writes it.
    fn shown_place(&self, folder: &Utf8Path) -> String {
        let home = self.context.env.get("HOME").filter(|home| !home.is_empty());
        match home.and_then(|home| folder.strip_prefix(home).ok()) {
            Some(rest) => format!("~/{rest}"),
            None => folder.to_string(),
        }
    }

    fn leave(&mut self, exit: Exit) -> Result<Exit, CliError> {
        self.frame.clear()?;
        for line in super::ls::lines(
            &self.context.times(),
            &self.rows.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>(),
            &BTreeMap::new(),
            self.context.columns(),
        ) {
            output::line(&line.render(self.context.style, self.context.room()))?;
        }
        Ok(exit)
    }
}

/// What the keys do.
fn help(columns: usize) -> Vec<Line> {
    let lines = HELP.iter().map(|(key, meaning)| {
        Line::of(Paint::Bold, format!("   {key}")).filled_to(12).with(Paint::Plain, *meaning)
    });
    std::iter::once(rule("keys", "", columns)).chain(lines).collect()
}

/// Resolves when something was written to one of the stores: to which, and up to where.
async fn changed(stores: &[Watched]) -> (usize, Position) {
    if stores.is_empty() {
        return std::future::pending().await;
    }
    let changes = stores.iter().map(|watched| watched.store.log().changed(watched.seen));
    let (position, index, _others) = futures_util::future::select_all(changes).await;
    (index, position)
}

fn is_news(before: &BTreeMap<RunId, Option<QuestionId>>, now: &BTreeMap<RunId, Option<QuestionId>>) -> bool {
    let is_asked = now
        .iter()
        .any(|(run, question)| question.is_some() && before.get(run).copied().flatten() != *question);
    is_asked || before.keys().any(|run| !now.contains_key(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_question_and_an_end_are_news_and_an_answer_and_a_beginning_are_none() {
        let run = |end: char| format!("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R{end}").parse::<RunId>().unwrap();
        let question = |end: char| format!("qst_01JDX7Q2ZK8VQ5T3W9M4N6P7R{end}").parse::<QuestionId>().ok();
        let state = |rows: &[(char, Option<QuestionId>)]| -> BTreeMap<RunId, Option<QuestionId>> {
            rows.iter().map(|(end, question)| (run(*end), *question)).collect()
        };
        let asked = state(&[('1', question('1')), ('2', None)]);
        for (now, expected) in [
            (asked.clone(), false),
            (state(&[('1', question('2')), ('2', None)]), true),
            (state(&[('1', None), ('2', None)]), false),
            (state(&[('1', question('1')), ('2', None), ('3', None)]), false),
            (state(&[('1', question('1')), ('2', None), ('3', question('3'))]), true),
            (state(&[('1', question('1'))]), true),
        ] {
            assert_eq!(is_news(&asked, &now), expected, "{now:?}");
        }
    }
}
