//! Compiles the wire's `.proto` files with protox, so that no `protoc` is needed.

/// Messages with secrets: how they are printed is written by hand.
const WITHOUT_DEBUG: [&str; 1] = [".latchkey.discovery.v1.Guardrails"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=latchkey");
    let discovery = protox::compile(["latchkey/discovery.proto"], ["."])?;
    let ledger = protox::compile(["latchkey/ledger.proto"], ["."])?;
    let shared = (".latchkey.discovery.v1", "crate::discovery");
    // The ledger brings what it imports along, and would write it with names that lead nowhere: so
    // discovery comes last.
    #[cfg(feature = "grpc")]
    {
        tonic_prost_build::configure().extern_path(shared.0, shared.1).compile_fds(ledger)?;
        tonic_prost_build::configure().skip_debug(WITHOUT_DEBUG).compile_fds(discovery)?;
    }
    #[cfg(not(feature = "grpc"))]
    {
        prost_build::Config::new().extern_path(shared.0, shared.1).compile_fds(ledger)?;
        prost_build::Config::new().skip_debug(WITHOUT_DEBUG).compile_fds(discovery)?;
    }
    Ok(())
}
