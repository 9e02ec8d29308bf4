//! All ways to divide a few nodes into groups that hear each other.

/// A division: the group of each node. Groups are numbered in the order of their first nodes.
pub type Partition = Vec<u8>;

/// Every division of `nodes` nodes, each once: as many as Bell's number.
pub fn all(nodes: usize) -> Vec<Partition> {
    let mut found = vec![Vec::new()];
    for _ in 0..nodes {
        found = found.into_iter().flat_map(extend).collect();
    }
    found
}

fn extend(partition: Partition) -> Vec<Partition> {
    let groups = partition.iter().max().map_or(0, |last| last + 1);
    (0..=groups)
        .map(|group| {
            let mut extended = partition.clone();
            extended.push(group);
            extended
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_as_many_divisions_as_bells_numbers_say() {
        for (nodes, bell) in [(0, 1), (1, 1), (2, 2), (3, 5), (4, 15), (5, 52), (6, 203)] {
            let found = all(nodes);
            assert_eq!(found.len(), bell);
            assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), bell, "each once");
        }
    }
}
