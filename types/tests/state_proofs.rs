//! State proofs and subtrees against the tree as its definition says, and what a forger may try.

use std::collections::BTreeMap;

use aegis_types::state_tree::Leaf;
use aegis_types::subtree::root_of_subtrees;
use aegis_types::{Hash, StateProof, Subtree, TypesError};
use proptest::prelude::*;
use proptest::sample::Index;

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;
/// Key hash, key and value of each entry of a subtree.
type Part<'a> = Vec<([u8; 32], &'a [u8], &'a [u8])>;

fn keyed(label: &str, bytes: &[u8]) -> [u8; 32] {
    let mut key = [b'.'; 32];
    key[..label.len()].copy_from_slice(label.as_bytes());
    blake3::keyed_hash(&key, bytes).into()
}

/// The tree with every node, spelt out: it shares nothing with the code that is judged.
struct Tree {
    buckets: Vec<Vec<([u8; 32], [u8; 32])>>,
    rows: Vec<Vec<[u8; 32]>>,
}

impl Tree {
    fn new(entries: &Entries) -> Self {
        let mut buckets = vec![Vec::new(); 1 << 16];
        for (key, value) in entries {
            let key = keyed("aegis v1 state key", key);
            buckets[usize::from(key[0]) * 256 + usize::from(key[1])]
                .push((key, keyed("aegis v1 state value", value)));
        }
        let mut bottom = Vec::new();
        for bucket in &mut buckets {
            bucket.sort_unstable();
            let mut bytes = u32::try_from(bucket.len()).unwrap().to_be_bytes().to_vec();
            for (key, value) in bucket {
                bytes.extend(keyed("aegis v1 state leaf", &[*key, *value].concat()));
            }
            bottom.push(keyed("aegis v1 state bucket", &bytes));
        }
        let mut rows = vec![bottom];
        while rows[rows.len() - 1].len() > 1 {
            let row = &rows[rows.len() - 1];
            rows.push(row.chunks(2).map(|pair| keyed("aegis v1 state node", &pair.concat())).collect());
        }
        Self { buckets, rows }
    }

    fn root(&self) -> Hash {
        Hash(self.rows[16][0])
    }

    fn prove(&self, key: &[u8]) -> StateProof {
        let key = keyed("aegis v1 state key", key);
        let bucket = usize::from(key[0]) * 256 + usize::from(key[1]);
        let leaf = |(key, value): &([u8; 32], [u8; 32])| Leaf { key: Hash(*key), value: Hash(*value) };
        let mut level = 0;
        let siblings = [(); 16].map(|()| {
            let sibling = self.rows[level][(bucket >> level) ^ 1];
            level += 1;
            Hash(sibling)
        });
        StateProof { leaves: self.buckets[bucket].iter().map(leaf).collect(), siblings }
    }
}

fn entries() -> impl Strategy<Value = Entries> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..5);
    prop::collection::btree_map(bytes(), bytes(), 0..40)
}

/// Two keys of one bucket.
fn neighbours() -> (Vec<u8>, Vec<u8>) {
    let bucket = |number: u32| keyed("aegis v1 state key", &number.to_be_bytes())[..2].to_vec();
    let first = bucket(0);
    let other = (1..).find(|number| bucket(*number) == first).expect("one of some 65,536 collides");
    (0_u32.to_be_bytes().to_vec(), other.to_be_bytes().to_vec())
}

