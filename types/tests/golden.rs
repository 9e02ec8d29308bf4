//! Golden bytes: what this version of the protocol writes, hashes and signs, byte for byte.
//!
//! Nodes agree on digests and signatures, so a change of one byte splits a network whose nodes run different versions.
//! The files in `tests/golden/` hold, for values made from fixed seeds, the canonical encoding, the hashes and names
//! computed from it, the bytes that a signature covers and the signature.
//!
//! When a change is meant, raise `aegis_types::crypto::PROTOCOL_VERSION` and write the files anew:
//!
//! ```text
//! AEGIS_GOLDEN=regenerate cargo test -p aegis-types --test golden
//! ```
//!
//! A regenerating run always fails, so that none passes for a check. Review the difference and run again without.

#[path = "golden/samples.rs"]
mod samples;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use aegis_types::{
    Batch, Canonical, Certificate, CommittedBlock, Genesis, Handover, Header, Kind, KvRecord, Proposal,
    ProposalBody, Purpose, StateProof, Subtree, ValidatorSet, Vote, VoteContent, state_tree,
};

const VARIABLE: &str = "AEGIS_GOLDEN";
const COMMAND: &str = "AEGIS_GOLDEN=regenerate cargo test -p aegis-types --test golden";

/// The pinned bytes of one file: lines of `value | aspect = hexadecimal bytes`, `#` starts a comment.
struct Golden {
    file: &'static str,
    lines: Vec<(String, String)>,
}

impl Golden {
    fn new(file: &'static str) -> Self {
        Self { file, lines: Vec::new() }
    }

    /// Pins one aspect of a value.
    fn pin(&mut self, value: &str, aspect: &str, bytes: impl AsRef<[u8]>) {
        self.lines.push((format!("{value} | {aspect}"), hex::encode(bytes)));
    }

    /// Pins a value's canonical encoding, and checks that the pinned bytes decode to the value.
    fn pin_value<T: Canonical + PartialEq + Debug>(&mut self, name: &str, value: &T) {
        self.pin(name, "encoding", value.encode());
        samples::assert_reads_back(value);
    }

    fn path(&self) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "tests", "golden", self.file].iter().collect()
    }

    /// Compares with the file, or writes it when the environment asks for that.
    fn check(self) {
        match std::env::var(VARIABLE) {
            Ok(word) if word == "regenerate" => self.regenerate(),
            Ok(word) => panic!("{VARIABLE}={word} is not known; the only word is `regenerate`"),
            Err(_) => self.compare(),
        }
    }

    fn regenerate(self) {
        let mut text = format!("# Written by: {COMMAND}\n# See tests/golden.rs.\n");
        for (name, bytes) in &self.lines {
            text.push_str(&format!("{name} = {bytes}\n"));
        }
        std::fs::write(self.path(), text).expect("the golden file can be written");
        panic!(
            "{} is written anew: review the difference, then run without {VARIABLE}",
            self.path().display()
        );
    }

    fn compare(self) {
        let path = self.path();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("{} cannot be read ({error}); restore it, or write it with: {COMMAND}", path.display())
        });
        let mut pinned: BTreeMap<&str, &str> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| line.rsplit_once(" = ").expect("a line is `value | aspect = bytes`"))
            .collect();
        for (name, actual) in &self.lines {
            let expected = pinned.remove(name.as_str()).unwrap_or_else(|| {
                panic!("`{name}` is not pinned in {}; pin it with: {COMMAND}", path.display())
            });
            assert!(
                actual == expected,
                "the encoding of `{name}` changed: nodes of two versions would disagree; if that is meant, raise \
                 PROTOCOL_VERSION in types/src/crypto.rs and regenerate with: {COMMAND}\n   pinned: {expected}\n   \
                 now:    {actual}"
            );
        }
        assert!(pinned.is_empty(), "{} pins what no test makes: {:?}", path.display(), pinned.keys());
    }
}

