//! Which known word somebody may have meant.

/// The nearest of `known` to `word`, when it is near enough that a slip of the hand explains the difference: up to a
/// third of the letters, and at least one.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> Option<&'k str> {
    let allowed = (word.chars().count() / 3).max(1);
    let distances = known.clone().into_iter().map(|candidate| (distance(word, candidate), candidate));
    let near = distances.filter(|(distance, _)| *distance <= allowed).min_by_key(|(distance, _)| *distance);
    near.map(|(_, known)| known).or_else(|| longer_or_shorter(word, known))
}

/// The one of `known` that `word` begins with, or that begins with `word`: `healthcheck` for `health`. Of several the
/// longest; four letters at least, so that an `a` is no hint.
fn longer_or_shorter<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let known = known.into_iter().filter(|known| known.len().min(word.len()) >= 4);
    known.filter(|known| word.starts_with(known) || known.starts_with(word)).max_by_key(|known| known.len())
}

/// Letters to insert, delete, replace or swap with their neighbour to make `b` of `a` (the restricted form of
/// F. J. Damerau: "A technique for computer detection and correction of spelling errors", 1964).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let replace = last[j] + usize::from(a[i] != b[j]);
            row[j + 1] = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_its_word() {
        let known = ["address", "protocol", "tls", "name"];
        for (typed, meant) in [("adress", "address"), ("protocl", "protocol"), ("tsl", "tls"), ("nmae", "name")] {
            assert_eq!(nearest(typed, known), Some(meant), "{typed}");
        }
        assert_eq!(nearest("timeout", known), None);
        assert_eq!(nearest("xyz", known), None);
        assert_eq!(nearest("healthcheck", ["health", "hash_on"]), Some("health"));
        assert_eq!(nearest("conc", ["concurrency"]), Some("concurrency"));
    }

    #[test]
    fn distances_are_those_of_the_literature() {
        for (a, b, want) in [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "abc", 0), ("ab", "ba", 1)] {
            assert_eq!(distance(a, b), want, "{a} {b}");
            assert_eq!(distance(b, a), want, "{b} {a}");
        }
    }
}
