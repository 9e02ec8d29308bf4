//! Nothing that a peer, a clock or a disk does makes the engine panic, and nothing makes it contradict itself.

use aegis_consensus::{Engine, Input, Message, Now, Output, PrePrepare, Record, Status};
use aegis_types::{
    BatchRef, BlockKind, Epoch, Executed, Hash, Header, Height, Signature, View, Vote, VoteKind,
};
use proptest::prelude::*;

use crate::support::cluster::Cluster;
use crate::support::effects::votes;
use crate::support::{GENESIS_MS, Net, batch, root};

/// A number that is often small, and sometimes at an edge.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..6_u64, 1 => Just(u64::MAX), 1 => Just(u64::MAX - 1), 1 => any::<u64>()]
}

fn epoch() -> impl Strategy<Value = Epoch> {
    prop_oneof![8 => Just(0), 1 => Just(1), 1 => any::<u64>()].prop_map(Epoch)
}

fn hash() -> impl Strategy<Value = Hash> {
    (0..3_u8).prop_map(|byte| Hash([byte; 32]))
}

fn block_kind() -> impl Strategy<Value = BlockKind> {
    prop_oneof![
        8 => Just(BlockKind::Normal),
        1 => Just(BlockKind::Closing),
        1 => hash().prop_map(|next_validators_hash| BlockKind::Handover { next_validators_hash }),
    ]
}

fn references(net: &Net) -> impl Strategy<Value = Vec<BatchRef>> + use<> {
    let author = net.id(0);
    prop::collection::vec((0..4_u64).prop_map(move |number| batch(author, number)), 0..3)
}

/// Headers from sensible to absurd; those on the genesis are often right.
fn header(net: &Net) -> BoxedStrategy<Header> {
    let (parent, validators_hash) = (net.genesis.hash(), net.set().hash());
    let proposers: Vec<_> = (0..4).map(|index| net.id(index)).collect();
    (
        (epoch(), number(), number(), 0..4_usize),
        prop_oneof![6 => Just(parent), 1 => hash()],
        references(net),
        prop_oneof![6 => Just(Height::ZERO), 1 => number().prop_map(Height)],
        block_kind(),
    )
        .prop_map(move |((epoch, height, time, proposer), parent, batches, executed, kind)| Header {
            epoch,
            height: Height(height),
            timestamp_ms: GENESIS_MS.saturating_add(time),
            parent,
            proposer: proposers[proposer],
            batches,
            executed: Executed { height: executed, state_root: root(executed) },
            validators_hash,
            kind,
        })
        .boxed()
}

fn vote_kind() -> impl Strategy<Value = VoteKind> {
    prop_oneof![Just(VoteKind::Prepare), Just(VoteKind::Commit)]
}

fn vote(net: &Net) -> BoxedStrategy<(usize, Vote)> {
    let net = net.clone();
    (0..4_usize, vote_kind(), number(), header(&net), any::<bool>())
        .prop_map(move |(index, kind, view, header, is_forged)| {
            let mut vote = net.vote(index, kind, view, &header);
            if is_forged {
                vote.signature = Signature([1; 64]);
            }
            (index, vote)
        })
        .boxed()
}

fn view_change(net: &Net) -> BoxedStrategy<(usize, Message)> {
    let net = net.clone();
    let blocks = prop::collection::vec((number(), header(&net), vote_kind()), 0..3);
    (0..4_usize, number(), number(), blocks, any::<bool>())
        .prop_map(move |(index, view, tip_height, blocks, has_tip)| {
            let mut blocks: Vec<_> =
                blocks.into_iter().map(|(view, header, kind)| net.certified(kind, view, &header)).collect();
            let tip = if has_tip { blocks.pop() } else { None };
            let mut message = net.view_change(index, view, tip, blocks);
            if tip_height < 3 {
                message.tip_height = Height(tip_height);
                message = message.signed(&net.keys[index], &net.domain);
            }
            (index, Message::ViewChange(message))
        })
        .boxed()
}

fn message(net: &Net) -> BoxedStrategy<(usize, Message)> {
    let (for_proposals, for_views) = (net.clone(), net.clone());
    prop_oneof![
        4 => vote(net).prop_map(|(index, vote)| (index, Message::Vote(vote))),
        1 => (0..4_usize, vote(net)).prop_map(|(from, (_, vote))| (from, Message::Testimony(vote))),
        4 => (number(), header(net)).prop_map(move |(view, header)| {
            let leader = for_proposals.leader(view);
            (leader, for_proposals.pre_prepare(view, &header))
        }),
        1 => (header(net), vote(net))
            .prop_map(|(header, (index, vote))| (index, Message::PrePrepare(PrePrepare { header, vote }))),
        2 => view_change(net),
        1 => (number(), prop::collection::vec(view_change(net), 0..4)).prop_map(move |(view, changes)| {
            let changes = changes
                .into_iter()
                .filter_map(|(_, message)| match message {
                    Message::ViewChange(message) => Some(message),
                    _ => None,
                })
                .collect();
            (for_views.leader(view), Message::NewView(for_views.new_view(view, changes)))
        }),
        1 => (epoch(), number(), number()).prop_map(|(epoch, view, height)| {
            (1, Message::Status(Status { epoch, view: View(view), height: Height(height) }))
        }),
    ]
    .boxed()
}

