//! A light client against networks whose every key is at hand: what it accepts, and what a forger may try.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aegis_light::{LightClient, LightError, ProofFile};
use aegis_types::state_tree::{BUCKETS, Leaf, bucket_hash, bucket_of, key_hash, node_hash};
use aegis_types::{
    BlockKind, Canonical, Certificate, CertifiedHeader, Epoch, Executed, Genesis, Handover, Hash, Header,
    Height, Keypair, KvRecord, Member, Parameters, StateProof, TypesError, ValidatorSet, View, Vote,
    VoteContent, VoteKind, Weight,
};
use proptest::prelude::*;
use proptest::sample::Index;

fn keypair(n: u8) -> Keypair {
    Keypair::from_seed(&[n; 32])
}

fn set(epoch: u64, members: &[(u8, u64)]) -> ValidatorSet {
    let member =
        |(n, weight): &(u8, u64)| Member { validator: keypair(*n).validator_id(), weight: Weight(*weight) };
    ValidatorSet::new(Epoch(epoch), members.iter().map(member).collect()).unwrap()
}

/// The sets of four epochs: members come, go and change their weight, so that no set of an epoch is one of another.
const EPOCHS: [&[(u8, u64)]; 4] = [
    &[(1, 3), (2, 3), (3, 2), (4, 2)],
    &[(1, 2), (2, 3), (3, 3), (5, 2)],
    &[(2, 1), (3, 1), (5, 1), (6, 1)],
    &[(2, 5), (5, 5), (6, 5), (7, 5)],
];

/// A network with its keys, and a state that everybody has.
struct Net {
    genesis: Genesis,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// All nodes of the tree over the entries; node 1 is the root.
    nodes: Vec<Hash>,
}

impl Net {
    fn new() -> Self {
        let genesis = Genesis {
            chain: "aegis-light-1".parse().unwrap(),
            timestamp_ms: 1_000,
            validators: set(0, EPOCHS[0]),
            parameters: Parameters::default(),
        };
        let record = KvRecord { version: 2, height: Height(5), value: b"hello".to_vec() };
        let binary = KvRecord { version: 1, height: Height(6), value: vec![0xff, 0] };
        let entries = [("greeting", record), ("binary", binary)];
        let entries = entries.map(|(key, record)| (KvRecord::state_key(key), record.encode()));
        Self { genesis, nodes: Self::tree(&entries.clone().into()), entries: entries.into() }
    }

