//! Searches for inputs that break the target `grpc`.
#![no_main]

aegis_fuzz::search!("grpc");
