//! Genesis files.

use std::path::Path;

use aegis_config::{ConfigError, GenesisFile, GenesisFormat};
use aegis_types::{FaultTolerance, Keypair, Parameter, Weight, WeightsMode};

fn id(seed: u8) -> String {
    Keypair::from_seed(&[seed; 32]).validator_id().to_string()
}

fn toml_text(extra_key: &str) -> String {
    format!(
        "chain_id = \"aegis-test-1\"\ntime = \"2026-11-21T12:00:00Z\"\n{extra_key}\n\
         [[validators]]\nid = \"{}\"\nname = \"first\"\nweight = 10\n\
         [[validators]]\nid = \"{}\"\nweight = 11\n\
         [parameters]\nepoch_length_ms = 30000\n",
        id(1),
        id(2)
    )
}

fn parse(text: &str) -> Result<GenesisFile, ConfigError> {
    GenesisFile::parse(Path::new("genesis.toml"), text, GenesisFormat::Toml)
}

#[test]
fn a_genesis_is_read_as_people_write_it() {
    let file = parse(&toml_text("")).expect("valid");
    assert_eq!(file.genesis.chain.as_str(), "aegis-test-1");
    assert_eq!(file.genesis.timestamp_ms, 1_795_262_400_000);
    assert_eq!(file.genesis.validators.total(), Weight(21));
    assert_eq!(file.genesis.parameters.get(Parameter::EpochLengthMs), 30_000);
    let first = Keypair::from_seed(&[1; 32]).validator_id();
    assert_eq!(file.name(&first), Some("first"));
}

#[test]
fn both_formats_round_trip_and_have_one_hash() {
    let file = parse(&toml_text("")).expect("valid");
    for format in [GenesisFormat::Toml, GenesisFormat::Json] {
        let text = file.to_text(format);
        let again = GenesisFile::parse(Path::new("genesis"), &text, format).expect("valid");
        assert_eq!(again, file);
        assert_eq!(again.genesis.hash(), file.genesis.hash());
    }
    assert!(file.to_text(GenesisFormat::Toml).contains(&file.genesis.hash().to_string()));
}

#[test]
fn names_comments_order_and_the_form_of_the_time_do_not_change_the_hash() {
    let hash = parse(&toml_text("")).expect("valid").genesis.hash();
    let renamed = toml_text("# a comment").replace("\"first\"", "\"another\"");
    assert_eq!(parse(&renamed).expect("valid").genesis.hash(), hash);
    let millis = toml_text("").replace("\"2026-11-21T12:00:00Z\"", "1795262400000");
    assert_eq!(parse(&millis).expect("valid").genesis.hash(), hash);
    let heavier = toml_text("").replace("weight = 11", "weight = 12");
    assert_ne!(parse(&heavier).expect("valid").genesis.hash(), hash);
}

#[test]
fn unknown_keys_are_refused_with_their_line() {
    let error = parse(&toml_text("chian = 1")).expect_err("unknown").to_string();
    assert!(error.starts_with("genesis.toml:3:") && error.contains("chain_id"), "{error}");
    let json = parse(&toml_text("")).expect("valid").to_text(GenesisFormat::Json);
    let json = json.replacen("\"weight\"", "\"wieght\": 1, \"weight\"", 1);
    let error =
        GenesisFile::parse(Path::new("genesis.json"), &json, GenesisFormat::Json).expect_err("unknown");
    assert!(error.to_string().contains("wieght"), "{error}");
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let refusal =
        |from: &str, to: &str| parse(&toml_text("").replace(from, to)).expect_err("a refusal").to_string();
    assert!(refusal(&id(2), &id(1)).contains("twice"));
    assert!(refusal("weight = 11", "weight = 0").contains("weight 0"));
    assert!(refusal("2026-11-21T12:00:00Z", "yesterday").contains("RFC 3339"));
    assert!(refusal("epoch_length_ms", "epoch_lenth").contains("known are"));
    assert!(refusal("30000", "1").contains("between"));
    assert!(refusal("aegis-test-1", "Aegis Test").contains("chain id"));
}

#[test]
fn the_format_follows_the_file_name() {
    assert_eq!(GenesisFormat::of(Path::new("a/genesis.json")), GenesisFormat::Json);
    assert_eq!(GenesisFormat::of(Path::new("a/genesis.toml")), GenesisFormat::Toml);
}

#[test]
fn choices_stand_as_words_and_must_fit_the_validators() {
    let with = |parameters: &str| parse(&(toml_text("") + parameters));
    let file =
        with("weights_mode = \"measured\"\nfault_tolerance = \"fast\"\nclean_epochs = 3\n").expect("valid");
    assert_eq!(file.genesis.parameters.weights_mode(), WeightsMode::Measured);
    assert_eq!(file.genesis.parameters.fault_tolerance(), FaultTolerance::Fast);
    for format in [GenesisFormat::Toml, GenesisFormat::Json] {
        let text = file.to_text(format);
        assert!(text.contains("\"measured\"") && text.contains("\"fast\""), "{text}");
        assert_eq!(GenesisFile::parse(Path::new("genesis"), &text, format).expect("valid"), file);
    }
    for (parameters, reason) in [
        ("fault_tolerance = 1\n", "needs at least 4 members and there are 2"),
        ("core_size = 3\n", "needs at least 4 members"),
        ("weights_mode = \"fair\"\n", "`fixed`, `measured`, `equal`"),
        ("weights_mode = 2\n", "`fixed`, `measured`, `equal`"),
    ] {
        let error = with(parameters).expect_err(reason).to_string();
        assert!(error.contains(reason), "{error}");
    }
}
