//! Scenarios of the key-value state.

mod support;

use aegis_ledger::{LedgerEvent, Outcome, RejectCode, query};
use support::{Chain, HOUR, cas, code, delete, envelope, put};

#[test]
fn a_put_is_read_back_with_version_and_height() {
    let mut chain = Chain::new(&[1]);
    let (_, outcome) = chain.submit(9, put("color", "red"));
    assert_eq!(outcome, Outcome::Applied { version: Some(1) });
    let entry = query::kv(&chain.state, "color").unwrap().unwrap();
    assert_eq!((entry.value.as_slice(), entry.version, entry.height.0), (b"red".as_slice(), 1, 1));
    let (_, outcome) = chain.submit(8, put("color", "blue"));
    assert_eq!(outcome, Outcome::Applied { version: Some(2) });
}

#[test]
fn compare_and_set_takes_only_the_current_version() {
    let mut chain = Chain::new(&[1]);
    assert_eq!(chain.submit(9, cas("a", 0, "one")).1, Outcome::Applied { version: Some(1) });
    assert_eq!(
        chain.submit(9, cas("a", 0, "two")).1,
        Outcome::rejected(RejectCode::VersionMismatch { actual: 1 })
    );
    assert_eq!(chain.submit(9, cas("a", 1, "two")).1, Outcome::Applied { version: Some(2) });
    assert_eq!(
        chain.submit(9, cas("b", 5, "x")).1,
        Outcome::rejected(RejectCode::VersionMismatch { actual: 0 })
    );
    assert_eq!(query::kv(&chain.state, "a").unwrap().unwrap().value, b"two");
    assert_eq!(query::kv(&chain.state, "b").unwrap(), None);
}

#[test]
fn a_key_that_is_removed_and_made_again_never_repeats_a_version() {
    let mut chain = Chain::new(&[1]);
    chain.submit(9, put("a", "1"));
    chain.submit(9, put("a", "2"));
    assert_eq!(chain.submit(9, delete("a")).1, Outcome::Applied { version: None });
    assert_eq!(code(&chain.submit(9, delete("a")).1), "not-found");
    // Versions 1 and 2 were values, 3 was the removal.
    assert_eq!(chain.submit(9, put("a", "3")).1, Outcome::Applied { version: Some(4) });
    assert_eq!(
        chain.submit(9, cas("a", 1, "late")).1,
        Outcome::rejected(RejectCode::VersionMismatch { actual: 4 })
    );
}

#[test]
fn proposals_of_one_block_see_each_other_in_order() {
    let mut chain = Chain::new(&[1]);
    let bodies = [put("a", "1"), cas("a", 1, "2"), delete("a"), cas("a", 0, "3")];
    let proposals = bodies.map(|body| chain.proposal(9, body)).to_vec();
    let applied = chain.block(proposals);
    let versions: Vec<_> = applied
        .events
        .iter()
        .map(|event| match event {
            LedgerEvent::KvChanged { version, value, .. } => (*version, value.clone()),
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    let value = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(versions, [(1, value("1")), (2, value("2")), (3, None), (4, value("3"))]);
    assert_eq!(applied.receipts.iter().map(|receipt| receipt.position).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn the_root_does_not_depend_on_the_order_of_writes_that_end_in_the_same_state() {
    let mut one = Chain::new(&[1]);
    let mut other = one.clone();
    let (expires, end) = (one.now + HOUR / 2, one.now + 3 * HOUR);
    let first = envelope(9, put("a", "1"), "k1", expires);
    let second = envelope(9, put("b", "2"), "k2", expires);
    one.block(vec![first.clone(), second.clone()]);
    other.block(vec![second, first]);
    assert_ne!(one.ledger.root(), other.ledger.root(), "the positions in the first results differ");
    // Once those are forgotten nothing is left of the order.
    for chain in [&mut one, &mut other] {
        chain.block_at(end + 24 * HOUR, Vec::new());
    }
    assert_eq!(one.state, other.state);
    assert_eq!(one.ledger.root(), other.ledger.root());
}

#[test]
fn keys_are_listed_by_prefix_in_pages() {
    let mut chain = Chain::new(&[1]);
    for key in ["b/2", "a", "b/1", "b/3", "c"] {
        chain.submit(9, put(key, "x"));
    }
    let page = query::kv_list(&chain.state, "b/", None, 2).unwrap();
    assert_eq!(page.items.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["b/1", "b/2"]);
    let rest = query::kv_list(&chain.state, "b/", page.next.as_deref(), 2).unwrap();
    assert_eq!(rest.items.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["b/3"]);
    assert_eq!(rest.next, None);
    assert_eq!(query::kv_list(&chain.state, "", None, 10).unwrap().items.len(), 5);
}

#[test]
fn a_page_of_large_values_ends_early() {
    let mut chain = Chain::new(&[1]);
    let large = "x".repeat(60_000);
    for n in 0..40 {
        chain.submit(9, put(&format!("{n:02}"), &large));
    }
    let page = query::kv_list(&chain.state, "", None, 1_000).unwrap();
    assert_eq!(page.items.len(), query::PAGE_BYTES_MAX.div_ceil(60_000));
    assert!(page.next.is_some());
}
