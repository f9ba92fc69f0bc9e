//! `needs` and the order rule: what has surely ended when a step starts.

use std::collections::{BTreeMap, BTreeSet};

use backstay_model::StepId;

use super::reader::{Reader, Report};
use super::step::Draft;
use crate::codes;
use crate::plan::Step;

impl Reader<'_> {
    /// Resolves `needs` within one list.
    pub(super) fn resolve(&mut self, drafts: Vec<Draft>) -> Vec<Step> {
        // Also those of steps that are wrong otherwise: who waits for them makes no mistake.
        let ids: Vec<StepId> = drafts.iter().filter_map(|draft| draft.id.clone()).collect();
        let mut above: Vec<StepId> = Vec::new();
        let mut steps: Vec<Step> = Vec::with_capacity(drafts.len());
        let mut named = BTreeMap::new();
        for Draft { id, step, needs } in drafts {
            let mut resolved = Vec::new();
            for (need, range) in needs.iter().flatten() {
                if !ids.contains(need) {
                    self.unknown_need(need, range, &ids);
                } else if !resolved.contains(need) {
                    named.extend(id.clone().map(|id| ((id, need.clone()), range.clone())));
                    resolved.push(need.clone());
                }
            }
            if let Some(mut step) = step {
                step.needs = if needs.is_some() { resolved } else { above.clone() };
                steps.push(step);
            }
            above.extend(id);
        }
        self.cycles(&mut steps, &named);
        steps
    }

    fn unknown_need(&mut self, need: &StepId, range: &std::ops::Range<usize>, ids: &[StepId]) {
        let near = crate::diagnostic::nearest(need.as_str(), ids.iter().map(StepId::as_str));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`needs` names steps of the same list; a group is waited for as a whole".to_owned(),
        };
        self.say(
            Report::error(codes::UNKNOWN_NEED, range, format!("no step `{need}` in this list")).hint(hint),
        );
    }

    /// Says and cuts each need that closes a circle.
    fn cycles(&mut self, steps: &mut [Step], named: &BTreeMap<(StepId, StepId), std::ops::Range<usize>>) {
        while let Some(circle) = find_cycle(steps) {
            let edge = circle
                .windows(2)
                .rev()
                .find_map(|pair| named.get_key_value(&(pair[0].clone(), pair[1].clone())));
            let Some(((from, to), range)) = edge else { return };
            let way = circle.iter().map(StepId::as_str).collect::<Vec<_>>().join(" → ");
            self.say(
                Report::error(codes::CYCLE, range, format!("these steps wait for each other: {way}"))
                    .hint(format!("remove `{to}` from the `needs` of `{from}`")),
            );
            for step in steps.iter_mut().filter(|step| step.id == *from) {
                step.needs.retain(|need| need != to);
            }
        }
    }
}

/// A path of needs that ends where it begins.
fn find_cycle(steps: &[Step]) -> Option<Vec<StepId>> {
    let needs: BTreeMap<&StepId, &[StepId]> =
        steps.iter().map(|step| (&step.id, step.needs.as_slice())).collect();
    let mut done = BTreeSet::new();
    for step in steps {
        let mut path: Vec<(&StepId, usize)> = vec![(&step.id, 0)];
        while let Some((id, next)) = path.last_mut() {
            let id = *id;
            match needs.get(id).and_then(|needs| needs.get(*next)) {
                _ if done.contains(id) => {
                    path.pop();
                }
                None => {
                    done.insert(id);
                    path.pop();
                }
                Some(need) => {
                    *next += 1;
                    if let Some(start) = path.iter().position(|(on_path, _)| *on_path == need) {
                        let circle = path[start..].iter().map(|(id, _)| (*id).clone());
                        return Some(circle.chain([need.clone()]).collect());
                    }
                    path.push((need, 0));
                }
            }
        }
    }
    None
}

/// For each step, the steps that have ended whenever it starts.
pub(super) fn ended_before(steps: &[Step], finally: &[Step]) -> BTreeMap<StepId, BTreeSet<StepId>> {
    let mut ended = BTreeMap::new();
    list(steps, &BTreeSet::new(), &mut ended);
    let all: BTreeSet<StepId> = steps.iter().flat_map(with_children).collect();
    list(finally, &all, &mut ended);
    ended
}

fn list(steps: &[Step], outer: &BTreeSet<StepId>, ended: &mut BTreeMap<StepId, BTreeSet<StepId>>) {
    let by_id: BTreeMap<&StepId, &Step> = steps.iter().map(|step| (&step.id, step)).collect();
    let mut known = BTreeMap::new();
    for step in steps {
        needed_before(step, &by_id, &mut known);
    }
    for step in steps {
        let mut before = outer.clone();
        before.extend(known.remove(&step.id).unwrap_or_default());
        list(step.children(), &before, ended);
        ended.insert(step.id.clone(), before);
    }
}

/// Puts into `known` which steps of its own list, and what is in them, `step` waits for.
///
/// The nearest need is looked at first: by the order rule it waits for all the others, which are then known at once.
/// A cycle, which has its own diagnostic, ends where it began.
fn needed_before<'a>(
    step: &'a Step,
    by_id: &BTreeMap<&'a StepId, &'a Step>,
    known: &mut BTreeMap<&'a StepId, BTreeSet<StepId>>,
) {
    if known.contains_key(&step.id) {
        return;
    }
    known.insert(&step.id, BTreeSet::new());
    let mut before = BTreeSet::new();
    for need in step.needs.iter().rev() {
        if before.contains(need) {
            continue;
        }
        let Some(needed) = by_id.get(need) else { continue };
        needed_before(needed, by_id, known);
        before.extend(with_children(needed));
        before.extend(known.get(need).into_iter().flatten().cloned());
    }
    known.insert(&step.id, before);
}

fn with_children(step: &Step) -> Vec<StepId> {
    let mut ids = vec![step.id.clone()];
    ids.extend(step.children().iter().flat_map(with_children));
    ids
}
