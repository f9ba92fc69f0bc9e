//! Ids of runs, as short as they can be.

use backstay_model::RunId;

/// Characters of an id that are shown at least.
const ID_CHARS: usize = 14;

/// Of each id the beginning that none of the others has.
pub(crate) fn beginnings(runs: &[RunId]) -> Vec<String> {
    let texts: Vec<String> = runs.iter().map(ToString::to_string).collect();
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by(|one, other| texts[*one].cmp(&texts[*other]));
    let mut lengths = vec![ID_CHARS; texts.len()];
    // Of all others those that stand beside it in order have most in common with it.
    for pair in order.windows(2) {
        let common = common_chars(&texts[pair[0]], &texts[pair[1]]);
        for index in pair {
            lengths[*index] = lengths[*index].max(common + 1);
        }
    }
    texts.iter().zip(lengths).map(|(text, length)| text.chars().take(length).collect()).collect()
}

fn common_chars(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_as_long_as_it_must_be_to_be_no_other_one() {
        let runs = ["01M7Z9MQKSAA", "01M7ZXMQKSAA", "01M7Z9MQKSAB"]
            .map(|begin| format!("run_{begin}Q5T3W9M4N6P7R8").parse::<RunId>().unwrap());
        assert_eq!(beginnings(&runs), ["run_01M7Z9MQKSAA", "run_01M7ZXMQKS", "run_01M7Z9MQKSAB"]);
        assert_eq!(beginnings(&[runs[0], runs[0]]), [runs[0].to_string(), runs[0].to_string()]);
        assert!(beginnings(&[]).is_empty());
    }
}
