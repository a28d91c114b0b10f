//! Compiles the wire's `.proto` files with protox, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=latchkey");
    let files = protox::compile(["latchkey/discovery.proto"], ["."])?;
    #[cfg(feature = "grpc")]
    tonic_prost_build::configure().compile_fds(files)?;
    #[cfg(not(feature = "grpc"))]
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
