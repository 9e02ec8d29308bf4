//! Which known word somebody may have meant.

/// Below this likeness (0 to 1, Jaro-Winkler) a suggestion confuses more than it helps.
const LIKENESS_MIN: f64 = 0.75;

/// The known word that is most like `word`, if any is like enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_and_a_far_one_is_not() {
        let known = ["listen", "external", "bootstrap"];
        assert_eq!(nearest("bootstarp", known), Some("bootstrap"));
        assert_eq!(nearest("listne", known), Some("listen"));
        assert_eq!(nearest("zzz", known), None);
    }
}