/// The value that the golden file has for a name, read from the file's bytes and from nothing else.
fn read_pinned<T: Canonical>(file: &'static str, name: &str) -> T {
    let text = std::fs::read_to_string(Golden::new(file).path()).expect("the golden file is there");
    let line = format!("{name} | encoding = ");
    let bytes = text.lines().find_map(|text| text.strip_prefix(&line)).expect("the value is pinned");
    T::decode(&hex::decode(bytes).expect("pinned bytes are hexadecimal")).expect("pinned bytes decode")
}

#[test]
fn proposals_of_every_kind_are_pinned() {
    let (mut golden, domain) = (Golden::new("proposals.txt"), samples::domain());
    for (name, body) in samples::bodies() {
        golden.pin(name, "body", body.encode());
        assert_eq!(ProposalBody::decode(body.kind(), &body.encode()).as_ref(), Ok(&body), "{name}");
        let proposal = samples::proposal(body);
        assert!(proposal.verify(&domain));
        golden.pin(name, "id", proposal.id().0);
        golden.pin(name, "request hash", proposal.request_hash().0);
        golden.pin(name, "signed bytes", proposal.signature_item(&domain).message);
        golden.pin(name, "signature", proposal.signature.0);
        golden.pin_value(name, &proposal);
    }
    let kinds: Vec<Kind> = samples::bodies().iter().map(|(_, body)| body.kind()).collect();
    assert!(Kind::ALL.iter().all(|kind| kinds.contains(kind)), "a kind has no sample");
    golden.check();
}

#[test]
fn votes_and_certificates_are_pinned() {
    let (mut golden, domain) = (Golden::new("votes.txt"), samples::domain());
    let votes = [
        ("prepare", samples::prepare()),
        ("commit", samples::commit()),
        ("first vote", samples::first_vote()),
    ];
    for (name, vote) in votes {
        assert!(vote.verify(&domain));
        golden.pin(name, "content", vote.content.encode());
        golden.pin(name, "signed bytes", domain.message(vote.content.kind.purpose(), &vote.content.encode()));
        golden.pin(name, "signature", vote.signature.0);
        golden.pin_value(name, &vote);
        samples::assert_reads_back(&vote.content);
    }
    let certificate = samples::certificate(&samples::header());
    certificate.verify(&samples::validators(), &domain).expect("the sample is a quorum");
    golden.pin_value("certificate", &certificate);
    golden.check();
}

#[test]
fn batches_headers_and_blocks_are_pinned() {
    let mut golden = Golden::new("blocks.txt");
    let batch = samples::batch();
    golden.pin_value("batch", &batch);
    golden.pin("batch", "digest", batch.digest().0);
    golden.pin_value("batch reference", &batch.reference());
    let headers = [
        ("header", samples::header()),
        ("first header", samples::first_header()),
        ("closing header", samples::closing_header()),
        ("handover header", samples::handover_header()),
    ];
    for (name, header) in headers {
        golden.pin_value(name, &header);
        golden.pin(name, "digest", header.digest().0);
    }
    golden.pin_value("committed block", &samples::committed_block());
    golden.pin_value("empty block", &samples::empty_block());
    golden.check();
}

#[test]
fn geneses_parameters_and_validator_sets_are_pinned() {
    let mut golden = Golden::new("genesis.txt");
    let geneses = [
        ("genesis", samples::genesis()),
        ("genesis of defaults", samples::genesis_of_defaults()),
        ("genesis of smallest parameters", samples::genesis_of_smallest_parameters()),
    ];
    for (name, genesis) in geneses {
        golden.pin_value(name, &genesis);
        golden.pin(name, "hash", genesis.hash().0);
    }
    let sets = [
        ("validator set", samples::validators()),
        ("largest weights", samples::largest_weights()),
        ("validator set with leaders", samples::led_validators()),
    ];
    for (name, set) in sets {
        golden.pin_value(name, &set);
        golden.pin(name, "hash", set.hash().0);
    }
    golden.check();
}

