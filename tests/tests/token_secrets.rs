//! Secrets that ask for a service account's token: they have it, and go with the account.

use std::time::Duration;

use workshop_tests::{Lab, free_port};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_secret_by_hand_is_filled_in_and_goes_with_its_account() {
    let lab = Lab::new("token-secrets");
    lab.start(&["--nodes", "1", "--port", &free_port()]);
    lab.kubectl("create namespace shop");
    lab.kubectl("create serviceaccount robot -n shop");
    lab.apply(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: robot\n  namespace: shop\n  \
         annotations: {kubernetes.io/service-account.name: robot}\n\
         type: kubernetes.io/service-account-token\n",
    );
    lab.kubectl("wait secret/robot -n shop --for=jsonpath={.data.token} --timeout=30s");
    let data = |key: &str| {
        let template = format!("{{{{index .data \"{key}\" | base64decode}}}}");
        let args = ["get", "secret", "robot", "-n", "shop", "-o"];
        let output = format!("go-template={template}");
        let asked = lab.try_kubectl_args(&[&args[..], &[output.as_str()]].concat());
        asked.expect("it is there")
    };
    assert_eq!(data("namespace"), "shop");
    assert!(data("ca.crt").starts_with("-----BEGIN CERTIFICATE-----"));
    let uid = "get serviceaccount robot -n shop -o jsonpath={.metadata.uid}";
    let noted = r"{.metadata.annotations.kubernetes\.io/service-account\.uid}";
    assert_eq!(
        lab.kubectl(&format!("get secret robot -n shop -o jsonpath={noted}")),
        lab.kubectl(uid)
    );

    // By this token, and by nothing else: the administrator's certificate stays out of it.
    let server = lab.kubectl("config view -o jsonpath={.clusters[0].cluster.server}");
    let whoami = |token: &str| {
        let token = format!("--token={token}");
        let server = format!("--server={server}");
        let alone = ["--kubeconfig=/dev/null", "--insecure-skip-tls-verify"];
        lab.try_kubectl_args(&[&["auth", "whoami", &token, &server], &alone[..]].concat())
    };
    let token = data("token");
    let told = whoami(&token).expect("the token is good");
    assert!(told.contains("system:serviceaccount:shop:robot"), "{told}");

    // What somebody takes out comes back, and a token that is there stays.
    lab.kubectl("patch secret robot -n shop --type=merge -p {\"data\":{\"namespace\":null}}");
    lab.eventually("the namespace is back", SOON, || {
        let secret = lab.kubectl("get secret robot -n shop -o jsonpath={.data.namespace}");
        (!secret.is_empty()).then_some(())
    });
    assert_eq!(data("token"), token);

    // An account of the same name is another: the Secret was the former one's.
    lab.kubectl("delete serviceaccount robot -n shop");
    lab.kubectl("wait --for=delete secret/robot -n shop --timeout=30s");
    lab.kubectl("create serviceaccount robot -n shop");
    let refused = whoami(&token).expect_err("the token is good no more");
    assert!(
        refused.contains("Unauthorized") || refused.contains("logged in"),
        "{refused}"
    );
}
