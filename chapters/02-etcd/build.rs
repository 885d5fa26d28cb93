//! Compiles the messages of etcd's API, without needing `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    #[cfg(feature = "grpc")]
    {
        let files = protox::compile(["proto/rpc.proto"], ["proto"])?;
        // Keys and values are shared with the store, not copied.
        tonic_prost_build::configure()
            .bytes(".")
            .build_client(cfg!(feature = "client"))
            .compile_fds(files)?;
    }
    Ok(())
}
