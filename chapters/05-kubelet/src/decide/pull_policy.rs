//! When an image is pulled though the node may have it: the policy of a container that names none.

/// `Always` for a tag that moves, else `IfNotPresent`. The API server fills this in; a static pod
/// has no API server.
///
/// `registry.example:5000/team/web:1.2@sha256:…`: a registry, a path, a tag, a digest. All but the
/// path may be missing; without a tag and a digest, the tag is `latest`.
///
/// Upstream: `pkg/apis/core/v1/defaults.go: SetDefaults_Container`, `pkg/util/parsers`.
pub fn default_pull_policy(image: &str) -> &'static str {
    // ANCHOR: exercise-05.2
    let (name, has_digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    // A registry may have a port, so only what follows the last `/` is asked for a tag.
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, "latest")) => "Always",
        None if !has_digest => "Always",
        _ => "IfNotPresent",
    }
    // ANCHOR_END: exercise-05.2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moving_tag_is_pulled_always() {
        for (image, policy) in [
            ("busybox", "Always"),
            ("busybox:latest", "Always"),
            ("localhost:5000/busybox", "Always"),
            ("busybox:latest@sha256:00", "Always"),
            ("busybox:1.36", "IfNotPresent"),
            ("localhost:5000/busybox:1", "IfNotPresent"),
            ("busybox@sha256:00", "IfNotPresent"),
        ] {
            assert_eq!(default_pull_policy(image), policy, "{image}");
        }
    }
}
