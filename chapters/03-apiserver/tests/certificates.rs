//! Requests for certificates, over HTTP. Upstream: `test/e2e/auth/certificates.go`.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};
use support::{Server, lifecycle::lifecycle};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const MERGE: &str = "application/merge-patch+json";

/// A request for a certificate, in PEM and base64.
fn pkcs10(name: &str, group: &str) -> String {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    if !group.is_empty() {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    let key = KeyPair::generate().expect("a key");
    let request = params.serialize_request(&key).expect("can be signed");
    STANDARD.encode(request.pem().expect("can be written"))
}

fn request(name: &str, signer: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "request": pkcs10("e2e.example.com", ""), "signerName": signer,
        "expirationSeconds": 3600,
        "usages": ["digital signature", "key encipherment", "server auth"]}})
}

fn condition(kind: &str) -> Value {
    json!({"type": kind, "status": "True", "reason": "Test", "message": "by hand"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_decided_and_signed_through_two_doors() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    lifecycle(&server, REQUESTS, request("", "example.com/life")).await;

    let mut admin = server.client("admin").await;
    let mut wanted = request("e2e", "example.com/e2e");
    wanted["spec"]["username"] = "somebody-else".into();
    wanted["status"] = json!({"conditions": [condition("Approved")]});
    let (code, made) = admin.call("POST", REQUESTS, wanted).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["spec"]["username"], "kubernetes-admin");
    assert_eq!(made["spec"]["groups"][0], "system:masters");
    assert_eq!(made["status"], json!({}));
    let listed = format!("{REQUESTS}?fieldSelector=spec.signerName%3Dexample.com%2Fe2e");
    let (_, listed) = admin.get(&listed).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));

    // What was asked for stays, and the object's own door leads to neither of the others.
    let path = format!("{REQUESTS}/e2e");
    let (_, mut new) = admin.get(&path).await;
    new["spec"]["signerName"] = "example.com/other".into();
    new["status"]["conditions"] = json!([condition("Approved")]);
    let (code, kept) = admin.call("PUT", &path, new).await;
    assert_eq!((code, &kept["spec"]), (200, &made["spec"]));
    assert_eq!(kept["status"], json!({}));

    // Approval.
    let approval = format!("{path}/approval");
    let (code, got) = admin.get(&approval).await;
    assert_eq!(
        (code, &got["kind"]),
        (200, &json!("CertificateSigningRequest"))
    );
    let patch = json!({"metadata": {"annotations": {"patchedapproval": "true"}},
        "status": {"conditions": [{"type": "ApprovalPatch", "status": "True", "reason": "e2e"}]}});
    let (code, mut patched) = admin
        .call_as("PATCH", &approval, MERGE, patch.to_string())
        .await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(
        patched["metadata"]["annotations"]["patchedapproval"],
        "true"
    );
    assert!(patched["status"]["conditions"][0]["lastTransitionTime"].is_string());
    let conditions = patched["status"]["conditions"]
        .as_array_mut()
        .expect("a list");
    conditions.push(condition("Approved"));
    patched["status"]["certificate"] = certificate();
    let (code, approved) = admin.call("PUT", &approval, patched).await;
    assert_eq!(code, 200, "{approved}");
    assert_eq!(approved["status"]["conditions"][1]["type"], "Approved");
    assert_eq!(approved["status"].get("certificate"), None);
    let both = json!({"status": {"conditions": [condition("Approved"), condition("Denied")]}});
    let (code, refused) = admin
        .call_as("PATCH", &approval, MERGE, both.to_string())
        .await;
    assert_eq!(
        (code, &refused["message"]),
        (
            422,
            &json!(
                "CertificateSigningRequest.certificates.k8s.io \"e2e\" is invalid: \
                 status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied \
                 conditions are mutually exclusive"
            )
        )
    );

    // Signing.
    let status = format!("{path}/status");
    let patch = json!({"metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"certificate": certificate()}});
    let (code, signed) = admin
        .call_as("PATCH", &status, MERGE, patch.to_string())
        .await;
    assert_eq!(code, 200, "{signed}");
    assert_eq!(signed["metadata"]["annotations"]["patchedstatus"], "true");
    let mut updated = signed.clone();
    let conditions = updated["status"]["conditions"]
        .as_array_mut()
        .expect("a list");
    conditions.push(condition("StatusUpdate"));
    let (code, updated) = admin.call("PUT", &status, updated).await;
    assert_eq!(code, 200, "{updated}");
    assert_eq!(
        updated["status"]["conditions"].as_array().map(Vec::len),
        Some(3)
    );
    for (change, why) in [
        (
            json!({"certificate": certificate()}),
            "status.certificate: Forbidden: updates may not modify existing certificate content",
        ),
        (
            json!({"conditions": [condition("StatusUpdate")]}),
            "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\"",
        ),
    ] {
        let change = json!({"status": change}).to_string();
        let (code, refused) = admin.call_as("PATCH", &status, MERGE, change).await;
        let message = refused["message"].as_str().expect("says why");
        assert!(code == 422 && message.ends_with(why), "{message}");
    }

    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let row = support::get_as(&mut admin, &path, table).await;
    let cells = row["rows"][0]["cells"].as_array().expect("cells").clone();
    let age = cells[1].as_str().expect("an age").to_owned();
    assert_eq!(
        cells,
        json!([
            "e2e",
            age,
            "example.com/e2e",
            "kubernetes-admin",
            "60m",
            "Approved,Issued"
        ])
        .as_array()
        .expect("cells")
        .clone()
    );
    server.stop().await;
}

/// A certificate as a status has it; each time another.
fn certificate() -> Value {
    let params = CertificateParams::new(vec!["e2e.example.com".into()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("can be signed");
    STANDARD.encode(certificate.pem()).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_told() {
    let (server, mut admin) = Server::fresh().await;
    let mut refused = async |change: &dyn Fn(&mut Value)| {
        let mut wanted = request("x", "example.com/e2e");
        change(&mut wanted["spec"]);
        let (code, answer) = admin.call("POST", REQUESTS, wanted).await;
        let why = answer["message"].as_str().unwrap_or_default();
        let start = "CertificateSigningRequest.certificates.k8s.io \"x\" is invalid: ";
        (code, why.strip_prefix(start).unwrap_or(why).to_owned())
    };
    let no_pem = STANDARD.encode("no PEM");
    assert_eq!(
        refused(&|spec| spec["request"] = no_pem.clone().into()).await,
        (
            422,
            format!(
                "spec.request: Invalid value: \"{no_pem}\": PEM block type must be CERTIFICATE \
                 REQUEST"
            )
        )
    );
    let (code, why) = refused(&|spec| {
        // Another key's signature.
        let pem = STANDARD
            .decode(spec["request"].as_str().expect("text"))
            .expect("base64");
        let mut der = rustls_pem(&pem);
        *der.last_mut().expect("is long") ^= 1;
        spec["request"] = STANDARD.encode(to_pem(&der)).into();
    })
    .await;
    assert_eq!(code, 422);
    assert!(why.starts_with("spec.request: Invalid value: "), "{why}");
    assert_eq!(
        refused(&|spec| spec["usages"] = json!(["any", "any", "magic"]))
            .await
            .1
            .split(", <")
            .next(),
        Some(
            "[spec.usages[2]: Unsupported value: \"magic\": supported values: \"any\", \"cert sign\", \"client auth\", \"code signing\", \"content commitment\", \"crl sign\", \"data encipherment\", \"decipher only\", \"digital signature\", \"email protection\", \"encipher only\", \"ipsec end system\", \"ipsec tunnel\", \"ipsec user\", \"key agreement\", \"key encipherment\", \"microsoft sgc\", \"netscape sgc\", \"ocsp signing\", \"s/mime\", \"server auth\", \"signing\", \"timestamping\", spec.usages[1]: Duplicate value: \"any\"]"
        )
    );
    let fully = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    for (signer, why) in [
        (
            "",
            "spec.signerName: Required value: signerName must be provided".to_owned(),
        ),
        (
            "example",
            format!("spec.signerName: Invalid value: \"example\": {fully}"),
        ),
        (
            "example/x",
            "spec.signerName: Invalid value: \"example\": should be a domain with at least two \
             segments separated by dots"
                .to_owned(),
        ),
        (
            "kubernetes.io/legacy-unknown",
            "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy \
             signerName is not allowed via this API version"
                .to_owned(),
        ),
    ] {
        assert_eq!(
            refused(&|spec| spec["signerName"] = signer.into()).await,
            (422, why)
        );
    }
    assert_eq!(
        refused(&|spec| spec["expirationSeconds"] = 1.into())
            .await
            .1,
        "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 600 \
         seconds (10 minutes)"
    );
    server.stop().await;
}

fn rustls_pem(pem: &[u8]) -> Vec<u8> {
    use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject};
    let request = CertificateSigningRequestDer::from_pem_slice(pem).expect("is PEM");
    request.to_vec()
}

fn to_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("is text"))
        .collect();
    format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        lines.join("\n")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_approve_and_sign_is_said_by_signer() {
    let (server, mut admin) = Server::fresh().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let all = "certificatesigningrequests";
    let role = json!({"metadata": {"name": "signer"}, "rules": [
        {"apiGroups": ["certificates.k8s.io"], "verbs": ["*"],
            "resources": [all, format!("{all}/approval"), format!("{all}/status")]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["approve"],
            "resourceNames": ["example.com/one", "example.org/*"]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["sign"],
            "resourceNames": ["example.com/one"]}]});
    let made = admin
        .call("POST", &format!("{rbac}/clusterroles"), role)
        .await;
    assert_eq!(made.0, 201);
    let binding = json!({"metadata": {"name": "signer"},
        "roleRef": {"kind": "ClusterRole", "name": "signer"},
        "subjects": [{"kind": "User", "name": "jane"}]});
    let made = admin
        .call("POST", &format!("{rbac}/clusterrolebindings"), binding)
        .await;
    assert_eq!(made.0, 201);

    let mut jane = server.client("jane").await;
    let approve = json!({"status": {"conditions": [condition("Approved")]}}).to_string();
    let sign = json!({"status": {"certificate": certificate()}}).to_string();
    for (name, signer, approves, signs) in [
        ("one", "example.com/one", 200, 200),
        ("any", "example.org/whatever", 200, 403),
        ("none", "example.com/two", 403, 403),
    ] {
        assert_eq!(
            jane.call("POST", REQUESTS, request(name, signer)).await.0,
            201
        );
        let path = format!("{REQUESTS}/{name}/approval");
        let (code, answer) = jane.call_as("PATCH", &path, MERGE, approve.clone()).await;
        assert_eq!(code, approves, "{name}: {answer}");
        let path = format!("{REQUESTS}/{name}/status");
        let (code, answer) = jane.call_as("PATCH", &path, MERGE, sign.clone()).await;
        assert_eq!(code, signs, "{name}: {answer}");
        if code == 403 {
            assert_eq!(
                answer["message"],
                format!(
                    "certificatesigningrequests.certificates.k8s.io \"{name}\" is forbidden: user \
                     not permitted to sign requests with signerName \"{signer}\""
                )
            );
        }
    }
    // Not even the admin asks for a certificate that no role could take back.
    let mut masters = request("masters", "kubernetes.io/kube-apiserver-client");
    masters["spec"]["request"] = pkcs10("mallory", "system:masters").into();
    let (code, refused) = admin.call("POST", REQUESTS, masters).await;
    assert_eq!(code, 403);
    assert_eq!(
        refused["message"],
        "certificatesigningrequests.certificates.k8s.io \"masters\" is forbidden: use of \
         kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    );
    server.stop().await;
}
