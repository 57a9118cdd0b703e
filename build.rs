//! Compiles `proto/` with protox, a compiler in Rust, so that nobody installs protoc.

use prost::Message as _;
use std::{env, fs, path::Path};

const FILES: &[&str] = &[
    "coffeeshop/reception/v1/reception_service.proto",
    "coffeeshop/reception/v1/order_event.proto",
    "coffeeshop/barista/v1/barista_service.proto",
    "coffeeshop/barista/v1/ticket_event.proto",
    "coffeeshop/payments/v1/payments_service.proto",
    "coffeeshop/payments/v1/payments_admin_service.proto",
    "coffeeshop/operations/v1/circuits_service.proto",
    "coffeeshop/operations/v1/dead_letters_service.proto",
    "coffeeshop/errors/v1/error_reason.proto",
];

#[expect(
    clippy::disallowed_methods,
    reason = "it is how Cargo speaks to a build script"
)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    // Reflection serves these; comments and positions are of no use there.
    let mut served = descriptors.clone();
    served
        .file
        .iter_mut()
        .for_each(|f| f.source_code_info = None);
    let out = env::var("OUT_DIR")?;
    let keep = |name, bytes| fs::write(Path::new(&out).join(name), bytes);
    keep("descriptors.bin", served.encode_to_vec())?;
    // These are what docs/api.md is made of.
    keep("documented.bin", descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
