//! Values that people write as text: lengths of time, sizes, names, ids, topics, parameters.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use aegis_config::{ByteSize, Period};
use aegis_rpc::{EncodedBytes, Topic, WatchRequest};
use aegis_types::{AccountId, ChainId, Hash, Kind, Parameter, Parameters, Signature, ValidatorId};

/// Text that is read as a value is written and read back as the same value; a refusal gives a reason.
///
/// # Panics
/// When that does not hold.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    survives::<Period>(text);
    survives::<ByteSize>(text);
    survives::<Kind>(text);
    survives::<ChainId>(text);
    survives::<Signature>(text);
    survives::<Hash>(text);
    survives::<AccountId>(text);
    survives::<ValidatorId>(text);
    survives::<Parameter>(text);
    if let Ok(bytes) = EncodedBytes::from_text(text) {
        assert_eq!(bytes.to_text(), text, "base64 has one spelling");
    }
    if let Ok(topics) = WatchRequest::parse_topics(text) {
        assert!(!topics.is_empty() && topics.len() <= Topic::ALL.len());
    }
    if let Some((name, value)) = text.split_once('=') {
        let mut parameters = Parameters::default();
        match parameters.set_text(name, value) {
            Ok(parameter) => assert_eq!(parameters.get(parameter).to_string(), value),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn survives<T>(text: &str)
where
    T: FromStr<Err: Display> + Display + Debug + PartialEq,
{
    match text.parse::<T>() {
        Ok(value) => match value.to_string().parse::<T>() {
            Ok(again) => assert_eq!(again, value, "`{text}` is written as `{value}`"),
            Err(error) => panic!("`{text}` is written as `{value}`, which is refused: {error}"),
        },
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A text for each value, and some at the edges.
pub fn seeds() -> Vec<Vec<u8>> {
    let digits = "0f".repeat(32);
    [
        "1m 30s",
        "2ms",
        "18446744073709551615s",
        "1y 2months 3w",
        "0s",
        "64MiB",
        "18446744073709551615B",
        "16777216TiB",
        "3 kb",
        "kv.put",
        "proposal.vote",
        "aegis-test-1",
        "window=8",
        "window=08",
        "view_timeout_ms=18446744073709551616",
        "blocks,kv,kv",
        "AQID",
        "AQ==",
        "AR==",
        "",
        &digits,
        &digits.repeat(2),
        &digits.to_uppercase(),
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