#[test]
fn proofs_handovers_and_the_hashes_of_the_state_tree_are_pinned() {
    let mut golden = Golden::new("proofs.txt");
    let record = samples::kv_record();
    golden.pin_value("kv record", &record);
    golden.pin("kv record", "state key", KvRecord::state_key("config/région"));
    golden.pin_value("state proof", &samples::state_proof());
    let handover = samples::handover();
    handover.verify(&samples::validators(), &samples::domain()).expect("the sample holds");
    golden.pin_value("certified header", &handover.block);
    golden.pin_value("handover", &handover);
    let leaves = samples::state_proof().leaves;
    golden.pin("state tree", "key hash", state_tree::key_hash(b"key").0);
    golden.pin("state tree", "value hash", state_tree::value_hash(b"value").0);
    golden.pin("state tree", "empty bucket", state_tree::bucket_hash(&[]).0);
    golden.pin("state tree", "bucket of two", state_tree::bucket_hash(&leaves).0);
    golden.pin("state tree", "node", state_tree::node_hash(&leaves[0].key, &leaves[1].key).0);
    let empty = Subtree::new(0, 0).expect("the whole tree").root_of([]).expect("nothing is in order");
    golden.pin("state tree", "empty root", empty.0);
    golden.check();
}

#[test]
fn the_domain_of_every_purpose_is_pinned() {
    let (mut golden, domain, keypair) =
        (Golden::new("signatures.txt"), samples::domain(), samples::keypair(4));
    golden.pin("keypair", "public key", keypair.validator_id().0);
    let purposes = [
        ("proposal", Purpose::Proposal),
        ("prepare", Purpose::Prepare),
        ("commit", Purpose::Commit),
        ("view change", Purpose::ViewChange),
        ("new view", Purpose::NewView),
        ("report", Purpose::Report),
    ];
    for (name, purpose) in purposes {
        golden.pin(name, "signed bytes", domain.message(purpose, b"content"));
        golden.pin(name, "signature", keypair.sign(&domain, purpose, b"content").0);
    }
    golden.check();
}

#[test]
fn pinned_bytes_decode_to_the_values_that_they_were_made_from() {
    for (name, body) in samples::bodies() {
        assert_eq!(read_pinned::<Proposal>("proposals.txt", name), samples::proposal(body));
    }
    assert_eq!(read_pinned::<Vote>("votes.txt", "commit"), samples::commit());
    assert_eq!(
        read_pinned::<Certificate>("votes.txt", "certificate"),
        samples::certificate(&samples::header())
    );
    assert_eq!(read_pinned::<Batch>("blocks.txt", "batch"), samples::batch());
    assert_eq!(read_pinned::<Header>("blocks.txt", "handover header"), samples::handover_header());
    assert_eq!(read_pinned::<CommittedBlock>("blocks.txt", "committed block"), samples::committed_block());
    assert_eq!(read_pinned::<Genesis>("genesis.txt", "genesis"), samples::genesis());
    assert_eq!(read_pinned::<StateProof>("proofs.txt", "state proof"), samples::state_proof());
    assert_eq!(read_pinned::<Handover>("proofs.txt", "handover"), samples::handover());
    assert_eq!(read_pinned::<ValidatorSet>("genesis.txt", "validator set"), samples::validators());
}

/// The encoding of one vote and the bytes that its signature covers, spelt by hand: what another implementation needs.
#[test]
fn a_vote_is_spelt_as_the_protocol_says() {
    let vote = samples::commit();
    let digest = [0xaa; 32];
    let mut content = vec![0x08, 2]; // field 1: Commit
    content.extend([0x10, 3]); // field 2: epoch 3
    content.extend([0x18, 0xac, 0x02]); // field 3: view 300
    content.extend([0x20, 0xf0, 0xa2, 0x04]); // field 4: height 70,000
    content.extend([0x2a, 32]); // field 5: digest
    content.extend(digest);
    assert_eq!(VoteContent::encode(&vote.content), content);

    let mut signed = b"aegis\0".to_vec();
    signed.extend([0, 0, 0, 1]); // protocol version
    signed.extend(b"aegis-golden-1\0");
    signed.extend(samples::genesis().hash().0);
    signed.extend(b"commit\0");
    signed.extend(content);
    assert_eq!(samples::domain().message(Purpose::Commit, &vote.content.encode()), signed);
}
