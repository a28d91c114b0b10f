//! Compiles the wire's `.proto` files with protox, so that no `protoc` is needed.

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
        tonic_prost_build::configure().compile_fds(discovery)?;
    }
    #[cfg(not(feature = "grpc"))]
    {
        prost_build::Config::new().extern_path(shared.0, shared.1).compile_fds(ledger)?;
        prost_build::Config::new().compile_fds(discovery)?;
    }
    Ok(())
}
