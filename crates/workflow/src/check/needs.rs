//! `needs` within one list of steps: which steps each one waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use backstay_model::StepId;

use super::reader::{Reader, Report};
use super::step::Draft;
use crate::codes;
use crate::plan::Step;

/// Circles that are reported in one list. A file with more is refused all the same.
const CIRCLES_MAX: usize = 100;
/// Steps that the report of a circle names; of a longer one the middle is left out.
const CIRCLE_NAMES_MAX: usize = 10;

/// One need of a step: the position of the step that it names, and the bytes that name it.
#[derive(Clone, Debug)]
struct Need {
    position: usize,
    range: Range<usize>,
}

/// A step of the list: its id, if it has one, and its `needs`, if the file says them.
struct Entry {
    id: Option<StepId>,
    needs: Option<Vec<Need>>,
}

impl Reader<'_> {
    /// Resolves `needs` within one list.
    pub(super) fn resolve(&mut self, drafts: Vec<Draft>) -> Vec<Step> {
        // An unreadable step counts too: a step that waits for it is not wrong.
        let positions: BTreeMap<StepId, usize> =
            drafts.iter().enumerate().filter_map(|(at, draft)| Some((draft.id.clone()?, at))).collect();
        let mut entries: Vec<Entry> = drafts
            .iter()
            .map(|draft| Entry {
                id: draft.id.clone(),
                needs: draft.needs.as_ref().map(|needs| self.known_needs(needs, &positions)),
            })
            .collect();
        self.cut_circles(&mut entries);
        let edges = edges(&entries);
        let id_at = |position: &usize| entries[*position].id.clone();
        let steps = drafts.into_iter().zip(edges).filter_map(|(draft, edges)| {
            let step = draft.step.or_else(|| draft.id.map(Step::unreadable))?;
            Some(Step { needs: edges.iter().filter_map(id_at).collect(), ..step })
        });
        steps.collect()
    }

    /// The needs that name a step of the list, each once. Reports the others.
    fn known_needs(
        &mut self,
        needs: &[(StepId, Range<usize>)],
        positions: &BTreeMap<StepId, usize>,
    ) -> Vec<Need> {
        let mut known = Vec::with_capacity(needs.len());
        let mut seen = BTreeSet::new();
        for (need, range) in needs {
            match positions.get(need) {
                None => self.unknown_need(need, range, positions),
                Some(position) if seen.insert(*position) => {
                    known.push(Need { position: *position, range: range.clone() });
                }
                Some(_) => {}
            }
        }
        known
    }

    fn unknown_need(&mut self, need: &StepId, range: &Range<usize>, positions: &BTreeMap<StepId, usize>) {
        let hint = match self.nearest(need.as_str(), positions.keys().map(StepId::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`needs` names steps of the same list; a group is waited for as a whole".to_owned(),
        };
        self.report(
            Report::error(codes::UNKNOWN_NEED, range, format!("no step `{need}` in this list")).hint(hint),
        );
    }

    /// Reports each circle of needs, and removes the last need that closes it.
    fn cut_circles(&mut self, entries: &mut [Entry]) {
        for _ in 0..CIRCLES_MAX {
            let Some(circle) = find_circle(&edges(entries)) else { return };
            let last = circle.windows(2).rev().find_map(|pair| {
                let needs = entries[pair[0]].needs.as_ref()?;
                let need = needs.iter().find(|need| need.position == pair[1])?;
                Some((pair[0], need.clone()))
            });
            // Without any `needs` a step waits only for steps above it: such edges alone make no circle.
            let Some((from, Need { position: to, range })) = last else { return };
            let name = |position: usize| entries[position].id.as_ref().map_or("", StepId::as_str);
            let way = shortened(&circle, entries).into_iter().map(name).collect::<Vec<_>>();
            let report = Report::error(
                codes::CYCLE,
                &range,
                format!("these steps wait for each other: {}", arrows(&way)),
            )
            .hint(format!("remove `{}` from the `needs` of `{}`", name(to), name(from)));
            self.report(report);
            if let Some(needs) = &mut entries[from].needs {
                needs.retain(|need| need.position != to);
            }
        }
    }
}

/// For each step the positions of the steps that it waits for directly.
///
/// A step without `needs` waits for all steps above it. It gets an edge only to those that no other step waits for: the
/// others end before these. So a list has about as many edges as it has steps and written needs.
fn edges(entries: &[Entry]) -> Vec<Vec<usize>> {
    let mut frontier = BTreeSet::new();
    let mut is_needed = vec![false; entries.len()];
    let mut edges = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        if entry.id.is_none() {
            // No step can wait for it, and it is in no plan.
            edges.push(Vec::new());
            continue;
        }
        let targets: Vec<usize> = match &entry.needs {
            Some(needs) => needs.iter().map(|need| need.position).collect(),
            None => frontier.iter().copied().collect(),
        };
        for target in &targets {
            is_needed[*target] = true;
            frontier.remove(target);
        }
        if !is_needed[at] {
            frontier.insert(at);
        }
        edges.push(targets);
    }
    edges
}

