//! The name that was probably meant.

/// The candidate that differs least from `text`, when it is near enough to be worth a question:
/// at most a third of its letters (and at least one) missing, added, changed or swapped.
pub fn nearest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let text: Vec<char> = text.chars().take(80).flat_map(char::to_lowercase).collect();
    let near = |candidate: &'c str| {
        let letters: Vec<char> = candidate.chars().collect();
        let distance = distance(&text, &letters);
        (distance <= (letters.len() / 3).max(1)).then_some((distance, candidate))
    };
    let all = candidates.into_iter().filter_map(near);
    all.min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, removed, changed or swapped with their neighbour (optimal
/// string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["python", "javascript", "go", "sandbox.memory"];

    #[test]
    fn finds_what_was_meant() {
        assert_eq!(nearest("pyhton", NAMES), Some("python"));
        assert_eq!(nearest("Python", NAMES), Some("python"));
        assert_eq!(nearest("sandbox.memori", NAMES), Some("sandbox.memory"));
        assert_eq!(nearest("goo", NAMES), Some("go"));
    }

    #[test]
    fn asks_nothing_when_nothing_is_near() {
        assert_eq!(nearest("cobol", NAMES), None);
        assert_eq!(nearest("", NAMES), None);
        assert_eq!(nearest(&"x".repeat(100_000), NAMES), None);
    }
}
