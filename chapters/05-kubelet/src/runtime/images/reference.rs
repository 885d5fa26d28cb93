//! References to images: what users write, and what it stands for. Pure.
//!
//! Upstream: `github.com/distribution/reference`.

use std::fmt;

use crate::runtime::{Result, RuntimeError};

/// The registry of a reference that names none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag of a reference that names neither tag nor digest.
const DEFAULT_TAG: &str = "latest";

/// A reference in full: `docker.io/library/busybox:1.36`, or by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `docker.io`, `localhost:5000`.
    pub registry: String,
    /// `library/busybox`.
    pub repository: String,
    /// `1.36`; `latest` if neither it nor a digest was given.
    pub tag: Option<String>,
    /// `sha256:…`; wins over the tag.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads what a user wrote: `busybox`, `workshop/echo:v1`, `ghcr.io/a/b@sha256:…`.
    ///
    /// # Errors
    /// [`RuntimeError::InvalidImage`], with upstream's message.
    pub fn parse(image: &str) -> Result<Self> {
        let wrong = |why: &str| {
            RuntimeError::InvalidImage(format!(
                "couldn't parse image name {image:?}: invalid reference format{why}"
            ))
        };
        let (rest, digest) = match image.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_string())),
            Some(_) => return Err(wrong("")),
            None => (image, None),
        };
        // A colon behind the last slash begins a tag; one before it belongs to the registry.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_string())),
            _ => (rest, None),
        };
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(""));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry(first) => (first, path.to_string()),
            Some(_) => (DEFAULT_REGISTRY, name.to_string()),
            None => (DEFAULT_REGISTRY, format!("library/{name}")),
        };
        if path.to_lowercase().split('/').all(is_path_component) && path != path.to_lowercase() {
            return Err(wrong(&format!(
                ": repository name ({path}) must be lowercase"
            )));
        }
        if !path.split('/').all(is_path_component) || path.len() > 255 {
            return Err(wrong(""));
        }
        let registry = if registry == "index.docker.io" {
            DEFAULT_REGISTRY
        } else {
            registry
        };
        let tag = match (&tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_string()),
            _ => tag,
        };
        Ok(Reference {
            registry: registry.into(),
            repository: path,
            tag,
            digest,
        })
    }

    /// Registry and repository: `docker.io/library/busybox`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

/// The one way to write it: by digest if it has one, else by tag.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        match (&self.digest, &self.tag) {
            (Some(digest), _) => write!(f, "@{digest}"),
            (None, Some(tag)) => write!(f, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

/// Whether the text is `sha256:` and 64 hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_rest = |byte: u8| is_word(byte) || byte == b'.' || byte == b'-';
    (1..=128).contains(&tag.len()) && is_word(tag.as_bytes()[0]) && tag.bytes().all(is_rest)
}

/// The first part of a name is a registry if it cannot be a part of a repository on Docker Hub.
fn is_registry(first: &str) -> bool {
    let (host, port) = first
        .split_once(':')
        .map_or((first, None), |(h, p)| (h, Some(p)));
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let looks_like_one = first.contains(['.', ':']) || first == "localhost";
    looks_like_one && host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Lower-case letters and digits, with single separators (`.`, `_`, `__`, any number of `-`).
fn is_path_component(part: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !is_alphanumeric(first) || !is_alphanumeric(last) {
        return false;
    }
    let separators = bytes
        .split(is_alphanumeric)
        .filter(|separator| !separator.is_empty());
    separators.into_iter().all(|separator| {
        matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_write() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let by_digest = format!("docker.io/library/busybox@{digest}");
        let table = [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("workshop/echo", "docker.io/workshop/echo:latest"),
            ("docker.io/workshop/echo:v1", "docker.io/workshop/echo:v1"),
            ("index.docker.io/library/a", "docker.io/library/a:latest"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
            ("a__b.c-d--e_f", "docker.io/library/a__b.c-d--e_f:latest"),
            (&format!("busybox@{digest}"), &by_digest),
            (&format!("busybox:1.36@{digest}"), &by_digest),
        ];
        for (image, full) in table {
            let reference = Reference::parse(image).unwrap();
            assert_eq!(reference.to_string(), full, "{image}");
            assert_eq!(Reference::parse(full).unwrap().to_string(), full);
        }
    }

    #[test]
    fn what_is_no_reference() {
        let wrong = [
            "",
            "/",
            ":",
            "a:",
            "a:/b",
            "a//b",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a b",
            "a:b c",
            "a@sha256:12",
            "a@b",
            "../etc",
            "a/../b",
            "é",
            "a:é",
            "http://a/b",
            "a.b:/c",
            "\0",
        ];
        for image in wrong {
            let error = Reference::parse(image).unwrap_err();
            let message = format!("couldn't parse image name {image:?}: invalid reference format");
            assert_eq!(error.to_string(), message);
        }
        let error = Reference::parse("Busybox").unwrap_err().to_string();
        assert!(
            error.ends_with("repository name (library/Busybox) must be lowercase"),
            "{error}"
        );
    }
}
