//! A terminal's screen as an SVG: real text in the terminal's colours, light and dark, with nothing loaded from elsewhere.

use std::fmt::Write as _;

use vt100::{Cell, Color, Parser, Screen};

/// The size of a cell, and the room around all of them, in units of the picture.
const CELL_WIDTH: f64 = 8.4;
const CELL_HEIGHT: f64 = 20.0;
const MARGIN: f64 = 20.0;
/// How far below its cell's top a text stands.
const BASELINE: f64 = 14.5;

/// The colours by class: what a terminal has as 0 to 7 is seen on a light and on a dark ground.
const STYLE: &str = "\
    .ground { fill: #fbfbf9; stroke: #d8d8d2 } text { fill: #24272b; font: 14px ui-monospace, SFMono-Regular, \
Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre }
    .b { font-weight: 700 } .d { fill: #6b7178 } .c1 { fill: #b3261e } .c2 { fill: #1a7a34 } .c3 { fill: #8a5a00 }
    .c4 { fill: #1f5fbf } .c5 { fill: #8a3fa0 } .c6 { fill: #0b7285 }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #16181b; stroke: #2e3237 } text { fill: #e3e5e8 } .d { fill: #949aa2 }
      .c1 { fill: #ff7b72 } .c2 { fill: #57c773 } .c3 { fill: #e3b341 } .c4 { fill: #79b8ff } .c5 { fill: #d2a8ff }
      .c6 { fill: #56c8d8 }
    }";

/// Text of one look.
#[derive(Debug, PartialEq)]
struct Run {
    column: u16,
    columns: u16,
    class: String,
    text: String,
}

/// The picture of what was written.
pub(super) fn draw(parser: &Parser) -> String {
    let screen = parser.screen();
    let (_, columns) = screen.size();
    let rows = written_rows(screen);
    let (width, height) =
        (f64::from(columns) * CELL_WIDTH + 2.0 * MARGIN, f64::from(rows) * CELL_HEIGHT + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" role=\"img\" \
         aria-labelledby=\"title\">\n  <title id=\"title\">A run is killed and resumed in a terminal</title>\n  \
         <style>\n{STYLE}\n  </style>\n  <rect class=\"ground\" x=\"0.5\" y=\"0.5\" width=\"{:.1}\" height=\"{:.1}\" \
         rx=\"8\"/>\n",
        width - 1.0,
        height - 1.0
    );
    for row in 0..rows {
        for run in runs(screen, row) {
            add(&mut out, row, &run);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// The screen as text, without spaces at the ends of lines.
pub(super) fn text(parser: &Parser) -> String {
    let screen = parser.screen();
    let (_, columns) = screen.size();
    let rows: Vec<String> = screen.rows(0, columns).take(usize::from(written_rows(screen))).collect();
    rows.iter().map(|row| row.trim_end()).collect::<Vec<_>>().join("\n")
}

/// Rows up to the last one with something on it, where the shell only waits.
fn written_rows(screen: &Screen) -> u16 {
    let (rows, columns) = screen.size();
    let is_written = |text: &String| !matches!(text.trim_end(), "" | "$");
    let last = screen.rows(0, columns).enumerate().filter(|(_, text)| is_written(text)).last();
    last.map_or(rows, |(row, _)| u16::try_from(row + 1).unwrap_or(rows))
}

/// The texts of a row, each of one look; spaces between them are left out.
fn runs(screen: &Screen, row: u16) -> Vec<Run> {
    let (_, columns) = screen.size();
    let mut runs: Vec<Run> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation()) else {
            continue;
        };
        let (class, columns) = (class(cell), if cell.is_wide() { 2 } else { 1 });
        let text = if cell.has_contents() { cell.contents() } else { " " };
        match runs.last_mut().filter(|run| run.class == class && run.column + run.columns == column) {
            Some(run) => {
                run.text.push_str(text);
                run.columns += columns;
            }
            None => runs.push(Run { column, columns, class, text: text.to_owned() }),
        }
    }
    runs.into_iter().filter_map(trimmed).collect()
}

/// Without spaces around it; none if nothing is left.
fn trimmed(run: Run) -> Option<Run> {
    let front = u16::try_from(run.text.len() - run.text.trim_start().len()).ok()?;
    let back = u16::try_from(run.text.len() - run.text.trim_end().len()).ok()?;
    let text = run.text.trim().to_owned();
    if text.is_empty() {
        return None;
    }
    Some(Run { column: run.column + front, columns: run.columns - front - back, text, class: run.class })
}

fn class(cell: &Cell) -> String {
    let color = match cell.fgcolor() {
        Color::Idx(number) => Some(format!("c{}", number % 8)),
        Color::Default | Color::Rgb(..) => None,
    };
    let weight = [(cell.bold(), "b"), (cell.dim(), "d")];
    let weight = weight.into_iter().filter(|(is, _)| *is).map(|(_, name)| name.to_owned());
    weight.chain(color).collect::<Vec<_>>().join(" ")
}

/// A text has the width of its cells, whatever font a reader has.
fn add(out: &mut String, row: u16, run: &Run) {
    let (x, y) =
        (MARGIN + f64::from(run.column) * CELL_WIDTH, MARGIN + f64::from(row) * CELL_HEIGHT + BASELINE);
    let class = if run.class.is_empty() { String::new() } else { format!(" class=\"{}\"", run.class) };
    let written = writeln!(
        out,
        "  <text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{:.1}\"{class}>{}</text>",
        f64::from(run.columns) * CELL_WIDTH,
        escaped(&run.text)
    );
    debug_assert!(written.is_ok(), "a string takes all that is written");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(bytes: &[u8]) -> Parser {
        let mut parser = Parser::new(6, 30, 0);
        parser.process(bytes);
        parser
    }

    #[test]
    fn a_row_is_cut_where_its_look_changes_and_nowhere_else() {
        let parser = screen(b"  plain \x1b[32mgood one\x1b[0m  \x1b[1;31mbad\x1b[0m");
        let run = |column, columns, class: &str, text: &str| Run {
            column,
            columns,
            class: class.to_owned(),
            text: text.to_owned(),
        };
        assert_eq!(
            runs(parser.screen(), 0),
            [run(2, 5, "", "plain"), run(8, 8, "c2", "good one"), run(18, 3, "b c1", "bad")]
        );
    }

    #[test]
    fn the_picture_ends_with_the_last_row_and_has_no_markup_of_the_screen() {
        let parser = screen(b"$ run <x> & y\r\n\r\ndone\r\n$ ");
        assert_eq!(text(&parser), "$ run <x> & y\n\ndone");
        let picture = draw(&parser);
        assert!(picture.contains(">$ run &lt;x&gt; &amp; y</text>"), "{picture}");
        assert_eq!(picture.matches("<text ").count(), 2);
        assert!(
            !picture.contains("http") || picture.matches("http").count() == 1,
            "only the name of the form"
        );
    }
}
