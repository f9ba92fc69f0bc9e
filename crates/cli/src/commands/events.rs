//! `backstay events`.

use backstay_log::Cursor;
use backstay_model::{Delivery, Recorded, Seq};
use backstay_runtime::FollowFrom;
use serde::Serialize;

use crate::args::EventsArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::{Line, Paint, Times, width};

/// Columns of an event's number.
const SEQ_COLUMNS: usize = 5;

/// Prints the events of a run.
pub(crate) async fn events(context: &Context, args: EventsArgs) -> Result<Exit, CliError> {
    // What is only read does not go on: there is nothing to follow.
    let store = if args.follow { context.store().await? } else { context.store_to_read().await? };
    let run = context.run(&store, args.run.as_deref()).await?;
    let mut events = store.follow(run, start(args.after.as_deref())?).await?;
    let mut columns = Columns::START;
    loop {
        let delivery = if args.follow { events.next().await? } else { events.next_now().await? };
        let Some(delivery) = delivery else { return Ok(Exit::Completed) };
        if let Delivery::Event(recorded) = delivery {
            print(context, &recorded, events.cursor(), &mut columns, args.json)?;
        }
    }
}

fn start(after: Option<&str>) -> Result<FollowFrom, CliError> {
    let Some(text) = after else { return Ok(FollowFrom::Start) };
    match text.parse::<u64>() {
        Ok(seq) => Ok(FollowFrom::After(Seq(seq))),
        Err(_no_number) => Ok(FollowFrom::Cursor(text.parse::<Cursor>()?)),
    }
}

fn print(
    context: &Context,
    recorded: &Recorded,
    cursor: Option<Cursor>,
    columns: &mut Columns,
    json: bool,
) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Printed<'a> {
        #[serde(flatten)]
        recorded: &'a Recorded,
        cursor: Option<Cursor>,
    }
    if json {
        return output::json_line(&Document::new(Printed { recorded, cursor }));
    }
    output::line(&columns.line(recorded, &context.times()).render(context.style, context.room()))
}

/// Columns that are as wide as the widest that was printed so far: a run that is followed has no last row.
#[derive(Debug)]
struct Columns {
    time: usize,
    kind: usize,
    scope: usize,
}

impl Columns {
    /// Wide enough for most runs.
    const START: Columns = Columns { time: 8, kind: 18, scope: 12 };

    fn line(&mut self, recorded: &Recorded, times: &Times) -> Line {
        let (time, scope) = (times.second(recorded.at), recorded.scope.to_string());
        let kind = recorded.kind.as_str();
        self.time = self.time.max(width(&time));
        self.kind = self.kind.max(width(kind));
        self.scope = self.scope.max(width(&scope));
        let (kind_at, scope_at) =
            (SEQ_COLUMNS + 2 + self.time + 2, SEQ_COLUMNS + 2 + self.time + 2 + self.kind + 2);
        Line::of(Paint::Dim, format!("{:>SEQ_COLUMNS$}  {time:>1$}", recorded.seq.0, self.time))
            .filled_to(kind_at)
            .with(Paint::Bold, kind)
            .filled_to(scope_at)
            .with(Paint::Plain, scope)
            .filled_to(scope_at + self.scope + 2)
            .with(Paint::Dim, recorded.payload.as_str())
    }
}

#[cfg(test)]
mod tests {
    use backstay_model::{Kind, Payload, Position, RunId, Scope, Timestamp, Topic};

    use super::*;
    use crate::ui::Style;

    fn recorded(seq: u64, at: &str, kind: &'static str) -> Recorded {
        let run: RunId = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
        Recorded {
            topic: Topic::run(run),
            seq: Seq(seq),
            g: Position(seq),
            at: at.parse().unwrap(),
            kind: Kind::new(kind),
            scope: Scope::root(),
            payload: Payload::from_text("{\"v\":1}".to_owned()).unwrap(),
            trace: None,
            more: false,
        }
    }

    #[test]
    fn rows_stand_below_each_other_and_a_wider_one_moves_those_after_it() {
        let now: Timestamp = "2026-11-21T10:30:00Z".parse().unwrap();
        let times = Times::utc(now);
        let mut columns = Columns::START;
        let rows = [
            recorded(1, "2026-11-21T09:00:00Z", "run_started"),
            recorded(12, "2026-11-20T09:00:00Z", "question_answered"),
            recorded(123, "2026-11-21T09:00:02Z", "run_completed"),
        ];
        let shown: Vec<String> =
            rows.iter().map(|row| columns.line(row, &times).render(Style::default(), 80)).collect();
        assert_eq!(
            shown,
            [
                "    1  09:00:00  run_started                       {\"v\":1}",
                "   12  20 Nov 09:00:00  question_answered                 {\"v\":1}",
                "  123         09:00:02  run_completed                     {\"v\":1}",
            ]
        );
    }
}
