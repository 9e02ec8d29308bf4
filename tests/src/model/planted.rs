//! Known bugs, and what must find each.
//!
//! A planted bug is a change of one place in the source. It is made in a copy of the workspace, never here: production code
//! has no switch for it. The binary `planted` makes each change and expects the simulator to break an invariant.

/// What finds a bug besides the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The engine's scenario tests whose names contain this.
    Tests(&'static str),
    /// 5,000 Twins scenarios.
    Twins,
    /// Two minutes of model checking.
    Model,
    /// Nothing that was recorded.
    SimulatorOnly,
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tests(name) => write!(f, "engine tests `{name}`"),
            Self::Twins => f.write_str("Twins"),
            Self::Model => f.write_str("model checking"),
            Self::SimulatorOnly => Ok(()),
        }
    }
}

/// A bug.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    /// Its name.
    pub name: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
    /// The file that it is planted in.
    pub file: &'static str,
    /// The right text; stands there exactly once.
    pub right: &'static str,
    /// The wrong text.
    pub wrong: &'static str,
    /// What finds it besides the simulator.
    pub evidence: Evidence,
}

impl Planted {
    /// The source with the bug in the place of the right text.
    ///
    /// # Errors
    /// When the right text does not stand there exactly once: the source has changed, and the bug must follow.
    pub fn plant(&self, source: &str) -> anyhow::Result<String> {
        let places = source.matches(self.right).count();
        anyhow::ensure!(
            places == 1,
            "`{}`: its text stands {places} times in {}; the source has changed, so change the bug in tests/src/model/planted.rs",
            self.name,
            self.file
        );
        Ok(source.replace(self.right, self.wrong))
    }
}

const TALLY: &str = "consensus/src/tally.rs";
const VOTE: &str = "consensus/src/engine/vote.rs";
const VIEW_CHANGE: &str = "consensus/src/engine/view_change.rs";
const RECOVERY: &str = "consensus/src/engine/recovery.rs";
const VALIDATE: &str = "consensus/src/engine/validate.rs";

