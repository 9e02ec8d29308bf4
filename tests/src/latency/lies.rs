//! What faulty validators report instead of the truth.

use super::deployment::Deployment;

/// What `t` liars do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// The worst-placed claim to be a millisecond from everybody.
    Boast,
    /// The best-placed report ten seconds to everybody, and so leave the core on purpose.
    Leave,
    /// The best-placed report ten seconds to the best-placed honest one.
    Slander,
}

impl Lie {
    /// All.
    pub const ALL: [Self; 3] = [Self::Boast, Self::Leave, Self::Slander];

    /// What to call it in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boast => "worst-placed claim 1 ms",
            Self::Leave => "best-placed claim 10 s",
            Self::Slander => "best-placed slander one",
        }
    }

    /// Who lies: `t` of them.
    pub fn liars(self, deployment: &Deployment, t: usize) -> Vec<usize> {
        let mut nodes = by_place(deployment);
        if self == Self::Boast {
            nodes.reverse();
        }
        nodes.truncate(t);
        nodes
    }

    /// What a liar says of its round trip to another, in microseconds; none for the truth.
    pub fn claim(self, deployment: &Deployment, t: usize, about: usize) -> Option<u32> {
        const BOAST_US: u32 = 1_000;
        const FAR_US: u32 = 10_000_000;
        match self {
            Self::Boast => Some(BOAST_US),
            Self::Leave => Some(FAR_US),
            Self::Slander => (by_place(deployment).get(t) == Some(&about)).then_some(FAR_US),
        }
    }
}

/// The validators, the one with the least sum of squared round trips first.
fn by_place(deployment: &Deployment) -> Vec<usize> {
    let mut nodes: Vec<usize> = (0..deployment.size()).collect();
    let spread = |node: usize| -> u128 {
        (0..deployment.size()).map(|other| u128::from(deployment.round_trip(node, other)).pow(2)).sum()
    };
    nodes.sort_by_key(|node| spread(*node));
    nodes
}
