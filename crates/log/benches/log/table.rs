//! Rows of figures, on the screen and in the documentation.

use crate::jobs::Rounds;

/// What a ratio has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Operations a second, where it is a rate.
    pub(crate) rate: Option<f64>,
    /// p50 and p99 in µs, where single operations were timed.
    pub(crate) times_us: Option<(f64, f64)>,
    /// Its value by that of its peer; what the goal is about.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: Option<Bound>,
    pub(crate) note: String,
}

impl Row {
    pub(crate) fn rate(name: String, rounds: &Rounds) -> Row {
        let times = (rounds.percentile_us(0.5), rounds.percentile_us(0.99));
        Row { rate: Some(rounds.rate()), times_us: Some(times), ..Row::ratio(name, f64::NAN) }.without_ratio()
    }

    pub(crate) fn plain_rate(name: String, rate: f64) -> Row {
        Row { rate: Some(rate), ..Row::ratio(name, f64::NAN) }.without_ratio()
    }

    pub(crate) fn time(name: String, p50_us: f64, p99_us: f64) -> Row {
        Row { times_us: Some((p50_us, p99_us)), ..Row::ratio(name, f64::NAN) }.without_ratio()
    }

    pub(crate) fn ratio(name: String, ratio: f64) -> Row {
        Row { name, rate: None, times_us: None, ratio: Some(ratio), goal: None, note: String::new() }
    }

    fn without_ratio(self) -> Row {
        Row { ratio: None, ..self }
    }

    pub(crate) fn against(self, peer: f64) -> Row {
        Row { ratio: self.rate.map(|rate| rate / peer), ..self }
    }

    pub(crate) fn goal(self, goal: Option<Bound>) -> Row {
        Row { goal, ..self }
    }

    pub(crate) fn note(self, note: String) -> Row {
        Row { note, ..self }
    }

    /// Whether the goal is met, if there is one.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let ratio = self.ratio?;
        Some(match self.goal? {
            Bound::AtLeast(bound) => ratio >= bound,
            Bound::AtMost(bound) => ratio <= bound,
        })
    }

    /// Its cells: name, rate, p50, p99, ratio, goal, note.
    fn cells(&self) -> [String; 7] {
        let number = |value: f64| match value {
            value if value.is_nan() => "?".to_owned(),
            value if value >= 100.0 => grouped(value.round()),
            value => format!("{value:.1}"),
        };
        let goal = match (self.goal, self.is_met()) {
            (Some(Bound::AtLeast(bound)), met) => format!("≥ {bound} {}", mark(met)),
            (Some(Bound::AtMost(bound)), met) => format!("≤ {bound} {}", mark(met)),
            (None, _) => String::new(),
        };
        [
            self.name.clone(),
            self.rate.map(number).unwrap_or_default(),
            self.times_us.map(|(p50, _)| number(p50)).unwrap_or_default(),
            self.times_us.map(|(_, p99)| number(p99)).unwrap_or_default(),
            self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            goal,
            self.note.clone(),
        ]
    }
}

fn mark(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "✓",
        Some(false) => "✗",
        None => "?",
    }
}

/// A whole number with a comma between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

const HEADER: [&str; 7] = ["", "per second", "p50 µs", "p99 µs", "ratio", "goal", ""];

/// The rows with aligned columns.
pub(crate) fn plain(rows: &[Row]) -> String {
    let mut all = vec![HEADER.map(ToOwned::to_owned)];
    all.extend(rows.iter().map(Row::cells));
    let width = |column: usize| all.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let mut out = String::new();
    for cells in &all {
        let mut line = String::new();
        for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let gap = width - cell.chars().count();
            // Numbers stand at the right of their column.
            let (before, after) = if (1..=4).contains(&index) { (gap, 0) } else { (0, gap) };
            line.push_str(&format!("{}{cell}{}  ", " ".repeat(before), " ".repeat(after)));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The rows as a table in Markdown.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let line = |cells: &[String; 7]| format!("| {} |\n", cells.join(" | "));
    let mut out =
        line(&["figure", "per second", "p50 µs", "p99 µs", "ratio", "goal", "note"].map(ToOwned::to_owned));
    out.push_str("| --- | ---: | ---: | ---: | ---: | --- | --- |\n");
    rows.iter().for_each(|row| out.push_str(&line(&row.cells())));
    out
}
