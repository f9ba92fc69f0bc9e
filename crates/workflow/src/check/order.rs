//! The order of a plan's steps: which have surely ended when another one starts.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use backstay_model::StepId;

use crate::plan::Step;

/// The order of the steps of a plan. Its size is about that of the plan.
pub(super) struct Order<'p> {
    places: BTreeMap<&'p str, Place>,
    lists: Vec<List<'p>>,
    loops: &'p BTreeSet<StepId>,
}

/// Where a step stands: in which list, and at which position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    list: usize,
    position: usize,
}

/// One list of steps.
struct List<'p> {
    steps: &'p [Step],
    /// The group whose steps they are; none for the lists of the file.
    group: Option<Place>,
    /// How many groups are around the list.
    depth: usize,
    in_finally: bool,
    waits: Waits,
}

impl<'p> Order<'p> {
    /// The order of these steps; `loops` are those with `repeat`.
    pub(super) fn new(steps: &'p [Step], finally: &'p [Step], loops: &'p BTreeSet<StepId>) -> Order<'p> {
        let mut order = Order { places: BTreeMap::new(), lists: Vec::new(), loops };
        let mut waiting = vec![(steps, None, 0, false), (finally, None, 0, true)];
        while let Some((steps, group, depth, in_finally)) = waiting.pop() {
            let list = order.lists.len();
            for (position, step) in steps.iter().enumerate() {
                let place = Place { list, position };
                order.places.insert(step.id.as_str(), place);
                if !step.children().is_empty() {
                    waiting.push((step.children(), Some(place), depth + 1, in_finally));
                }
            }
            order.lists.push(List { steps, group, depth, in_finally, waits: Waits::new(steps) });
        }
        order
    }

    /// Whether the step is in the plan. A step of a group that could not be read is not.
    pub(super) fn contains(&self, step: &str) -> bool {
        self.places.contains_key(step)
    }

    /// Whether `step` has ended whenever `later` starts.
    pub(super) fn has_ended(&self, step: &str, later: &str) -> bool {
        let (Some(step), Some(later)) = (self.places.get(step), self.places.get(later)) else { return false };
        match (self.lists[step.list].in_finally, self.lists[later.list].in_finally) {
            (false, true) => return true,
            (true, false) => return false,
            (false, false) | (true, true) => {}
        }
        // The groups around both, or they themselves, that are in one list.
        let (mut step, mut later) = (*step, *later);
        while step.list != later.list {
            let is_deeper = self.lists[step.list].depth >= self.lists[later.list].depth;
            let deeper = if is_deeper { &mut step } else { &mut later };
            let Some(group) = self.lists[deeper.list].group else { return false };
            *deeper = group;
        }
        self.lists[step.list].waits.for_step(later.position, step.position)
    }

    /// The loop right around the step.
    pub(super) fn loop_around(&self, step: &str) -> Option<&'p StepId> {
        self.groups_around(step).find(|group| self.loops.contains(*group))
    }

    /// Whether `step` is one of the steps of `group`, or in one of them.
    pub(super) fn is_inside(&self, step: &str, group: &StepId) -> bool {
        self.groups_around(step).any(|around| around == group)
    }

    /// All steps of a group, with those in them.
    pub(super) fn inside(&self, group: &StepId) -> impl Iterator<Item = &'p StepId> {
        let step = self.places.get(group.as_str()).map(|place| self.step(*place));
        let mut waiting: Vec<&'p Step> = step.into_iter().flat_map(Step::children).collect();
        std::iter::from_fn(move || {
            let step = waiting.pop()?;
            waiting.extend(step.children());
            Some(&step.id)
        })
    }

    /// The groups around a step, the innermost first.
    fn groups_around(&self, step: &str) -> impl Iterator<Item = &'p StepId> {
        let group = |place: Place| self.lists[place.list].group;
        let innermost = self.places.get(step).and_then(|place| group(*place));
        std::iter::successors(innermost, move |place| group(*place)).map(|place| &self.step(place).id)
    }

    fn step(&self, place: Place) -> &'p Step {
        &self.lists[place.list].steps[place.position]
    }
}

/// Which steps of one list wait for which others of it, directly or through others.
struct Waits {
    /// For each step the positions of its needs.
    needs: Vec<Vec<usize>>,
    /// The positions, each behind those of its needs.
    sorted: Vec<usize>,
    /// For each step, how many steps from the top of the list it waits for without a gap.
    prefix: Vec<usize>,
    /// Whether all needs stand above the steps that have them.
    is_downward: bool,
    /// The answers that `prefix` does not have. It takes the square of the number of steps in bits, so it is made when it is
    /// first needed: never for a list in plain order.
    closure: OnceCell<Closure>,
}