proptest! {
    // A tree by its definition takes 131,071 hashes.
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_key_is_proved_to_have_its_value_and_every_other_to_be_absent(entries in entries(), strangers in prop::collection::vec(any::<[u8; 6]>(), 8)) {
        let tree = Tree::new(&entries);
        for (key, value) in &entries {
            let proof = tree.prove(key);
            proof.verify_value(&tree.root(), key, Some(value)).unwrap();
            prop_assert!(proof.verify_value(&tree.root(), key, None).is_err());
            prop_assert!(proof.verify_value(&tree.root(), key, Some(&[value.as_slice(), b"x"].concat())).is_err());
        }
        for key in &strangers {
            let proof = tree.prove(key);
            prop_assert_eq!(proof.verify(&tree.root(), key), Ok(None));
            prop_assert!(proof.verify_value(&tree.root(), key, Some(b"value")).is_err());
        }
    }

    #[test]
    fn no_proof_survives_any_change(entries in entries(), key in any::<Index>(), at in any::<Index>(), bit in 0..8_u8) {
        prop_assume!(!entries.is_empty());
        let tree = Tree::new(&entries);
        let key = entries.keys().nth(key.index(entries.len())).unwrap();
        let proof = tree.prove(key);
        let bytes = (proof.leaves.len() * 2 + 16) * 32;
        let at = at.index(bytes);
        let mut forged = proof.clone();
        let hash = match at / 32 {
            part if part < 16 => &mut forged.siblings[part],
            part if part % 2 == 0 => &mut forged.leaves[part / 2 - 8].key,
            part => &mut forged.leaves[part / 2 - 8].value,
        };
        hash.0[at % 32] ^= 1 << bit;
        prop_assert!(forged.verify(&tree.root(), key).is_err());
        let mut shorter = proof.clone();
        shorter.leaves.pop();
        prop_assert!(shorter.verify(&tree.root(), key).is_err());
        let mut longer = proof.clone();
        longer.leaves.push(*longer.leaves.last().unwrap());
        prop_assert!(longer.verify(&tree.root(), key).is_err());
        prop_assert!(proof.verify(&Hash([9; 32]), key).is_err());
    }

    #[test]
    fn the_subtrees_of_any_level_give_the_root(entries in entries(), level in 0..=16_u32) {
        let tree = Tree::new(&entries);
        let mut parts: BTreeMap<Subtree, Part<'_>> = BTreeMap::new();
        for (key, value) in &entries {
            let part = Subtree::of_key(level, key).unwrap();
            parts.entry(part).or_default().push((keyed("aegis v1 state key", key), key, value));
        }
        let mut roots = Vec::new();
        for index in 0..Subtree::count(level).unwrap() {
            let subtree = Subtree::new(level, index).unwrap();
            let mut part = parts.remove(&subtree).unwrap_or_default();
            part.sort_unstable();
            roots.push(subtree.root_of(part.iter().map(|(_, key, value)| (*key, *value))).unwrap());
        }
        prop_assert!(parts.is_empty());
        prop_assert_eq!(root_of_subtrees(&roots), Ok(tree.root()));
        prop_assert_eq!(&roots[0].0, &tree.rows[16 - level as usize][0]);
    }
}

#[test]
fn a_neighbour_in_the_bucket_cannot_be_hidden_or_passed_off() {
    let (here, other) = neighbours();
    let tree = Tree::new(&[(here.clone(), b"1".to_vec()), (other.clone(), b"2".to_vec())].into());
    let proof = tree.prove(&here);
    assert_eq!(proof, tree.prove(&other));
    proof.verify_value(&tree.root(), &here, Some(b"1")).unwrap();
    assert!(proof.verify_value(&tree.root(), &here, Some(b"2")).is_err());
    let mut hidden = proof.clone();
    hidden.leaves.remove(0);
    assert!(hidden.verify(&tree.root(), &here).is_err() && hidden.verify(&tree.root(), &other).is_err());
    let mut swapped = proof.clone();
    swapped.leaves.swap(0, 1);
    let refused = swapped.verify(&tree.root(), &here).unwrap_err().to_string();
    assert!(refused.contains("not in order"), "{refused}");
    let refused = proof.verify(&tree.root(), b"elsewhere").unwrap_err().to_string();
    assert!(refused.contains("for another key"), "{refused}");
}

#[test]
fn a_part_with_strange_missing_repeated_or_unordered_entries_is_not_the_part() {
    let (here, other) = neighbours();
    let subtree = Subtree::of_key(16, &here).unwrap();
    let (one, two) = ((here.as_slice(), b"1".as_slice()), (other.as_slice(), b"2".as_slice()));
    let ordered = if keyed("aegis v1 state key", &here) < keyed("aegis v1 state key", &other) {
        [one, two]
    } else {
        [two, one]
    };
    let root = subtree.root_of(ordered).unwrap();
    assert_ne!(subtree.root_of([one]).unwrap(), root);
    for bad in [vec![ordered[1], ordered[0]], vec![one, one], vec![(&b"elsewhere"[..], &b""[..])]] {
        assert!(matches!(subtree.root_of(bad), Err(TypesError::Invalid { field: "subtree", .. })));
    }
}

#[test]
fn parts_that_the_tree_does_not_have_are_refused() {
    assert!(Subtree::new(17, 0).is_err() && Subtree::new(u32::MAX, 0).is_err());
    assert!(Subtree::new(4, 16).is_err() && Subtree::new(4, 15).is_ok());
    for count in [0, 3, (1 << 17)] {
        assert!(root_of_subtrees(&vec![Hash::ZERO; count]).is_err(), "{count}");
    }
    let part = Subtree::new(12, 5).unwrap();
    assert_eq!((part.buckets(), part.node()), (80..96, 4_096 + 5));
}
