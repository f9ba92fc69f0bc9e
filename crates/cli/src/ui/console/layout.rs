//! How the parts of a view share the rows of a screen.

use crate::ui::{Line, Paint};

/// Rows of the table that stay however low the screen is.
const TABLE_ROWS_MIN: usize = 3;
/// Rows of the pane that stay while the table gives way.
const PANE_ROWS_MIN: usize = 3;

/// The parts of a view, from top to bottom.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// What is shown, and where it stands.
    pub(crate) head: Vec<Line>,
    /// The heads of the table's columns.
    pub(crate) header: Line,
    /// Its rows.
    pub(crate) rows: Vec<Line>,
    /// The row that has to be seen.
    pub(crate) chosen: Option<usize>,
    /// What is said below the table.
    pub(crate) below: Vec<Line>,
    /// What belongs to the chosen row.
    pub(crate) pane: Vec<Line>,
    /// Whether all of the pane has to be seen; else its last lines do.
    pub(crate) is_pane_whole: bool,
    /// What came of the last key.
    pub(crate) notice: Option<Line>,
    /// The keys.
    pub(crate) foot: Line,
}

/// The lines of a view on a screen of `rows`: fewer than those, with the keys at the end, and the chosen row among them.
pub(crate) fn laid_out(parts: Parts, rows: usize) -> Vec<Line> {
    // The cursor stands below the last line.
    let room = rows.saturating_sub(1).max(TABLE_ROWS_MIN + 2);
    let own = 1 + usize::from(parts.notice.is_some());
    let mut left = room - own - 1;
    let head_rows = if left >= parts.head.len() + TABLE_ROWS_MIN + 2 { parts.head.len() + 1 } else { 0 };
    let head_rows = if head_rows == 0 { parts.head.len().min(1) } else { head_rows };
    left = left.saturating_sub(head_rows);
    let pane_least = if parts.is_pane_whole { parts.pane.len() } else { parts.pane.len().min(PANE_ROWS_MIN) };
    let below_all = if parts.below.is_empty() { 0 } else { parts.below.len() + 1 };
    let table_all = parts.rows.len() + 1;
    let least = TABLE_ROWS_MIN.min(table_all);
    let pane_least = pane_least.min(left.saturating_sub(least));
    let below_rows = below_all.min(left.saturating_sub(least + pane_least));
    let table_rows = table_all.min(left.saturating_sub(pane_least + below_rows)).max(least.min(left));
    let pane_rows = parts.pane.len().min(left.saturating_sub(below_rows + table_rows));

    let mut lines: Vec<Line> = parts.head.iter().take(head_rows).cloned().collect();
    lines.resize(head_rows, Line::default());
    lines.push(parts.header);
    lines.extend(window(&parts.rows, table_rows.saturating_sub(1), parts.chosen));
    if below_rows > 1 {
        lines.push(Line::default());
        lines.extend(parts.below.into_iter().take(below_rows - 1));
    }
    lines.extend(pane(parts.pane, pane_rows, parts.is_pane_whole));
    lines.extend(parts.notice);
    if lines.len() + 1 < room {
        lines.push(Line::default());
    }
    lines.push(parts.foot);
    lines
}

/// The part of the table that has the chosen row in it; what is left out is counted, where there is room to.
fn window(rows: &[Line], room: usize, chosen: Option<usize>) -> Vec<Line> {
    let chosen = chosen.unwrap_or(0);
    if rows.len() <= room {
        return rows.to_vec();
    }
    if room < 3 {
        return rows.iter().skip(chosen).take(room.min(1)).cloned().collect();
    }
    let (first, until) = if chosen < room - 1 {
        (0, room - 1)
    } else if chosen + room > rows.len() {
        (rows.len() - (room - 1), rows.len())
    } else {
        (chosen + 3 - room, chosen + 1)
    };
    let more = |count: usize, way: &str| Line::of(Paint::Dim, format!("   … {count} more {way}"));
    let above = (first > 0).then(|| more(first, "above"));
    let below = (until < rows.len()).then(|| more(rows.len() - until, "below"));
    above.into_iter().chain(rows[first..until].iter().cloned()).chain(below).collect()
}

/// The title and the last lines of a pane, or its first ones where all of it matters.
fn pane(lines: Vec<Line>, rows: usize, is_whole: bool) -> Vec<Line> {
    if lines.len() <= rows || is_whole {
        return lines.into_iter().take(rows).collect();
    }
    // A title alone says nothing.
    if rows < 2 {
        return Vec::new();
    }
    let skipped = lines.len() - rows;
    let (title, rest) = (lines.first().cloned(), lines.into_iter().skip(1 + skipped));
    title.into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Style;

    fn lines(name: &str, count: usize) -> Vec<Line> {
        (0..count).map(|number| Line::of(Paint::Plain, format!("{name} {number}"))).collect()
    }

    fn drawn(rows: usize, steps: usize, chosen: usize, pane: usize) -> Vec<String> {
        let parts = Parts {
            head: lines("head", 2),
            header: Line::of(Paint::Plain, "header"),
            rows: lines("step", steps),
            chosen: Some(chosen),
            below: lines("below", 1),
            pane: lines("pane", pane),
            foot: Line::of(Paint::Plain, "keys"),
            ..Parts::default()
        };
        laid_out(parts, rows).iter().map(|line| line.render(Style::default(), 80)).collect()
    }

    #[test]
    fn what_fits_stands_whole() {
        assert_eq!(
            drawn(24, 2, 0, 2),
            [
                "head 0", "head 1", "", "header", "step 0", "step 1", "", "below 0", "pane 0", "pane 1", "",
                "keys"
            ]
        );
    }

    #[test]
    fn on_every_screen_the_chosen_step_and_the_keys_are_seen_and_nothing_is_too_much() {
        for rows in 6..30 {
            for steps in [1, 3, 8, 40] {
                for chosen in 0..steps {
                    let drawn = drawn(rows, steps, chosen, 9);
                    assert!(drawn.len() < rows.max(6), "{rows} rows: {drawn:?}");
                    assert_eq!(drawn.last().unwrap(), "keys");
                    let name = format!("step {chosen}");
                    assert!(drawn.contains(&name), "{rows} rows, {name} of {steps}: {drawn:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let drawn = drawn(12, 40, 20, 0);
        let shown = drawn.iter().filter(|line| line.starts_with("step")).count();
        let counted: usize = drawn
            .iter()
            .filter_map(|line| line.trim().strip_prefix("… ")?.split(' ').next()?.parse::<usize>().ok())
            .sum();
        assert_eq!(shown + counted, 40, "{drawn:?}");
    }
}
