//! Compiles the messages of etcd's API, without needing `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    #[cfg(feature = "grpc")]
    {
        let files = protox::compile(["proto/rpc.proto", "proto/health.proto"], ["proto"])?;
        // For whoever asks the server what it has, and for whoever counts its calls.
        let descriptors = std::path::Path::new(&std::env::var("OUT_DIR")?).join("descriptors.bin");
        std::fs::write(descriptors, prost::Message::encode_to_vec(&files))?;
        // Keys and values are shared with the store, not copied.
        tonic_prost_build::configure()
            .bytes(".")
            .build_client(cfg!(feature = "client"))
            .compile_fds(files)?;
    }
    Ok(())
}
