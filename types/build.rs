//! Compiles the `.proto` files without a system `protoc`.

fn main() {
    println!("cargo:rerun-if-changed=proto");
    let descriptors =
        protox::compile(["proto/aegis/v1/types.proto"], ["proto"]).expect("types.proto compiles");
    prost_build::Config::new().compile_fds(descriptors).expect("code is generated from types.proto");
}
