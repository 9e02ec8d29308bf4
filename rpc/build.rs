//! Compiles the service's `.proto` file without a system `protoc`. Messages of `aegis-types` are used from there.

use std::path::PathBuf;

use prost::Message;
use prost_build::Config;

const TYPES: &str = "aegis/v1/types.proto";
const NODE: &str = "aegis/v1/node.proto";

fn main() {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=../types/proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let descriptors = protox::compile([NODE], ["proto", "../types/proto"]).expect("node.proto compiles");
    std::fs::write(out.join("node_descriptors.bin"), descriptors.encode_to_vec())
        .expect("OUT_DIR is writable");
    let types =
        descriptors.file.iter().find(|file| file.name() == TYPES).expect("node.proto imports types.proto");
    let messages = types.message_type.iter().map(|message| message.name());
    let enums = types.enum_type.iter().map(|entry| entry.name());
    let mut builder = tonic_prost_build::configure();
    for name in messages.chain(enums) {
        builder = builder.extern_path(format!(".aegis.v1.{name}"), format!("::aegis_types::proto::{name}"));
    }
    builder.compile_fds_with_config(descriptors, Config::new()).expect("code is generated from node.proto");
}
