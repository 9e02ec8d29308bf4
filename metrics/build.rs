//! Compiles the `.proto` file without a system `protoc`.

fn main() {
    println!("cargo:rerun-if-changed=proto");
    let descriptors =
        protox::compile(["proto/aegis/v1/metrics.proto"], ["proto"]).expect("metrics.proto compiles");
    prost_build::Config::new().compile_fds(descriptors).expect("code is generated from metrics.proto");
}
