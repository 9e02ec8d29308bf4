//! Names in text: what is printed can be read again, in one spelling for each, and what is no name says why.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use aegis_types::{
    AccountId, ChainId, Epoch, Hash, Height, Keypair, Kind, Parameter, Signature, TypesError, ValidatorId,
    View,
};
use proptest::prelude::*;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};

fn assert_survives_text<T>(value: &T)
where
    T: Display + FromStr<Err = TypesError> + DeserializeOwned + PartialEq + Debug,
{
    let text = value.to_string();
    assert_eq!(text.parse::<T>().as_ref(), Ok(value), "{text}");
    let deserializer: StrDeserializer<'_, ValueError> = text.as_str().into_deserializer();
    assert_eq!(T::deserialize(deserializer).as_ref(), Ok(value), "{text}");
}

#[test]
fn kinds_and_parameters_survive_text_and_names_are_exact() {
    for kind in Kind::ALL {
        assert_survives_text(&kind);
        assert!(kind.name().to_uppercase().parse::<Kind>().is_err());
        assert!(format!(" {kind}").parse::<Kind>().is_err());
    }
    for parameter in Parameter::ALL {
        assert_survives_text(&parameter);
    }
}

#[test]
fn an_unknown_kind_is_answered_with_the_known_ones() {
    let error = "kv.putt".parse::<Kind>().expect_err("unknown").to_string();
    assert!(error.contains("unknown proposal kind `kv.putt`"), "{error}");
    assert!(Kind::ALL.iter().all(|kind| error.contains(kind.name())), "{error}");
    assert!("k".repeat(100_000).parse::<Kind>().expect_err("unknown").to_string().len() < 500);
}

#[test]
fn chain_ids_are_short_and_plain() {
    for text in ["a", "aegis-test-1", "0", "-", &"x".repeat(48)] {
        assert_survives_text(&text.parse::<ChainId>().expect("a valid chain id"));
    }
    for text in ["", "Aegis", "a b", "a_b", "a.b", "a/b", "a\0", "é", "a\n", &"x".repeat(49)] {
        let error = text.parse::<ChainId>().expect_err(text).to_string();
        assert!(error.contains("use 1 to 48 of a-z, 0-9 and `-`"), "{error}");
    }
}

#[test]
fn text_that_is_no_digest_key_or_signature_says_what_was_expected() {
    for text in ["", "12", &"g".repeat(64), &"0".repeat(63), &"0".repeat(65), &"0".repeat(128)] {
        for error in [
            text.parse::<Hash>().expect_err(text),
            text.parse::<ValidatorId>().expect_err(text),
            text.parse::<AccountId>().expect_err(text),
        ] {
            assert!(error.to_string().contains("expected 64 hexadecimal digits"), "{error}");
        }
    }
    let error = "0".repeat(64).parse::<Signature>().expect_err("half a signature").to_string();
    assert!(error.contains("expected 128 hexadecimal digits"), "{error}");
}

#[test]
fn fields_of_the_wrong_length_say_both_lengths() {
    for len in [0, 31, 33, 64] {
        let bytes = vec![1; len];
        let errors = [
            Hash::from_slice("parent", &bytes).expect_err("wrong length").to_string(),
            ValidatorId::from_slice(&bytes).expect_err("wrong length").to_string(),
            AccountId::from_slice(&bytes).expect_err("wrong length").to_string(),
        ];
        for error in errors {
            assert!(error.contains("32 bytes") && error.contains(&format!("has {len}")), "{error}");
        }
    }
    let error = Signature::from_slice(&[1; 63]).expect_err("wrong length").to_string();
    assert!(error.contains("64 bytes") && error.contains("has 63"), "{error}");
}

#[test]
fn counters_stop_at_their_ends() {
    assert_eq!(Height(u64::MAX).next(), Height(u64::MAX));
    assert_eq!(Height::ZERO.previous(), Height::ZERO);
    assert_eq!(View(5).plus(u64::MAX), View(u64::MAX));
    assert_eq!((Epoch(7).distance_above(Epoch(5)), Epoch(5).distance_above(Epoch(7))), (2, 0));
    assert_eq!(Height(7).next().previous().to_string(), "7");
}

/// A secret must not reach a log by way of a debug print.
#[test]
fn a_printed_keypair_does_not_show_its_seed() {
    let keypair = Keypair::from_seed(&[0xab; 32]);
    let text = format!("{keypair:?}");
    assert_eq!(text, format!("Keypair({})", keypair.validator_id().short()));
    assert!(!text.contains("abab"));
    assert_eq!(*keypair.seed(), [0xab; 32]);
    assert_eq!(AccountId::from(keypair.validator_id()), keypair.account_id());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn digests_keys_and_signatures_survive_text(half: [u8; 32], other: [u8; 32]) {
        assert_survives_text(&Hash(half));
        assert_survives_text(&ValidatorId(half));
        assert_survives_text(&AccountId(half));
        assert_survives_text(&Signature::from_slice(&[half, other].concat()).expect("64 bytes"));
        prop_assert!(Hash(half).to_string().starts_with(&Hash(half).short()));
    }

    #[test]
    fn no_text_makes_a_name_panic(text in ".*") {
        // Whatever is read must be printed in the one spelling that is read again.
        if let Ok(chain) = text.parse::<ChainId>() { prop_assert_eq!(chain.as_str(), &text); }
        if let Ok(kind) = text.parse::<Kind>() { prop_assert_eq!(kind.name(), &text); }
        if let Ok(hash) = text.parse::<Hash>() { prop_assert_eq!(hash.to_string(), text.trim().to_lowercase()); }
        prop_assert!(text.parse::<Signature>().is_err());
    }
}
