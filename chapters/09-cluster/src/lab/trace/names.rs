//! What takes part in a trace, and what it is about, in the words of a picture: pure.

use apiserver::trace::{Client, Object, Record, Request};

use super::causality::Own;

/// What the command is called: as it calls itself (`kubectl/v1.36.2 …`, `kubectl-something`).
pub fn command(client: &Client) -> String {
    match client.program.split('-').next() {
        None | Some("") => "command".into(),
        Some(program) => program.into(),
    }
}

/// What a component is called, by the user that it is.
pub fn component(client: &Client) -> String {
    let account = client.user.strip_prefix("system:serviceaccount:");
    match client.user.as_str() {
        "system:kube-scheduler" => "scheduler".into(),
        "system:kube-controller-manager" => "controllers".into(),
        "system:kube-proxy" => "proxy".into(),
        user => match (user.strip_prefix("system:node:"), account) {
            (Some(node), _) => kubelet(node),
            (_, Some(account)) => account.rsplit(':').next().unwrap_or(account).into(),
            _ => user.into(),
        },
    }
}

/// Whether a record is of the command or one of these components; `kubelet` is every node's.
pub fn is_of(record: &Record, own: &Own, components: &[String]) -> bool {
    let client = match record {
        Record::Request(request) => &request.client,
        Record::Delivery(delivery) => &delivery.client,
    };
    let name = component(client);
    let is_named = |wanted: &String| name == *wanted || name.split(' ').next() == Some(wanted);
    own.contains(&client.address) || components.iter().any(is_named)
}

/// The kubelet of a node.
pub fn kubelet(node: &str) -> String {
    format!("kubelet {node}")
}

/// `deployments/web`; with its namespace, where that is not the usual one.
pub fn object(object: &Object) -> String {
    let mut name = object.resource.clone();
    if !object.name.is_empty() {
        name = format!("{name}/{}", object.name);
    }
    if !matches!(object.namespace.as_str(), "" | "default") {
        name = format!("{name} in {}", object.namespace);
    }
    name
}

/// What a request is about: its object, by the name that the server may have made up, and whose
/// that is, where nobody would know it by its name.
pub fn request(request: &Request, asked: &Object) -> String {
    let made = request
        .writes
        .iter()
        .find(|write| request.verb == "create" && write.object.resource == asked.resource);
    let mut named = made.map_or(asked, |write| &write.object).clone();
    let is_event = named.resource == "events";
    let about = match made {
        Some(write) if is_event => {
            // Made of its object's name and a number that nobody needs.
            named.name.clear();
            write.about.first()
        }
        _ => request.about.first(),
    };
    let mut words = object(&named);
    if !request.subresource.is_empty() {
        words = format!("{words} {}", request.subresource);
    }
    if let Some(about) = about {
        let link = if is_event { "about" } else { "for" };
        words = format!("{words} {link} {}", object(about));
    }
    words
}

/// Whether a client asks this only to know what it may ask.
pub fn is_discovery(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    matches!(first, Some("api" | "apis" | "openapi" | "version"))
}
