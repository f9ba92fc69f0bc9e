//! The two reports: Markdown, and a page that needs no network and no script.

use backstay_engine::record::RunRecord;
use backstay_model::Timestamp;

use super::ANALYSTS;
use super::proof::Proof;
use super::scene::Written;

/// What a report of the demo says of itself in its first lines.
pub(super) const MARK: &str = "made by backstay demo";
/// Units of the width of a picture.
const WIDE: f64 = 640.0;
const STYLE: &str = include_str!("report.css");

/// One line of an analyst.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What makes it large: changes or days.
    pub(super) count: u64,
    /// A path or two.
    pub(super) place: String,
    /// What is said of it.
    pub(super) words: String,
}

impl Finding {
    /// Reads COUNT, PLACE and WORDS, separated by tabs.
    pub(super) fn read(line: &str) -> Option<Finding> {
        let mut parts = line.splitn(3, '\t');
        let count = parts.next()?.parse().ok()?;
        Some(Finding { count, place: parts.next()?.to_owned(), words: parts.next()?.to_owned() })
    }
}

/// What one analyst found.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) findings: Vec<Finding>,
}

/// Everything that the reports say.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) repository: String,
    pub(super) sections: Vec<Section>,
    pub(super) record: RunRecord,
    pub(super) proof: Proof,
    /// What contradicts the proof.
    pub(super) faults: Vec<String>,
    /// What came while nobody owned the run.
    pub(super) grown: Written,
}

impl Report {
    /// The report as Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("<!-- {MARK} -->\n# What the history says\n\n{}\n", self.repository);
        for section in &self.sections {
            text.push_str(&format!("\n## {}\n\n", section.title));
            if section.findings.is_empty() {
                text.push_str("Nothing was found.\n");
            }
            for finding in &section.findings {
                let unit = if section.name == "notes" { " days" } else { "" };
                text.push_str(&format!(
                    "- {}{unit}: `{}`: {}\n",
                    finding.count, finding.place, finding.words
                ));
            }
        }
        text.push_str(&format!("\n## The kill\n\n{}\n\n", self.verdict()));
        for row in self.proof.lines() {
            text.push_str(&format!("- {row}\n"));
        }
        text
    }

    /// The report as a page.
    pub(super) fn html(&self) -> String {
        let sections: String = self.sections.iter().map(section).collect();
        let rows: String =
            self.proof.lines().iter().map(|row| format!("<li>{}</li>", escaped(row))).collect();
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"generator\" content=\"{MARK}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>What the history says</title>\n\
             <style>{STYLE}</style></head><body><main>\n\
             <header><h1>What the history says</h1><p class=\"place\">{}</p></header>\n\
             <section class=\"kill\"><h2>Killed in the middle</h2><p class=\"verdict {}\">{}</p>{}<ul>{rows}</ul></section>\n\
             {sections}<footer>Read by sh, git and awk under Backstay; no model was called.</footer></main></body></html>\n",
            escaped(&self.repository),
            if self.faults.is_empty() { "good" } else { "bad" },
            escaped(&self.verdict()),
            self.timeline(),
        )
    }

    fn verdict(&self) -> String {
        if !self.faults.is_empty() {
            return self.faults.join("; ");
        }
        format!(
            "The owner of this run was killed with SIGKILL. For {:.1} s the log has no word of an owner; while nobody owned the run, {}. Nothing was lost, and nothing ran twice.",
            self.proof.unowned().as_secs_f64(),
            self.grown.words()
        )
    }

    /// A bar for each analyst from its start to its end, and a band where nobody owned the run.
    fn timeline(&self) -> String {
        let steps: Vec<_> =
            self.record.steps.iter().filter(|step| ANALYSTS.contains(&step.step.as_str())).collect();
        let Some(from) = steps.iter().map(|step| step.started_at).min() else { return String::new() };
        let until = steps.iter().filter_map(|step| step.ended_at).max().unwrap_or(from);
        let whole = until.since(from).as_secs_f64().max(0.001);
        let at =
            |moment: Timestamp| 80.0 + moment.since(from).as_secs_f64().min(whole) / whole * (WIDE - 80.0);
        let mut inner = String::new();
        for gap in &self.proof.interruptions {
            let (left, right) = (at(gap.from), at(gap.until));
            inner.push_str(&format!(
                "<rect class=\"gap\" x=\"{left:.1}\" y=\"0\" width=\"{:.1}\" height=\"104\"/><text class=\"gapname\" x=\"{:.1}\" y=\"13\">no word of an owner</text>",
                right - left,
                left + 6.0
            ));
        }
        for (row, step) in steps.iter().enumerate() {
            let top = 24 + row * 26;
            let (left, right) = (at(step.started_at), at(step.ended_at.unwrap_or(until)));
            inner.push_str(&format!(
                "<text x=\"0\" y=\"{}\">{}</text><rect class=\"bar\" x=\"{left:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"14\" rx=\"4\"/>",
                top + 12,
                step.step,
                right - left
            ));
        }
        format!("<svg viewBox=\"0 0 {WIDE} 104\" role=\"img\" aria-label=\"The run over time\">{inner}</svg>")
    }
}

fn section(section: &Section) -> String {
    let most = section.findings.iter().map(|finding| finding.count).max().unwrap_or(1).max(1);
    let rows: String = section
        .findings
        .iter()
        .map(|finding| {
            let share = finding.count * 100 / most;
            format!(
                "<tr><td class=\"count\">{}</td><td><code>{}</code><span>{}</span><svg viewBox=\"0 0 100 3\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"rail\" width=\"100\" height=\"3\"/><rect class=\"bar\" width=\"{share}\" height=\"3\"/></svg></td></tr>",
                finding.count,
                escaped(&finding.place),
                escaped(&finding.words)
            )
        })
        .collect();
    let unit = if section.name == "notes" { "days" } else { "changes" };
    let body = if rows.is_empty() {
        "<p class=\"none\">Nothing was found.</p>".to_owned()
    } else {
        format!("<table><caption>{unit}</caption>{rows}</table>")
    };
    format!("<section><h2>{}</h2>{body}</section>\n", section.title)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_finding_only_if_it_begins_with_a_number_and_has_all_parts() {
        let finding = Finding { count: 3, place: "a b.rs".to_owned(), words: "x\ty".to_owned() };
        assert_eq!(Finding::read("3\ta b.rs\tx\ty"), Some(finding));
        assert_eq!(Finding::read("3\ta.rs"), None);
        assert_eq!(Finding::read("x\ta.rs\ty"), None);
    }

    #[test]
    fn names_of_files_are_no_markup() {
        let findings =
            vec![Finding { count: 1, place: "<b>&\".rs".to_owned(), words: "</table>".to_owned() }];
        let html = section(&Section { name: "changes", title: "T", findings });
        assert!(html.contains("<code>&lt;b&gt;&amp;&quot;.rs</code><span>&lt;/table&gt;</span>"), "{html}");
    }
}