/// A path along edges that ends where it begins.
fn find_circle(edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy)]
    enum Mark {
        NotYet,
        OnPath { at: usize },
        Done,
    }
    let mut marks = vec![Mark::NotYet; edges.len()];
    for first in 0..edges.len() {
        if !matches!(marks[first], Mark::NotYet) {
            continue;
        }
        marks[first] = Mark::OnPath { at: 0 };
        let mut path = vec![(first, edges[first].iter())];
        while let Some((step, rest)) = path.last_mut() {
            let Some(next) = rest.next() else {
                marks[*step] = Mark::Done;
                path.pop();
                continue;
            };
            match marks[*next] {
                Mark::Done => {}
                Mark::OnPath { at } => {
                    return Some(path[at..].iter().map(|(step, _)| *step).chain([*next]).collect());
                }
                Mark::NotYet => {
                    marks[*next] = Mark::OnPath { at: path.len() };
                    path.push((*next, edges[*next].iter()));
                }
            }
        }
    }
    None
}

/// The circle without steps that are reached and left along unwritten needs: a step without `needs` waits for all steps above
/// it, so it also waits for the next step that remains.
fn shortened(circle: &[usize], entries: &[Entry]) -> Vec<usize> {
    let is_written = |position: usize| entries[position].needs.is_some();
    let is_kept = |at: usize| {
        let is_end = at == 0 || at + 1 == circle.len();
        is_end || is_written(circle[at - 1]) || is_written(circle[at])
    };
    (0..circle.len()).filter(|at| is_kept(*at)).map(|at| circle[at]).collect()
}

/// `a → b → a`.
fn arrows(names: &[&str]) -> String {
    if names.len() <= CIRCLE_NAMES_MAX {
        return names.join(" → ");
    }
    let (first, last) = (&names[..CIRCLE_NAMES_MAX / 2], &names[names.len() - 2..]);
    let omitted = names.len() - first.len() - last.len();
    format!("{} → … {omitted} more … → {}", first.join(" → "), last.join(" → "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of steps: the positions that each one names in `needs`; `None` for a step without `needs`.
    fn list(needs: &[Option<&[usize]>]) -> Vec<Entry> {
        let entry = |(at, needs): (usize, &Option<&[usize]>)| Entry {
            id: format!("s{at}").parse().ok(),
            needs: needs.map(|needs| {
                needs.iter().map(|position| Need { position: *position, range: 0..0 }).collect()
            }),
        };
        needs.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn a_step_without_needs_has_an_edge_only_to_steps_that_no_step_above_waits_for() {
        type Written = &'static [Option<&'static [usize]>];
        type Edges = &'static [&'static [usize]];
        let cases: [(Written, Edges); 5] = [
            (&[None, None, None], &[&[], &[0], &[1]]),
            (&[None, Some(&[]), None], &[&[], &[], &[0, 1]]),
            (&[None, Some(&[]), Some(&[0]), None, None], &[&[], &[], &[0], &[1, 2], &[3]]),
            (&[Some(&[1]), Some(&[]), None], &[&[1], &[], &[0]]),
            (&[Some(&[2]), None, Some(&[]), None], &[&[2], &[0], &[], &[1]]),
        ];
        for (needs, expected) in cases {
            assert_eq!(edges(&list(needs)), expected, "{needs:?}");
        }
    }

    #[test]
    fn a_circle_is_found_and_drawn_without_the_steps_between() {
        // The first needs the last, which waits for all above it.
        let entries = list(&[Some(&[3]), None, None, None]);
        let circle = find_circle(&edges(&entries)).unwrap();
        assert_eq!(circle, [0, 3, 2, 1, 0]);
        assert_eq!(shortened(&circle, &entries), [0, 3, 0]);
        assert_eq!(find_circle(&edges(&list(&[None, Some(&[]), Some(&[0]), None]))), None);
    }

    #[test]
    fn a_long_circle_is_drawn_by_its_ends() {
        let names: Vec<String> = (0..12).map(|n| format!("s{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(arrows(&names[..3]), "s0 → s1 → s2");
        assert_eq!(arrows(&names), "s0 → s1 → s2 → s3 → s4 → … 5 more … → s10 → s11");
    }
}
