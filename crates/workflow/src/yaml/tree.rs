//! The tree of a YAML document, with the bytes of every node.

use std::collections::HashMap;
use std::ops::Range;

use backstay_model::limits::STEPS_MAX;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

/// Nodes in one document, aliases counted as what they stand for: a hundred for each step of the largest workflow.
pub(crate) const NODES_MAX: usize = 100 * STEPS_MAX;
/// Lists and mappings inside each other. A value this deep can still be stored as JSON and read again.
pub(crate) const DEPTH_MAX: usize = 100;

/// Why a text is not read as a document, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub(crate) at: usize,
    pub(crate) kind: ParseErrorKind,
}

/// Why a text is not read as a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParseErrorKind {
    /// It is not YAML: what the parser says.
    Syntax(String),
    /// An alias stands inside the value that it names.
    AliasOfItself,
    /// A second document begins.
    SecondDocument,
    /// It has too many nodes.
    TooLarge,
    /// Its lists and mappings are too deep inside each other.
    TooDeep,
}

/// The notation of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes: it may be a number.
    Plain,
    /// In quotes.
    Quoted,
    /// After `|`.
    Literal,
    /// After `>`.
    Folded,
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Node,
    pub(crate) value: Node,
}

/// The kind of a node, with its content.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar { text: String, style: Style },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Its bytes.
    pub(crate) range: Range<usize>,
    /// Its tag, as in `!tag value`. No tag has a meaning in a workflow.
    pub(crate) tag: Option<String>,
}

/// The value of a scalar without quotes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plain {
    Nothing,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text,
}

impl Node {
    /// Returns the value of the scalar; a quoted one is a text. `None` if the node is no scalar.
    pub(crate) fn plain(&self) -> Option<Plain> {
        let Kind::Scalar { text, style } = &self.kind else { return None };
        if *style != Style::Plain {
            return Some(Plain::Text);
        }
        Some(match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Plain::Nothing,
            "true" | "True" | "TRUE" => Plain::Boolean(true),
            "false" | "False" | "FALSE" => Plain::Boolean(false),
            text => {
                let number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
                match (number, text.parse::<i64>(), text.parse::<f64>()) {
                    (true, Ok(integer), _) => Plain::Integer(integer),
                    (true, _, Ok(float)) if float.is_finite() => Plain::Float(float),
                    _ => Plain::Text,
                }
            }
        })
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Returns the kind of the node in words for a diagnostic.
    pub(crate) fn describe(&self) -> &'static str {
        match (&self.kind, self.plain()) {
            (Kind::List(_), _) => "a list",
            (Kind::Map(_), _) => "a mapping",
            (_, Some(Plain::Nothing)) => "nothing",
            (_, Some(Plain::Boolean(_))) => "a boolean",
            (_, Some(Plain::Integer(_) | Plain::Float(_))) => "a number",
            (_, Some(Plain::Text) | None) => "a text",
        }
    }

    /// Returns the bytes in `source` of the part `inner` of this scalar's text; those of the whole node if they are not certain.
    pub(crate) fn locate(&self, source: &str, inner: &Range<usize>) -> Range<usize> {
        let Kind::Scalar { text, style } = &self.kind else { return self.range.clone() };
        let wanted = crate::text::line(crate::text::part(text, inner.clone()));
        if wanted.is_empty() {
            return self.range.clone();
        }
        let computed = match style {
            Style::Plain => Some(self.range.start + inner.start),
            Style::Quoted => Some(self.range.start + 1 + inner.start),
            Style::Literal | Style::Folded => None,
        };
        let is_there = |start: &usize| source.get(*start..start + wanted.len()) == Some(wanted);
        // Where lines were indented or joined, or characters escaped, it is the same one of equal pieces.
        let counted = || {
            let nth = text.get(..inner.start)?.matches(wanted).count();
            let (at, _) = source.get(self.range.clone())?.match_indices(wanted).nth(nth)?;
            Some(self.range.start + at)
        };
        match computed.filter(is_there).or_else(counted) {
            Some(start) => start..start + wanted.len(),
            None => self.range.clone(),
        }
    }
}

/// Reads one document.
///
/// # Errors
/// The first thing that is not YAML, with its byte.
pub(crate) fn parse(source: &str) -> Result<Node, ParseError> {
    let bytes: Vec<usize> = source.char_indices().map(|(at, _)| at).chain([source.len()]).collect();
    let mut builder = Builder {
        source,
        bytes,
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        nodes: 0,
        documents: 0,
    };
    for event in Parser::new_from_str(source) {
        let (event, span) = event.map_err(|error| builder.failed(&error))?;
        builder.event(event, span)?;
    }
    let end = source.len();
    Ok(builder.root.unwrap_or(Node {
        kind: Kind::Scalar { text: String::new(), style: Style::Plain },
        range: end..end,
        tag: None,
    }))
}