fn input(net: &Net) -> BoxedStrategy<Input> {
    let (for_messages, for_sync, author) = (net.clone(), net.clone(), net.id(0));
    prop_oneof![
        8 => message(net).prop_map(move |(index, message)| Input::Message {
            from: for_messages.id(index),
            message: Box::new(message),
        }),
        2 => (0..4_u64).prop_map(move |number| Input::BatchAvailable(batch(author, number))),
        1 => (1..5_u64).prop_map(|height| Input::Executed {
            height: Height(height),
            state_root: root(Height(height)),
            next_epoch: None,
        }),
        2 => (number(), header(net), vote_kind()).prop_map(move |(view, header, kind)| Input::Synced {
            certificate: Box::new(for_sync.certified(kind, view, &header).certificate),
            header: Box::new(header),
        }),
        2 => Just(Input::Tick),
    ]
    .boxed()
}

fn time() -> impl Strategy<Value = Now> {
    let step = prop_oneof![8 => 0..400_u64, 1 => Just(100_000_u64), 1 => Just(u64::MAX / 2)];
    let unix_ms = prop_oneof![8 => Just(GENESIS_MS), 1 => Just(0_u64), 1 => Just(u64::MAX)];
    (step, unix_ms).prop_map(|(monotonic_ms, unix_ms)| Now { monotonic_ms, unix_ms })
}

/// Votes of an engine must never contradict each other, and each must stand in an earlier record.
#[derive(Default)]
struct Watch {
    voted: Vec<Vote>,
    persisted: Vec<Vote>,
}

impl Watch {
    fn check(&mut self, outputs: &[Output]) {
        for output in outputs {
            if let Output::Persist(Record::Prepared { vote, .. } | Record::Committing { vote, .. }) = output {
                self.persisted.push(vote.clone());
            }
            for vote in votes(std::slice::from_ref(output)) {
                assert!(self.persisted.contains(&vote), "sent before it was durable: {vote:?}");
                assert!(self.voted.iter().all(|known| !known.content.contradicts(&vote.content)), "{vote:?}");
                self.voted.push(vote);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_inputs_is_survived_without_a_contradiction(
        me in 0..4_usize,
        inputs in {
            let net = Net::equal(4);
            prop::collection::vec((time(), input(&net)), 1..60)
        },
    ) {
        let net = Net::equal(4);
        let mut engine = net.engine(me);
        let mut watch = Watch::default();
        let mut monotonic_ms: u64 = 0;
        for (step, input) in inputs {
            monotonic_ms = monotonic_ms.saturating_add(step.monotonic_ms);
            let outputs = engine.handle(Now { monotonic_ms, unix_ms: step.unix_ms }, input);
            watch.check(&outputs);
            let _ = (engine.deadline(), engine.status(), engine.live_records());
        }
    }

    #[test]
    fn any_journal_is_survived(
        me in 0..4_usize,
        inputs in {
            let net = Net::equal(4);
            prop::collection::vec(message(&net), 0..20)
        },
    ) {
        let net = Net::equal(4);
        let records = inputs.into_iter().filter_map(|(_, message)| match message {
            Message::PrePrepare(PrePrepare { header, vote }) => Some(Record::Prepared { header, vote }),
            Message::ViewChange(message) => Some(Record::ViewChange(message)),
            Message::NewView(message) => Some(Record::NewView(message)),
            Message::Vote(vote) => {
                let header = net.header(0, None, &[]);
                let certificate = net.certified(VoteKind::Prepare, vote.content.view.0, &header).certificate;
                Some(Record::Committing { header, certificate, vote })
            }
            Message::Status(_) | Message::Testimony(_) => None,
        });
        let mut engine = Engine::recover(net.start(me, records.collect()));
        for at_ms in [10, 2_000, 200_000] {
            engine.handle(crate::support::now(at_ms), Input::Tick);
        }
    }

    #[test]
    fn random_bytes_are_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Message::decode(&bytes);
        let _ = Record::decode(&bytes);
    }
}

#[test]
fn damaged_messages_are_refused_or_survived() {
    let mut cluster = Cluster::new(&[1, 1, 1, 1], 11);
    cluster.run(1_200);
    let mut rng = crate::support::cluster::Rng(12);
    let net = &cluster.net;
    let mut engine = net.engine(0);
    let mut read = 0;
    for (from, message) in &cluster.sent {
        let mut bytes = message.encode();
        for _ in 0..8 {
            let position = rng.below(bytes.len());
            bytes[position] ^= 1 << rng.below(8);
            if let Ok(message) = Message::decode(&bytes) {
                read += 1;
                let input = Input::Message { from: net.id(*from), message: Box::new(message) };
                engine.handle(crate::support::now(10), input);
            }
            let _ = Message::decode(&bytes[..position]);
        }
    }
    assert!(read > 0, "some damage is seen only when signatures are checked");
}
