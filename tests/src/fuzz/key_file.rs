//! Key files. The node's source file is compiled in here, as for [`super::node_wire`].

use aegis_types::Keypair;

#[allow(dead_code, reason = "the node uses all of it")]
#[path = "../../../node/src/keyfile.rs"]
mod keyfile;

use keyfile::{KeyFile, KeyPurpose};

/// A key file that is read is written and read back the same; a refusal does not repeat the secret.
///
/// # Panics
/// When that does not hold.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match KeyFile::parse(text) {
        Ok(key) => {
            let again = KeyFile::parse(&key.to_text()).expect("what was written is read");
            assert_eq!((again.purpose, again.keypair.seed()), (key.purpose, key.keypair.seed()));
        }
        Err(reason) => {
            assert!(!reason.is_empty());
            for secret in text.split(|sign: char| !sign.is_ascii_hexdigit()).filter(|run| run.len() == 64) {
                assert!(!reason.contains(secret), "the refusal repeats what may be a secret");
            }
        }
    }
}

/// Key files as they are written, and some that are refused.
pub fn seeds() -> Vec<Vec<u8>> {
    let keypair = Keypair::from_seed(&[7; 32]);
    let text = |purpose| KeyFile { purpose, keypair: keypair.clone() }.to_text().as_bytes().to_vec();
    let node = text(KeyPurpose::Node);
    let windows = String::from_utf8_lossy(&node).replace('\n', "\r\n").into_bytes();
    let newer = String::from_utf8_lossy(&node).replace("version 1", "version 2").into_bytes();
    let other = String::from_utf8_lossy(&node).replace("public = ", "public = 0").into_bytes();
    vec![node, text(KeyPurpose::Account), windows, newer, other]
}