impl Waits {
    fn new(steps: &[Step]) -> Waits {
        let positions: BTreeMap<&StepId, usize> =
            steps.iter().enumerate().map(|(position, step)| (&step.id, position)).collect();
        let needs = |step: &Step| step.needs.iter().filter_map(|need| positions.get(need).copied()).collect();
        let needs: Vec<Vec<usize>> = steps.iter().map(needs).collect();
        let sorted = sorted(&needs);
        let mut prefix = vec![0; needs.len()];
        for step in &sorted {
            let direct: BTreeSet<usize> = needs[*step].iter().copied().collect();
            let mut length = direct.iter().map(|need| prefix[*need]).max().unwrap_or(0);
            while direct.contains(&length) {
                length += 1;
            }
            prefix[*step] = length;
        }
        let is_downward = needs.iter().enumerate().all(|(at, needs)| needs.iter().all(|need| *need < at));
        Waits { needs, sorted, prefix, is_downward, closure: OnceCell::new() }
    }

    /// Whether the step at `from` waits for the one at `to`.
    fn for_step(&self, from: usize, to: usize) -> bool {
        if from == to || self.is_downward && to > from {
            return false;
        }
        to < self.prefix[from]
            || self.closure.get_or_init(|| Closure::new(&self.needs, &self.sorted)).contains(from, to)
    }
}

/// The positions, each behind those of its needs. An edge that closes a circle is ignored: `needs.rs` reports it.
fn sorted(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(needs.len());
    let mut is_seen = vec![false; needs.len()];
    for first in 0..needs.len() {
        if std::mem::replace(&mut is_seen[first], true) {
            continue;
        }
        let mut path = vec![(first, needs[first].iter())];
        while let Some((step, rest)) = path.last_mut() {
            match rest.next() {
                Some(need) if std::mem::replace(&mut is_seen[*need], true) => {}
                Some(need) => path.push((*need, needs[*need].iter())),
                None => {
                    order.push(*step);
                    path.pop();
                }
            }
        }
    }
    order
}

/// For each step one bit for each step that it waits for.
struct Closure {
    words_per_step: usize,
    words: Vec<u64>,
}

impl Closure {
    fn new(needs: &[Vec<usize>], sorted: &[usize]) -> Closure {
        let words_per_step = needs.len().div_ceil(64);
        let mut words = vec![0; words_per_step * needs.len()];
        for step in sorted {
            let mut row = vec![0; words_per_step];
            for need in &needs[*step] {
                let theirs = &words[need * words_per_step..][..words_per_step];
                row.iter_mut().zip(theirs).for_each(|(own, theirs)| *own |= theirs);
                row[need / 64] |= 1_u64 << (need % 64);
            }
            words[step * words_per_step..][..words_per_step].copy_from_slice(&row);
        }
        Closure { words_per_step, words }
    }

    fn contains(&self, step: usize, need: usize) -> bool {
        self.words[step * self.words_per_step + need / 64] & (1 << (need % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Steps `s0`, `s1` and so on with these needs.
    fn steps(needs: &[Vec<usize>]) -> Vec<Step> {
        let id = |position: usize| format!("s{position}").parse::<StepId>().unwrap();
        let step = |(at, needs): (usize, &Vec<usize>)| Step {
            needs: needs.iter().map(|need| id(*need)).collect(),
            ..Step::unreadable(id(at))
        };
        needs.iter().enumerate().map(step).collect()
    }

    /// Whether `to` can be reached from `from`.
    fn is_reached(needs: &[Vec<usize>], from: usize, to: usize) -> bool {
        needs[from].iter().any(|need| *need == to || is_reached(needs, *need, to))
    }

    proptest! {
        /// Needs of each step are those after it in a random order of the list, so they make no circle.
        #[test]
        fn a_step_waits_for_what_its_needs_wait_for(
            rows in prop::collection::vec(prop::collection::vec(any::<bool>(), 9), 9),
            places in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(),
        ) {
            let mut needs = vec![Vec::new(); 9];
            for (from, row) in rows.iter().enumerate() {
                needs[places[from]] = (0..from).filter(|to| row[*to]).map(|to| places[to]).collect();
            }
            let waits = Waits::new(&steps(&needs));
            for from in 0..9 {
                for to in 0..9 {
                    prop_assert_eq!(waits.for_step(from, to), is_reached(&needs, from, to), "{} {}", from, to);
                }
            }
        }
    }

    #[test]
    fn a_list_in_plain_order_is_answered_without_the_closure() {
        let needs: Vec<Vec<usize>> = (0..100_usize).map(|n| n.checked_sub(1).into_iter().collect()).collect();
        let waits = Waits::new(&steps(&needs));
        assert!((0..100).all(|from| (0..100).all(|to| waits.for_step(from, to) == (to < from))));
        assert!(waits.closure.get().is_none());
    }
}
