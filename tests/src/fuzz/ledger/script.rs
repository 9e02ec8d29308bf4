//! From bytes to blocks.

use aegis_types::{
    BlockKind, CommittedBlock, Epoch, Genesis, Hash, Height, Keypair, Member, Parameter, Parameters,
    Proposal, ProposalBody, ProposalId, Signature, ValidatorId, ValidatorSet, View, Vote, VoteContent,
    VoteKind, Weight,
};

use super::super::bytes_source::Choices;
use super::chain::Chain;

/// Blocks of one script.
const BLOCKS_MAX: usize = 40;
/// Proposals of one block.
const PROPOSALS_MAX: usize = 12;
/// Proposals and ids that are kept for later choices.
const KEPT_MAX: usize = 64;
/// Accounts and validators; the first few are validators of the genesis.
const KEYS: usize = 9;

const START_MS: u64 = 1_800_000_000_000;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
/// Steps of agreed time from block to block.
const STEPS_MS: [u64; 8] = [1, SECOND, 60 * SECOND, HOUR, HOUR + 1, DAY, 31 * DAY, 1 << 40];
/// How far ahead a proposal's expiry lies; `u64::MAX` and 0 are told apart from these by the caller.
const EXPIRIES_MS: [u64; 6] = [HOUR / 2, HOUR, 1, HOUR + 1, 0, 1 << 60];

/// Plays the script that the choices make, and returns the chain as it is then.
///
/// # Panics
/// When the ledger breaks a rule.
pub fn play(mut choices: Choices<'_>) -> Chain {
    let genesis = genesis(&mut choices);
    let chain = Chain::new(genesis);
    let mut script = Script { chain, choices: Choices::new(&[]), made: Vec::new(), ids: Vec::new() };
    for _ in 0..BLOCKS_MAX {
        if choices.is_over() {
            break;
        }
        script.block(&mut choices);
    }
    script.chain
}

fn keypair(n: usize) -> Keypair {
    Keypair::from_seed(&[u8::try_from(n % KEYS).expect("a small number") + 1; 32])
}

fn genesis(choices: &mut Choices<'_>) -> Genesis {
    let weights: &[u64] = [&[1, 1, 1, 1][..], &[10, 10, 10, 10, 14], &[5], &[1 << 32; 4]][choices.below(4)];
    let mut parameters = Parameters::default();
    if choices.once_in(2) {
        // Small bounds are reached by short scripts.
        for parameter in
            [Parameter::OpenVotesMax, Parameter::VotingPeriodMs, Parameter::IdempotencyRetentionMs]
        {
            parameters.set(parameter, parameter.range().min).expect("the least value is within the range");
        }
    }
    let member =
        |(n, weight): (usize, &u64)| Member { validator: keypair(n).validator_id(), weight: Weight(*weight) };
    Genesis {
        chain: "aegis-fuzz".parse().expect("a chain id"),
        timestamp_ms: START_MS,
        validators: ValidatorSet::new(Epoch::ZERO, weights.iter().enumerate().map(member).collect())
            .expect("a valid set"),
        parameters,
    }
}

struct Script<'a> {
    chain: Chain,
    /// Those of the present block or proposal.
    choices: Choices<'a>,
    /// Proposals that blocks had already.
    made: Vec<Proposal>,
    /// Their ids.
    ids: Vec<ProposalId>,
}

impl<'a> Script<'a> {
    fn block(&mut self, choices: &mut Choices<'a>) {
        let mut block_choices = choices.step();
        let is_closing = block_choices.once_in(4);
        let now_ms = self.chain.ledger.timestamp_ms();
        let timestamp_ms = now_ms.saturating_add(block_choices.of(&STEPS_MS));
        let count = block_choices.below(PROPOSALS_MAX + 1);
        let mut proposals = Vec::new();
        for _ in 0..count {
            self.choices = choices.step();
            proposals.extend(self.proposal(timestamp_ms));
        }
        self.choices = block_choices;
        let is_spoilt = self.choices.once_in(16);
        if let Some(proposal) = proposals.first() {
            let text = self.choices.text(4);
            self.chain.ask(proposal, timestamp_ms, &text);
        }
        let kind = if is_closing { BlockKind::Closing } else { BlockKind::Normal };
        let mut block = self.chain.next_block(kind, timestamp_ms, proposals);
        if is_spoilt {
            self.spoil(&mut block);
        }
        let Ok(applied) = self.chain.apply(&block) else { return };
        if let Some(next) = applied.next_epoch {
            let kind = BlockKind::Handover { next_validators_hash: next.validators.hash() };
            let now_ms = self.chain.ledger.timestamp_ms();
            let handover = self.chain.next_block(kind, now_ms.saturating_add(1), Vec::new());
            let is_at_the_end = now_ms == u64::MAX;
            assert!(self.chain.apply(&handover).is_ok() || is_at_the_end, "a right handover is refused");
        }
    }