    fn tree(entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<Hash> {
        let mut buckets = vec![Vec::new(); BUCKETS];
        for (key, value) in entries {
            let leaf = Leaf::of(key, value);
            buckets[bucket_of(&leaf.key)].push(leaf);
        }
        let mut nodes = vec![Hash::ZERO; BUCKETS];
        nodes.extend(buckets.iter().map(|leaves| bucket_hash(leaves)));
        for position in (1..BUCKETS).rev() {
            nodes[position] = node_hash(&nodes[2 * position], &nodes[2 * position + 1]);
        }
        nodes
    }

    fn prove(&self, key: &[u8]) -> StateProof {
        let bucket = bucket_of(&key_hash(key));
        let leaves = self.entries.iter().map(|(key, value)| Leaf::of(key, value));
        let leaves = leaves.filter(|leaf| bucket_of(&leaf.key) == bucket).collect();
        let mut position = BUCKETS + bucket;
        let siblings = [(); 16].map(|()| {
            let sibling = self.nodes[position ^ 1];
            position /= 2;
            sibling
        });
        StateProof { leaves, siblings }
    }

    fn header(&self, epoch: u64, kind: BlockKind) -> Header {
        Header {
            epoch: Epoch(epoch),
            height: Height(100 * (epoch + 1)),
            timestamp_ms: 1_000_000 * (epoch + 1),
            parent: Hash([3; 32]),
            proposer: keypair(2).validator_id(),
            batches: Vec::new(),
            executed: Executed { height: Height(100 * (epoch + 1) - 2), state_root: self.nodes[1] },
            validators_hash: set(epoch, EPOCHS[epoch as usize]).hash(),
            kind,
        }
    }

    /// A header with the votes of `signers`, made for the set of the header's epoch.
    fn sign(&self, header: Header, kind: VoteKind, signers: &[u8]) -> CertifiedHeader {
        let epoch = header.epoch;
        let content =
            VoteContent { kind, epoch, view: View(1), height: header.height, digest: header.digest() };
        let set = set(epoch.0, EPOCHS[epoch.0 as usize]);
        let mut signatures: Vec<_> = signers
            .iter()
            .filter_map(|n| {
                let vote = Vote::sign(content, &keypair(*n), &self.genesis.domain());
                Some((u32::try_from(set.index_of(&vote.validator)?).unwrap(), vote.signature))
            })
            .collect();
        signatures.sort();
        CertifiedHeader { header, certificate: Certificate { content, signatures } }
    }

    fn members(epoch: u64) -> Vec<u8> {
        EPOCHS[epoch as usize].iter().map(|(n, _)| *n).collect()
    }

    fn certified(&self, epoch: u64) -> CertifiedHeader {
        self.sign(self.header(epoch, BlockKind::Normal), VoteKind::Commit, &Self::members(epoch)[..3])
    }

    fn handover_to(&self, epoch: u64, next: ValidatorSet, signers: &[u8]) -> Handover {
        let kind = BlockKind::Handover { next_validators_hash: next.hash() };
        Handover { block: self.sign(self.header(epoch, kind), VoteKind::Commit, signers), next }
    }

    fn handover(&self, epoch: u64) -> Handover {
        self.handover_to(epoch, set(epoch + 1, EPOCHS[epoch as usize + 1]), &Self::members(epoch)[..3])
    }

    fn proof_file(&self, epoch: u64, key: &str) -> ProofFile {
        let state_key = KvRecord::state_key(key);
        ProofFile {
            chain: self.genesis.chain.clone(),
            genesis: self.genesis.hash(),
            handovers: (0..epoch).map(|epoch| self.handover(epoch)).collect(),
            certified: self.certified(epoch),
            key: key.to_owned(),
            record: self.entries.get(&state_key).cloned(),
            proof: self.prove(&state_key),
        }
    }
}

fn reason(error: LightError) -> String {
    error.to_string()
}

#[test]
fn a_client_follows_every_epoch_and_checks_headers_of_the_one_it_has_reached() {
    let net = Net::new();
    let mut client = LightClient::new(&net.genesis);
    for epoch in 0..3 {
        let state = client.verify_header(&net.certified(epoch)).unwrap();
        assert_eq!((state.epoch(), state.certified_by()), (Epoch(epoch), Height(100 * (epoch + 1))));
        assert!(state.weight() >= state.quorum() && state.signers().len() == 3);
        assert!(matches!(
            client.verify_header(&net.certified(epoch + 1)),
            Err(LightError::WrongEpoch { what: "header", expected, .. }) if expected == Epoch(epoch)
        ));
        client.follow(&net.handover(epoch)).unwrap();
        assert_eq!(client.validators(), &set(epoch + 1, EPOCHS[epoch as usize + 1]));
    }
    assert!(client.verify_header(&net.certified(2)).is_err(), "its validators are no longer in office");
    let resumed = LightClient::resume(&net.genesis, client.validators().clone());
    assert_eq!(resumed.verify_header(&net.certified(3)), client.verify_header(&net.certified(3)));
}

#[test]
fn no_handover_can_be_skipped_repeated_or_taken_out_of_order() {
    let net = Net::new();
    let mut client = LightClient::new(&net.genesis);
    let wrong = |client: &mut LightClient, epoch| {
        let before = client.clone();
        assert!(matches!(
            client.follow(&net.handover(epoch)),
            Err(LightError::WrongEpoch { what: "handover", actual, .. }) if actual == Epoch(epoch)
        ));
        assert_eq!(*client, before);
    };
    wrong(&mut client, 1);
    client.follow(&net.handover(0)).unwrap();
    wrong(&mut client, 0);
    wrong(&mut client, 2);
    let skipping = [net.handover(1), net.handover(0)];
    assert!(LightClient::new(&net.genesis).follow_all(&skipping).is_err());
}

#[test]
fn forged_handovers_are_refused_and_leave_the_client_where_it_was() {
    let net = Net::new();
    let good = net.handover(0);
    let usurpers = set(1, &[(50, 1), (51, 1), (52, 1), (53, 1)]);
    let two_thirds_short = net.handover_to(0, usurpers.clone(), &[1, 3]);
    let by_the_usurpers = net.handover_to(0, usurpers.clone(), &[50, 51, 52, 53]);
    let twice = {
        let mut forged = net.handover_to(0, usurpers.clone(), &[1, 3]);
        let signature = forged.block.certificate.signatures[0];
        forged.block.certificate.signatures.insert(0, signature);
        forged
    };
    let prepared = {
        let header = good.block.header.clone();
        Handover { block: net.sign(header, VoteKind::Prepare, &[1, 2, 3, 4]), next: good.next.clone() }
    };
    let normal_block = Handover { block: net.certified(0), next: good.next.clone() };
    let other_set = Handover { next: usurpers.clone(), ..good.clone() };
    let later_epoch = net.handover_to(0, set(2, EPOCHS[2]), &[1, 2, 3, 4]);
    let of_other_header = {
        let mut forged = net.handover_to(0, usurpers, &[1, 2, 3, 4]);
        forged.block.certificate = good.block.certificate.clone();
        forged
    };
    let of_other_validators = {
        let mut header = good.block.header.clone();
        header.validators_hash = set(0, EPOCHS[1]).hash();
        Handover { block: net.sign(header, VoteKind::Commit, &[1, 2, 3, 4]), next: good.next.clone() }
    };
    let of_other_chain = {
        let mut other = Net::new();
        other.genesis.timestamp_ms += 1;
        other.handover(0)
    };
    let forgeries = [
        (two_thirds_short, "carries weight 5, a quorum needs 7"),
        (by_the_usurpers, "carries weight 0, a quorum needs 7"),
        (twice, "not in order, or one signs twice"),
        (prepared, "they are no commits"),
        (normal_block, "does not end an epoch"),
        (other_set, "names another set of next validators"),
        (later_epoch, "epoch 2 does not follow epoch 0"),
        (of_other_header, "for another block than the header"),
        (of_other_validators, "names another validator set than its epoch's"),
        (of_other_chain, "signature of the certificate is not valid"),
    ];
    let mut client = LightClient::new(&net.genesis);
    for (forged, expected) in forgeries {
        let refused = reason(client.follow(&forged).unwrap_err());
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(client, LightClient::new(&net.genesis));
    }
    client.follow(&good).unwrap();
}

#[test]
fn values_and_absences_are_proved_in_every_epoch() {
    let net = Net::new();
    for epoch in 0..4 {
        for key in ["greeting", "binary", "absent"] {
            let file = net.proof_file(epoch, key);
            let read = ProofFile::parse(file.to_json().unwrap().as_bytes()).unwrap();
            assert_eq!(read, file);
            let verified = read.verify(&net.genesis).unwrap();
            let expected = file.record.as_deref().map(|record| KvRecord::decode(record).unwrap());
            assert_eq!((verified.key.as_str(), &verified.record), (key, &expected));
            assert_eq!(verified.state.executed().height, Height(100 * (epoch + 1) - 2));
            assert_eq!(verified.state.certified_ms(), 1_000_000 * (epoch + 1));
        }
    }
}

#[test]
fn a_proof_says_nothing_about_another_key_value_network_or_state() {
    let net = Net::new();
    let good = net.proof_file(2, "greeting");
    let refusal = |file: &ProofFile| reason(file.verify(&net.genesis).unwrap_err());
    let other_key = ProofFile { key: "absent".into(), ..good.clone() };
    assert!(refusal(&other_key).contains("for another key"), "{}", refusal(&other_key));
    let value = KvRecord { version: 2, height: Height(5), value: b"hullo".to_vec() };
    let other_value = ProofFile { record: Some(value.encode()), ..good.clone() };
    assert!(refusal(&other_value).contains("for another value"), "{}", refusal(&other_value));
    let denied = ProofFile { record: None, ..good.clone() };
    assert!(refusal(&denied).contains("no value is given"), "{}", refusal(&denied));
    let invented = ProofFile { record: good.record.clone(), ..net.proof_file(2, "absent") };
    assert!(refusal(&invented).contains("does not exist"), "{}", refusal(&invented));
    let mut other_state = Net::new();
    other_state.entries.insert(KvRecord::state_key("more"), value.encode());
    other_state.nodes = Net::tree(&other_state.entries);
    let other_state =
        ProofFile { proof: other_state.prove(&KvRecord::state_key("greeting")), ..good.clone() };
    assert!(refusal(&other_state).contains("state root"), "{}", refusal(&other_state));
    let mut without_an_epoch = good.clone();
    without_an_epoch.handovers.remove(1);
    assert!(refusal(&without_an_epoch).contains("of epoch 2"), "{}", refusal(&without_an_epoch));
    let mut elsewhere = net.genesis.clone();
    elsewhere.timestamp_ms += 1;
    assert!(matches!(good.verify(&elsewhere), Err(LightError::OtherGenesis { .. })));
}

#[test]
fn what_is_no_proof_file_is_refused_with_the_reason() {
    let json = Net::new().proof_file(1, "greeting").to_json().unwrap();
    let refusal = |json: &str| reason(ProofFile::parse(json.as_bytes()).unwrap_err());
    let spoilt = |from: &str, to: &str| {
        assert!(json.contains(from), "{from}");
        refusal(&json.replacen(from, to, 1))
    };
    assert!(refusal("").contains("cannot be read"));
    assert!(spoilt("aegis-proof", "aegis-\\u001b").contains("its format is `aegis-\\u{1b}`"));
    assert!(
        spoilt("\"version\": 1", "\"version\": 2").contains("has version 2; this program reads version 1")
    );
    assert!(spoilt("\"key\"", "\"kye\"").contains("unknown field `kye`"));
    assert!(spoilt("\"hello\"", "\"hullo\"").contains("says something else"));
    assert!(spoilt("\"version\": 2", "\"version\": 3").contains("says something else"));
    assert!(spoilt("\"proof_base64\": \"", "\"proof_base64\": \"*").contains("`proof_base64` is no base64"));
    assert!(spoilt("\"handovers_base64\": [", "\"handovers_base64\": [\"\",").contains("`handovers_base64`"));
    let long = " ".repeat(ProofFile::BYTES_MAX + 1);
    assert!(matches!(ProofFile::parse(long.as_bytes()), Err(LightError::FileTooLarge { .. })));
}

#[test]
fn a_record_that_is_none_is_not_written() {
    let file = ProofFile { record: Some(vec![0xff]), ..Net::new().proof_file(0, "greeting") };
    assert!(matches!(file.to_json(), Err(LightError::BadFile { .. })));
    let refused = file.verify(&Net::new().genesis);
    assert!(matches!(refused, Err(LightError::NotProved { reason: TypesError::Invalid { .. } })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_byte_of_a_file_is_changed_it_proves_the_same_or_nothing(at in any::<Index>(), bit in 0..8_u8, absent in any::<bool>()) {
        static FILES: LazyLock<(Genesis, [String; 2])> = LazyLock::new(|| {
            let net = Net::new();
            let files = ["absent", "greeting"].map(|key| net.proof_file(2, key).to_json().unwrap());
            (net.genesis, files)
        });
        let (genesis, files) = &*FILES;
        let mut json = files[usize::from(!absent)].clone().into_bytes();
        let verified = ProofFile::parse(&json).unwrap().verify(genesis).unwrap();
        let at = at.index(json.len());
        json[at] ^= 1 << bit;
        // Space around JSON values means nothing, so a change may be none.
        if let Ok(found) = ProofFile::parse(&json).and_then(|file| file.verify(genesis)) {
            // In a tree that is almost empty two absent keys may have one proof: both are absent.
            if found.key != verified.key {
                prop_assert_eq!((&found.record, &found.state), (&None, &verified.state));
            } else {
                prop_assert_eq!(found, verified);
            }
        }
    }
}
