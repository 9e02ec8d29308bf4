//! Configuration files with environment and flags, and genesis files.

use std::path::Path;

use aegis_config::{Config, Effective, GenesisFile, GenesisFormat, Layers};
use aegis_types::{Canonical, Genesis};

use super::samples;

/// Parts of an input for [`run_config`]: the file, then lines `NAME=VALUE` of the environment, then lines `key=value` of
/// flags, with a zero byte between.
const PARTS: usize = 3;

/// A configuration that is accepted is written out, value by value, and accepted as the same; a refusal gives a reason.
///
/// # Panics
/// When that does not hold.
pub fn run_config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut parts = text.splitn(PARTS, '\0');
    let mut next = || parts.next().unwrap_or_default();
    let (file, environment, flags) = (next(), next(), next());
    let pairs = |lines: &str| -> Vec<(String, String)> {
        let pairs = lines.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let mut layers = Layers::new()
        .with_file(Path::new("config.toml"), file.to_owned())
        .with_environment(pairs(environment));
    for (key, value) in pairs(flags) {
        layers = layers.with_flag(format!("--{key}"), key, value);
    }
    match layers.resolve() {
        Ok(effective) => survives(&effective),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn survives(effective: &Effective) {
    let values: Vec<_> =
        effective.entries().map(|entry| (entry.section.path(entry.key), entry.value)).collect();
    let named: Vec<_> = values.iter().map(|(path, value)| (path.as_str(), value.clone())).collect();
    let written = aegis_config::render(&named);
    let again = Layers::new().with_file(Path::new("written.toml"), written.clone()).resolve();
    match again {
        Ok(again) => assert_eq!(again.config, effective.config, "{written}"),
        Err(error) => panic!("what was written is refused: {error}\n{written}"),
    }
}

/// A genesis file that is accepted is written in both formats and read back the same, and its genesis has a canonical encoding.
/// The first byte chooses the format.
///
/// # Panics
/// When that does not hold.
pub fn run_genesis(input: &[u8]) {
    let Some((format, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let format = if format % 2 == 0 { GenesisFormat::Toml } else { GenesisFormat::Json };
    let path = Path::new("genesis");
    match GenesisFile::parse(path, text, format) {
        Ok(file) => {
            let encoding = file.genesis.encode();
            assert_eq!(Genesis::decode(&encoding).as_ref(), Ok(&file.genesis));
            for format in [GenesisFormat::Toml, GenesisFormat::Json] {
                let written = file.to_text(format);
                match GenesisFile::parse(path, &written, format) {
                    Ok(again) => assert_eq!(again, file, "{written}"),
                    Err(error) => panic!("what was written is refused: {error}\n{written}"),
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The example, and settings by file, environment and flag.
pub fn config_seeds() -> Vec<Vec<u8>> {
    let uncommented: String = Config::example()
        .lines()
        .map(|line| line.strip_prefix('#').filter(|line| line.contains(" = ")).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut seeds: Vec<Vec<u8>> = [
        "",
        "[node]\nname = \"n\\u00e9\"\n[p2p]\nlisten = [\"/ip4/127.0.0.1/tcp/1\"]\n",
        "[p2p]\nlisten = \"/ip4/127.0.0.1/tcp/1\"\n[store]\ncache = \"64MiB\"\n",
        "window = 8\n",
        "[parameters]\n",
        "[consensus]\nbatch_delay = \"2ms\"\n\0AEGIS_NODE_NAME=a\nAEGIS_P2P_LISTEN=/ip4/1.2.3.4/tcp/5,/dns/x/tcp/6\nAEGIS_HOME=x\0rpc.bind=127.0.0.1:0\nnode.name=b",
        "\0AEGIS_NODE_NAM=a",
        "\0\0nonsense=1",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    seeds.push(Config::example().into_bytes());
    seeds.push(uncommented.into_bytes());
    seeds
}

/// The golden genesis in both formats, with names.
pub fn genesis_seeds() -> Vec<Vec<u8>> {
    let genesis = samples::genesis();
    let mut file = GenesisFile::new(genesis.clone());
    for (number, member) in genesis.validators.members().iter().enumerate() {
        file.names.insert(member.validator, format!("node {number}"));
    }
    let mut seeds = Vec::new();
    for file in [file, GenesisFile::new(samples::genesis_of_smallest_parameters())] {
        for (tag, format) in [(0, GenesisFormat::Toml), (1, GenesisFormat::Json)] {
            seeds.push([&[tag][..], file.to_text(format).as_bytes()].concat());
        }
    }
    seeds
}