enum Open {
    List { items: Vec<Node>, start: usize, anchor: usize, tag: Option<String> },
    Map { entries: Vec<Entry>, key: Option<Node>, start: usize, anchor: usize, tag: Option<String> },
}

struct Builder<'a> {
    source: &'a str,
    bytes: Vec<usize>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, Extent)>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Builder<'_> {
    fn failed(&self, error: &ScanError) -> ParseError {
        let at = self.byte(error.marker().index());
        ParseError { at, kind: ParseErrorKind::Syntax(error.info().to_owned()) }
    }

    fn byte(&self, index: usize) -> usize {
        self.bytes.get(index).copied().unwrap_or(self.source.len())
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        let end = self.byte(span.end.index()).max(start);
        start..start + self.source[start..end].trim_end().len()
    }

    /// The bytes of a scalar without its anchor.
    fn behind_anchor(&self, range: Range<usize>) -> Range<usize> {
        let text = &self.source[range.clone()];
        let value = text.strip_prefix('&').map(|rest| rest.trim_start_matches(|c: char| !c.is_whitespace()));
        value.map_or(range.clone(), |value| range.end - value.trim_start().len()..range.end)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), ParseError> {
        let range = self.range(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(ParseError { at: range.start, kind: ParseErrorKind::SecondDocument });
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::Literal => Style::Literal,
                    ScalarStyle::Folded => Style::Folded,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                };
                let kind = Kind::Scalar { text: text.into_owned(), style };
                let range = if anchor > 0 { self.behind_anchor(range) } else { range };
                self.add(Node { kind, range, tag: spelled(tag.as_deref()) }, anchor, 1)?;
            }
            Event::SequenceStart(anchor, tag) => {
                let tag = spelled(tag.as_deref());
                self.expect_depth(1, range.start)?;
                self.open.push(Open::List { items: Vec::new(), start: range.start, anchor, tag });
            }
            Event::MappingStart(anchor, tag) => {
                let tag = spelled(tag.as_deref());
                self.expect_depth(1, range.start)?;
                self.open.push(Open::Map { entries: Vec::new(), key: None, start: range.start, anchor, tag });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range.end)?,
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some((node, extent)) => {
                    self.expect_depth(extent.depth, range.start)?;
                    self.add(Node { kind: node.kind, range, tag: None }, 0, extent.nodes)?;
                }
                None => return Err(ParseError { at: range.start, kind: ParseErrorKind::AliasOfItself }),
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// Checks that `levels` more lists and mappings may begin at the byte `at`.
    fn expect_depth(&self, levels: usize, at: usize) -> Result<(), ParseError> {
        let is_allowed = self.open.len() + levels <= DEPTH_MAX;
        is_allowed.then_some(()).ok_or(ParseError { at, kind: ParseErrorKind::TooDeep })
    }

    fn close(&mut self, end: usize) -> Result<(), ParseError> {
        let (kind, start, anchor, tag) = match self.open.pop() {
            Some(Open::List { items, start, anchor, tag }) => (Kind::List(items), start, anchor, tag),
            Some(Open::Map { entries, start, anchor, tag, .. }) => (Kind::Map(entries), start, anchor, tag),
            None => return Ok(()),
        };
        let end = end.max(start);
        let end = start + self.source[start..end].trim_end().len();
        self.add(Node { kind, range: start..end, tag }, anchor, 1)
    }

    fn add(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), ParseError> {
        self.nodes += size;
        if self.nodes > NODES_MAX {
            return Err(ParseError { at: node.range.start, kind: ParseErrorKind::TooLarge });
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), extent(&node)));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push(Entry { key, value: node }),
            },
        }
        Ok(())
    }
}

fn spelled(tag: Option<&Tag>) -> Option<String> {
    tag.map(|tag| format!("{}{}", tag.handle, tag.suffix))
}

/// How much a node holds.
#[derive(Clone, Copy)]
struct Extent {
    /// Nodes, itself included.
    nodes: usize,
    /// Lists and mappings inside each other, itself included.
    depth: usize,
}

fn extent(node: &Node) -> Extent {
    let outside = |inner: Extent, other: Extent| Extent {
        nodes: inner.nodes + other.nodes,
        depth: inner.depth.max(other.depth + 1),
    };
    match &node.kind {
        Kind::Scalar { .. } => Extent { nodes: 1, depth: 0 },
        Kind::List(items) => items.iter().map(extent).fold(Extent { nodes: 1, depth: 1 }, outside),
        Kind::Map(entries) => {
            let nodes = entries.iter().flat_map(|entry| [&entry.key, &entry.value]);
            nodes.map(extent).fold(Extent { nodes: 1, depth: 1 }, outside)
        }
    }
}