    fn spoil(&mut self, block: &mut CommittedBlock) {
        let number = self.choices.number();
        let header = &mut block.header;
        match self.choices.below(5) {
            0 => header.height = Height(number),
            1 => header.epoch = Epoch(number),
            2 => header.timestamp_ms = number,
            3 => header.kind = BlockKind::Handover { next_validators_hash: Hash([1; 32]) },
            _ => {
                header.kind =
                    BlockKind::Handover { next_validators_hash: self.chain.ledger.validators().hash() }
            }
        }
    }

    /// A proposal whose body is well formed; none when the bytes make no such body.
    fn proposal(&mut self, timestamp_ms: u64) -> Option<Proposal> {
        if self.choices.once_in(6) {
            let at = self.choices.below(self.made.len().max(1));
            return self.made.get(at).cloned();
        }
        let account = keypair(self.choices.below(KEYS)).account_id();
        let idempotency_key = match self.choices.below(4) {
            0 => format!("key {}", self.made.len()),
            _ => format!("key {}", self.choices.below(6)),
        };
        let expires_at_ms = timestamp_ms.saturating_add(self.choices.of(&EXPIRIES_MS));
        let body = self.body();
        body.check().ok()?;
        let proposal =
            Proposal { account, body, expires_at_ms, idempotency_key, signature: Signature([0; 64]) };
        if self.made.len() < KEPT_MAX {
            self.made.push(proposal.clone());
            self.ids.push(proposal.id());
        }
        Some(proposal)
    }

    fn key(&mut self) -> String {
        if self.choices.once_in(8) { self.choices.text(40) } else { format!("k{}", self.choices.below(4)) }
    }

    fn validator(&mut self) -> ValidatorId {
        keypair(self.choices.below(KEYS)).validator_id()
    }

    fn body(&mut self) -> ProposalBody {
        match self.choices.below(10) {
            0 | 1 => ProposalBody::KvPut { key: self.key(), value: self.choices.bytes(64).to_vec() },
            2 => ProposalBody::KvDelete { key: self.key() },
            3 => ProposalBody::KvCas {
                key: self.key(),
                expected_version: self.choices.number(),
                value: self.choices.bytes(16).to_vec(),
            },
            4 => ProposalBody::Text { title: "t".into(), text: self.choices.text(16) },
            5 => self.parameter(),
            6 => ProposalBody::ValidatorAdd {
                validator: self.validator(),
                weight: Weight(self.choices.number().clamp(1, Weight::MAX.0)),
            },
            7 => ProposalBody::ValidatorRemove { validator: self.validator() },
            8 => {
                let at = self.choices.below(self.ids.len().max(1));
                let proposal = self.ids.get(at).copied().unwrap_or(Hash([9; 32]));
                ProposalBody::ProposalVote { proposal, approve: !self.choices.once_in(5) }
            }
            _ => self.evidence(),
        }
    }

    fn parameter(&mut self) -> ProposalBody {
        let parameter = self.choices.of(&Parameter::ALL);
        let range = parameter.range();
        let value = match self.choices.below(5) {
            0 => range.min.to_string(),
            1 => range.max.to_string(),
            2 => range.default.to_string(),
            3 => self.choices.number().to_string(),
            _ => self.choices.text(12),
        };
        let name = if self.choices.once_in(12) { self.choices.text(12) } else { parameter.name().to_owned() };
        ProposalBody::ParamSet { name, value }
    }

    fn evidence(&mut self) -> ProposalBody {
        let key = keypair(self.choices.below(KEYS));
        let current = self.chain.ledger.epoch();
        let epoch = self.choices.of(&[current, current.previous(), current.next(), Epoch(u64::MAX)]);
        let kind = self.choices.of(&[VoteKind::Prepare, VoteKind::Commit]);
        let domain = self.chain.genesis.domain();
        let sign = |digest| {
            let content =
                VoteContent { kind, epoch, view: View(1), height: Height(7), digest: Hash([digest; 32]) };
            Vote::sign(content, &key, &domain)
        };
        let (first, mut second) = (sign(1), sign(2));
        if self.choices.once_in(4) {
            second.signature = Signature([1; 64]);
        }
        ProposalBody::Evidence { first: Box::new(first), second: Box::new(second) }
    }
}
