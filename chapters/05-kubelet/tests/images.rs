//! Pulling from a registry: a small one of the test's own, on loopback.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use kubelet::runtime::RuntimeError;
use kubelet::runtime::images::{ImageStore, Puller};
use sha2::{Digest, Sha256};

/// Documents by path below `/v2/`: content type and bytes.
type Documents = Arc<BTreeMap<String, (&'static str, Vec<u8>)>>;

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

async fn serve(State(documents): State<Documents>, Path(path): Path<String>) -> impl IntoResponse {
    let Some((kind, bytes)) = documents.get(&path) else {
        let error = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        let json = [(header::CONTENT_TYPE, "application/json")];
        return (StatusCode::NOT_FOUND, json, error).into_response();
    };
    let digest = digest(bytes);
    let headers = [
        (header::CONTENT_TYPE.as_str(), *kind),
        ("docker-content-digest", &digest),
    ];
    (headers, bytes.clone()).into_response()
}

/// An image of one layer with one file, for two platforms of which one is ours.
fn documents() -> Documents {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o755);
    header.set_cksum();
    builder
        .append_data(&mut header, "bin/hello", &b"hello"[..])
        .unwrap();
    let layer = builder.into_inner().unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Entrypoint":["/bin/hello"],"User":"7"}},
            "rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        digest(&layer)
    );
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let index_type = "application/vnd.oci.image.index.v1+json";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{manifest_type}",
            "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","size":{},"digest":"{}"}},
            "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":{},"digest":"{}"}}]}}"#,
        config.len(),
        digest(config.as_bytes()),
        layer.len(),
        digest(&layer)
    );
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{index_type}","manifests":[
            {{"mediaType":"{manifest_type}","size":1,"digest":"{}",
              "platform":{{"architecture":"s390x","os":"linux"}}}},
            {{"mediaType":"{manifest_type}","size":{},"digest":"{}",
              "platform":{{"architecture":"{architecture}","os":"linux"}}}}]}}"#,
        digest(b""),
        manifest.len(),
        digest(manifest.as_bytes())
    );
    let blob = |bytes: &[u8]| {
        (
            format!("a/b/blobs/{}", digest(bytes)),
            ("application/octet-stream", bytes.to_vec()),
        )
    };
    let of_digest = format!("a/b/manifests/{}", digest(manifest.as_bytes()));
    Arc::new(BTreeMap::from([
        (
            "a/b/manifests/v1".to_string(),
            (index_type, index.into_bytes()),
        ),
        (of_digest, (manifest_type, manifest.into_bytes())),
        blob(config.as_bytes()),
        blob(&layer),
    ]))
}

#[tokio::test]
async fn an_image_from_a_registry() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = listener.local_addr().unwrap();
    let app = axum::Router::new()
        .route("/v2/", axum::routing::get(|| async { "{}" }))
        .route("/v2/{*path}", axum::routing::get(serve))
        .with_state(documents());
    tokio::spawn(async move { axum::serve(listener, app).await });

    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let puller = Puller::new(None);
    let image = format!("{registry}/a/b:v1");
    let id = puller.pull(&store, &image, None).await.unwrap();
    let record = store.find(&image).unwrap().unwrap();
    assert_eq!(record.id, id);
    assert_eq!(record.config.entrypoint, ["/bin/hello"]);
    let file = store.layers_dir().join(&record.layers[0]).join("bin/hello");
    assert_eq!(std::fs::read(file).unwrap(), b"hello");
    let status = store.status(&id).unwrap().unwrap();
    assert_eq!(
        (status.repo_tags, status.user.as_str()),
        (vec![image.clone()], "7")
    );
    assert!(status.repo_digests[0].starts_with(&format!("{registry}/a/b@sha256:")));
    // All of it is there already.
    assert_eq!(puller.pull(&store, &image, None).await.unwrap(), id);

    let missing = format!("{registry}/a/b:v2");
    let error = puller.pull(&store, &missing, None).await.unwrap_err();
    let RuntimeError::Pull(message) = error else {
        panic!("{error:?}")
    };
    let expected = format!(
        "failed to pull and unpack image \"{missing}\": failed to resolve reference \
         \"{missing}\": {missing}: not found"
    );
    assert_eq!(message, expected);

    let error = puller
        .pull(&store, "127.0.0.1:1/a:v1", None)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("failed to do request: ") && error.contains("refused"),
        "{error}"
    );
    let error = puller.pull(&store, "Not/An/Image", None).await.unwrap_err();
    assert!(matches!(error, RuntimeError::InvalidImage(_)), "{error:?}");
}
