//! Calls that nobody answers: what is said of them, in the words of Go's gRPC server.

use tonic::body::Body;
use tonic::{Code, Status};

/// Services that are not of etcd's API.
const REFLECTION: [&str; 2] = [
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// The answer to a call of `path`, with words if it is refused without: so are only those whose
/// service or method is not there.
pub fn named(
    response: http::Response<Body>,
    path: &str,
    is_service: impl Fn(&str) -> bool,
) -> http::Response<Body> {
    let refused = Status::from_header_map(response.headers());
    let is_unknown = refused
        .is_some_and(|status| status.code() == Code::Unimplemented && status.message().is_empty());
    if !is_unknown {
        return response;
    }
    let is_service = |name: &str| is_service(name) || REFLECTION.contains(&name);
    Status::unimplemented(words(path, is_service)).into_http()
}

fn words(path: &str, is_service: impl Fn(&str) -> bool) -> String {
    let name = path.strip_prefix('/').unwrap_or(path);
    match name.rsplit_once('/') {
        None => format!("malformed method name: {path:?}"),
        Some((service, method)) if is_service(service) => {
            format!("unknown method {method} for service {service}")
        }
        Some((service, _)) => format!("unknown service {service}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_named() {
        let said = |path| words(path, |service| service == "a.B");
        assert_eq!(said("/a.B/C"), "unknown method C for service a.B");
        assert_eq!(said("/a.C/C"), "unknown service a.C");
        assert_eq!(said("/a/b/C"), "unknown service a/b");
        assert_eq!(said("/a"), "malformed method name: \"/a\"");
    }
}
