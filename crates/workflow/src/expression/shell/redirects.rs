//! Redirects and here-documents.

use super::parser::Parser;
use super::syntax::{Part, Place, Redirect, Word, name_length};
use super::words::Parts;

/// A here-document whose body begins behind the end of the line.
pub(super) struct PendingDocument {
    delimiter: String,
    is_quoted: bool,
    tabs_stripped: bool,
    number: usize,
}

impl Parser<'_> {
    /// Takes a redirect, if one stands here.
    pub(super) fn redirect(&mut self, redirects: &mut Vec<Redirect>) -> bool {
        const OPERATORS: &[&str] = &["&>>", "&>", "<<<", "<<-", "<<", "<&", "<>", "<", ">>", ">&", ">|", ">"];
        let rest = self.rest();
        if self.is_at_value() {
            return false;
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let mut lead = digits;
        if let Some(inner) = rest.strip_prefix('{') {
            let length = name_length(inner);
            if length > 0 && inner[length..].starts_with('}') {
                lead = length + 2;
            }
        }
        let after = &rest[lead..];
        let Some(operator) = OPERATORS.iter().find(|operator| after.starts_with(**operator)) else {
            return false;
        };
        if (lead > 0 && operator.starts_with('&'))
            || (lead == 0 && (after.starts_with("<(") || after.starts_with(">(")))
        {
            return false;
        }
        if operator.starts_with('&') || *operator == "<<<" || rest.starts_with('{') {
            self.bashism();
        }
        self.at += lead + operator.len();
        self.spaces();
        let redirect = match *operator {
            "<<" | "<<-" => self.document(*operator == "<<-"),
            "<<<" => Redirect::HereString(self.word()),
            "<" | "<>" => Redirect::Input(self.word()),
            "<&" | ">&" => Redirect::Duplicate(self.word()),
            _ => Redirect::Output(self.word()),
        };
        redirects.push(redirect);
        true
    }

    pub(super) fn document(&mut self, tabs_stripped: bool) -> Redirect {
        let (mut delimiter, mut is_quoted, mut quote) = (String::new(), false, None);
        while let Some(character) = self.next() {
            match (quote, character) {
                (Some(open), _) if open == character => quote = None,
                (Some(_), _) => delimiter.push(character),
                (None, '\'' | '"') => {
                    is_quoted = true;
                    quote = Some(character);
                }
                (None, '\\') => is_quoted = true,
                (None, _) if character.is_ascii_whitespace() || ";&|<>()".contains(character) => break,
                (None, _) => delimiter.push(character),
            }
            self.skip(1);
        }
        if delimiter.contains(['$', '`']) {
            self.unfinished("the end of a here-document");
        }
        let number = self.documents.len();
        self.documents.push(Word::default());
        self.pending.push_back(PendingDocument { delimiter, is_quoted, tabs_stripped, number });
        Redirect::HereDocument(number)
    }

    pub(super) fn document_bodies(&mut self) {
        while let Some(document) = self.pending.pop_front() {
            let body = self.document_body(&document);
            if let Some(place) = self.documents.get_mut(document.number) {
                *place = body;
            }
        }
    }

    pub(super) fn document_body(&mut self, document: &PendingDocument) -> Word {
        let (body_end, end) = self.document_end(document);
        let outer = (self.limit, self.in_backticks);
        (self.limit, self.in_backticks) = (body_end, false);
        let start = self.at;
        let mut parts = Parts::default();
        while let Some(character) = self.next() {
            if !document.is_quoted {
                self.quoted_part(character, &mut parts);
            } else if self.take(Place::QuotedHereDocument).is_none() {
                self.skip(1);
            }
        }
        if document.is_quoted {
            let text = crate::text::part(self.text, start..body_end).to_owned();
            parts.0.push(Part::Literal { text, quoted: true });
        }
        (self.limit, self.in_backticks) = outer;
        self.at = end.max(self.at);
        Word { parts: parts.0, range: start..body_end }
    }

    /// Where the text of a here-document ends, and where the line with its end does.
    pub(super) fn document_end(&self, document: &PendingDocument) -> (usize, usize) {
        let mut start = self.at;
        for line in self.rest().split_inclusive('\n') {
            let bare = line.strip_suffix('\n').unwrap_or(line);
            let bare = if document.tabs_stripped { bare.trim_start_matches('\t') } else { bare };
            if bare == document.delimiter {
                return (start, start + line.len());
            }
            start += line.len();
        }
        (self.limit, self.limit)
    }
}