/// All planted bugs.
pub const ALL: &[Planted] = &[
    Planted {
        name: "quorum off by one",
        what: "a quorum is W - f - 1",
        file: "types/src/validators.rs",
        right: "self.total.minus(self.max_faulty())\n    }\n\n    /// `f + 1`",
        wrong: "self.total.minus(self.max_faulty()).minus(Weight(1))\n    }\n\n    /// `f + 1`",
        evidence: Evidence::Twins,
    },
    Planted {
        name: "weight counted twice",
        what: "each vote counts twice its weight",
        file: TALLY,
        right: ".fold(Weight::ZERO, |sum, member| sum.plus(member.weight))\n}\n\n/// Checks the unchecked",
        wrong: ".fold(Weight::ZERO, |sum, member| sum.plus(member.weight).plus(member.weight))\n}\n\n/// Checks the unchecked",
        evidence: Evidence::Twins,
    },
    Planted {
        name: "lowest view chosen",
        what: "a plan takes the block of the lowest view",
        file: "consensus/src/plan.rs",
        right: ".max_by_key(|block| (block.certificate.content.view, block.certificate.content.digest))",
        wrong: ".min_by_key(|block| (block.certificate.content.view, block.certificate.content.digest))",
        evidence: Evidence::Twins,
    },
    Planted {
        name: "plan ignored",
        what: "a new view starts with an empty plan",
        file: VIEW_CHANGE,
        right: "        self.plan = Plan::of(&message.view_changes, self.origin);\n",
        wrong: "        self.plan = Plan::of(&[], self.origin);\n",
        evidence: Evidence::Model,
    },
    Planted {
        name: "view change hides commits",
        what: "a view change lists no prepared block",
        file: VIEW_CHANGE,
        right: "            prepared: self.prepared.values().cloned().collect(),\n",
        wrong: "            prepared: Vec::new(),\n",
        evidence: Evidence::Twins,
    },
    Planted {
        name: "votes in a view that was left",
        what: "commits are still sent after asking for the next view",
        file: VOTE,
        right: "    pub(super) fn try_commit(&mut self) -> bool {\n        if self.me.is_none() || self.target.is_some() {",
        wrong: "    pub(super) fn try_commit(&mut self) -> bool {\n        if self.me.is_none() {",
        evidence: Evidence::Twins,
    },
    Planted {
        name: "commit out of order",
        what: "a Commit needs no Commit for the height below",
        file: VOTE,
        right: "        while self.slots.get(&height).is_some_and(|slot| slot.commit.is_some()) {",
        wrong: "        while self.slots.get(&height).is_some_and(|slot| slot.commit.is_some() || self.slots.contains_key(&height.next())) {",
        evidence: Evidence::Tests("commits_are_sent_in_the_order_of_heights"),
    },
    Planted {
        name: "prepare not persisted",
        what: "a Prepare is sent without a record",
        file: VOTE,
        right: "        self.promise(height, Record::Prepared { header: proposal.header, vote: vote.clone() });\n",
        wrong: "",
        evidence: Evidence::Tests("restart"),
    },
    Planted {
        name: "commit not persisted",
        what: "a Commit is sent without a record",
        file: VOTE,
        right: "        self.promise(height, Record::Committing { header, certificate, vote: vote.clone() });\n",
        wrong: "        let _ = (header, certificate);\n",
        evidence: Evidence::Tests("restart"),
    },
    Planted {
        name: "view change not persisted",
        what: "a ViewChange is sent without a record",
        file: VIEW_CHANGE,
        right: "        self.outputs.push(Output::Persist(Record::ViewChange(message.clone())));\n",
        wrong: "",
        evidence: Evidence::Tests("restart"),
    },
    Planted {
        name: "later epoch forgotten",
        what: "records of an epoch that the log does not reach are dropped at a restart",
        file: RECOVERY,
        right: "            self.later.push(record);\n",
        wrong: "",
        evidence: Evidence::Tests("restart"),
    },
    Planted {
        name: "checkpoint forgets the view change",
        what: "a shortened journal lacks the own ViewChange",
        file: RECOVERY,
        right: "            records.extend(own_view_change.cloned().map(Record::ViewChange));\n",
        wrong: "            let _ = own_view_change;\n",
        evidence: Evidence::Tests("restart"),
    },
    Planted {
        name: "certificate of another epoch",
        what: "a certificate's epoch is not looked at",
        file: "types/src/certificate.rs",
        right: "        if self.content.epoch != set.epoch() {",
        wrong: "        if self.content.epoch != set.epoch() && self.signatures.is_empty() {",
        evidence: Evidence::Tests("every_certificate_is_of_its_own_epoch"),
    },
    Planted {
        name: "voted before stored",
        what: "a block is prepared before its batches are held",
        file: "consensus/src/engine/validate.rs",
        right: "        if header.batches.iter().all(|batch| self.pending.holds(batch)) {",
        wrong: "        if header.batches.iter().all(|batch| !self.pending.contradicts(batch)) {",
        evidence: Evidence::Tests("a_missing_batch"),
    },
    Planted {
        name: "timer never doubles",
        what: "the timeout stays the same in each view",
        file: "consensus/src/engine/timer.rs",
        right: "        let doublings = self.timing.timeouts.min(TIMEOUT_DOUBLINGS);\n",
        wrong: "        let doublings = self.timing.timeouts.min(TIMEOUT_DOUBLINGS).min(0);\n",
        evidence: Evidence::Tests("the_timeout_doubles"),
    },
    Planted {
        name: "forgotten views leave their sets",
        what: "empty vote sets stay in memory",
        file: TALLY,
        right: "            if set.votes.is_empty() {",
        wrong: "            if set.votes.len() > 1 << 20 {",
        evidence: Evidence::Tests("votes_of_many_views"),
    },
    Planted {
        name: "join at the highest view",
        what: "a weak quorum is followed to the highest view that anyone named",
        file: VIEW_CHANGE,
        right: "            && let Some(lowest) = above().map(|message| message.view).min()\n",
        wrong: "            && let Some(lowest) = above().map(|message| message.view).max()\n",
        evidence: Evidence::Tests("joined_at_the_lowest"),
    },
    Planted {
        name: "entered view forgotten",
        what: "a restart does not enter the view that the journal says",
        file: RECOVERY,
        right: "            Record::NewView(message) if message.epoch == epoch && message.view > self.view => {",
        wrong: "            Record::NewView(message) if message.epoch == epoch && message.view_changes.is_empty() => {",
        evidence: Evidence::SimulatorOnly,
    },
    Planted {
        name: "state root unchecked",
        what: "a header may certify any state",
        file: VALIDATE,
        right: "        if self.roots.get(&header.executed.height) != Some(&header.executed.state_root) {",
        wrong: "        if !self.roots.contains_key(&header.executed.height) {",
        evidence: Evidence::SimulatorOnly,
    },
    Planted {
        name: "parent unchecked",
        what: "a header need not extend the chain",
        file: VALIDATE,
        right: "(header.parent != parent.digest, \"it does",
        wrong: "(header.parent != parent.digest && self.me.is_none(), \"it does",
        evidence: Evidence::SimulatorOnly,
    },
    Planted {
        name: "batch named twice",
        what: "a header may name a batch twice, or one of an open block",
        file: VALIDATE,
        right: "(self.repeats_batch(header), ",
        wrong: "(self.repeats_batch(header) && self.me.is_none(), ",
        evidence: Evidence::SimulatorOnly,
    },
    Planted {
        name: "epoch closed at the wrong time",
        what: "a closing block may come at any time, and a normal one after the end",
        file: VALIDATE,
        right: "(is_closing != is_due).then_some(",
        wrong: "(is_closing != is_due && self.me.is_none()).then_some(",
        evidence: Evidence::SimulatorOnly,
    },
    Planted {
        name: "handover unchecked",
        what: "a handover may name any set",
        file: VALIDATE,
        right: "let is_right = next.validators.hash() == next_validators_hash\n",
        wrong: "let is_right = (next.validators.hash() == next_validators_hash || self.me.is_some())\n",
        evidence: Evidence::SimulatorOnly,
    },
    Planted {
        name: "synced block unchecked",
        what: "the certificate of a block from elsewhere is not verified",
        file: "consensus/src/engine/decide.rs",
        right: "            && certificate.verify(&self.epoch.validators, &self.domain).is_ok()\n            && self.decide",
        wrong: "            && self.decide",
        evidence: Evidence::SimulatorOnly,
    },
    Planted {
        name: "content of view changes unchecked",
        what: "a NewView's ViewChanges may show anything",
        file: "consensus/src/message.rs",
        right: "            message.verify_content(first, window, set, domain)?;\n        }\n        Ok(())",
        wrong: "            let _ = (first, window);\n        }\n        Ok(())",
        evidence: Evidence::SimulatorOnly,
    },
    Planted {
        name: "votes unchecked",
        what: "votes count without their signatures being checked",
        file: TALLY,
        right: "        if entry.digest != content.digest || entry.check != Check::Pending {\n            continue;",
        wrong: "        if entry.digest != content.digest || entry.check != Check::Pending || set.total() > Weight::ZERO {\n            continue;",
        evidence: Evidence::SimulatorOnly,
    },
    Planted {
        name: "evidence kept silent",
        what: "two contradicting votes yield no evidence",
        file: "consensus/src/engine/testimony.rs",
        right: "        if self.accused.insert((first.content.epoch, first.validator)) {",
        wrong: "        if self.accused.insert((first.content.epoch, first.validator)) && self.me.is_none() {",
        evidence: Evidence::SimulatorOnly,
    },
    Planted {
        name: "nothing is sent again",
        what: "what was lost stays lost",
        file: "consensus/src/engine/timer.rs",
        right: "        let status = self.own_status();\n        self.outputs",
        wrong: "        if self.me.is_some() {\n            return;\n        }\n        let status = self.own_status();\n        self.outputs",
        evidence: Evidence::SimulatorOnly,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn each_bug_has_one_place_in_the_source_as_it_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for bug in ALL {
            let source = std::fs::read_to_string(root.join(bug.file)).unwrap();
            assert!(bug.plant(&source).is_ok_and(|planted| planted != source), "{}", bug.name);
        }
        let names: BTreeSet<&str> = ALL.iter().map(|bug| bug.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
