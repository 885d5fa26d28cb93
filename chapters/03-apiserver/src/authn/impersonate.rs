//! Impersonation: `kubectl --as jane --as-group dev`.
//!
//! Whoever asks must be allowed the verb `impersonate` on each part of what they want to be.
//!
//! Upstream: `staging/src/k8s.io/apiserver/pkg/endpoints/filters/impersonation/`.

use http::HeaderMap;

use super::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User, service_account};
use crate::{authz::Attributes, status::ApiError};

/// Whom a request wants to be treated as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impersonation {
    /// The user that the request goes on as, once allowed.
    pub user: User,
    /// The groups that were asked for; `user` has more.
    asked_groups: Vec<String>,
}

/// The group of the resources `userextras` and `uids`.
const AUTHENTICATION: &str = "authentication.k8s.io";

impl Impersonation {
    /// What the requester must be allowed, each of these, to become this user.
    pub fn checks<'a>(&'a self, requester: &'a User) -> Vec<Attributes<'a>> {
        let check = |group, resource, name| Attributes {
            group,
            name,
            ..Attributes::of(requester, "impersonate", resource)
        };
        let mut checks = vec![match service_account(&self.user.name) {
            Some((namespace, name)) => Attributes {
                namespace,
                ..check("", "serviceaccounts", name)
            },
            None => check("", "users", &self.user.name),
        }];
        checks.extend(
            self.asked_groups
                .iter()
                .map(|group| check("", "groups", group)),
        );
        if !self.user.uid.is_empty() {
            checks.push(check(AUTHENTICATION, "uids", &self.user.uid));
        }
        for (key, values) in &self.user.extra {
            checks.extend(values.iter().map(|value| Attributes {
                subresource: key,
                ..check(AUTHENTICATION, "userextras", value)
            }));
        }
        checks
    }
}

/// What the headers ask for, if they do.
///
/// # Errors
/// Parts of a user without the user: 500, as upstream has it; a header that is no text: 400.
pub fn impersonation(headers: &HeaderMap) -> Result<Option<Impersonation>, ApiError> {
    let mut user = User::default();
    for (header, value) in headers {
        let Some(part) = header.as_str().strip_prefix("impersonate-") else {
            continue;
        };
        let value = value
            .to_str()
            .map_err(|_| ApiError::bad_request(format!("header {header} is no text")))?
            .to_owned();
        match part {
            // Of repeated headers the first counts, as Go's `Header.Get` has it.
            "user" if user.name.is_empty() => user.name = value,
            "uid" if user.uid.is_empty() => user.uid = value,
            "user" | "uid" => {}
            "group" => user.groups.push(value),
            _ => {
                if let Some(key) = part.strip_prefix("extra-") {
                    user.extra.entry(unescape(key)).or_default().push(value);
                }
            }
        }
    }
    if user.name.is_empty() {
        if user == User::default() {
            return Ok(None);
        }
        let User {
            uid, groups, extra, ..
        } = user;
        return Err(ApiError::internal(format!(
            "requested [{uid:?} {groups:?} {extra:?}] without impersonating a user"
        )));
    }
    let asked_groups = user.groups.clone();
    if let (true, Some((namespace, _))) = (user.groups.is_empty(), service_account(&user.name)) {
        user.groups = super::service_account_groups(namespace);
    }
    let known = if user.name == ANONYMOUS {
        UNAUTHENTICATED
    } else {
        AUTHENTICATED
    };
    if !user.in_group(AUTHENTICATED) && !user.in_group(UNAUTHENTICATED) {
        user.groups.push(known.to_owned());
    }
    Ok(Some(Impersonation { user, asked_groups }))
}

/// Undoes `%2f` and the like in a key, which may hold what a header's name may not.
fn unescape(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = |digits: &[u8]| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        };
        match (first, tail.get(..2).and_then(hex)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    // What is no text is left as it was written.
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header's value"));
        }
        headers
    }

    #[test]
    fn what_is_asked_and_what_it_takes() {
        let asked = impersonation(&headers(&[
            ("impersonate-user", "jane"),
            ("impersonate-group", "dev"),
            ("impersonate-extra-example.com%2fscope", "all"),
        ]));
        let asked = asked.expect("well formed").expect("asked");
        assert_eq!(asked.user.groups, ["dev", AUTHENTICATED]);
        let me = User::anonymous();
        let checks: Vec<(&str, &str, &str)> = asked
            .checks(&me)
            .iter()
            .map(|c| (c.resource, c.subresource, c.name))
            .collect();
        let expected = [
            ("users", "", "jane"),
            ("groups", "", "dev"),
            ("userextras", "example.com/scope", "all"),
        ];
        assert_eq!(checks, expected);

        let account = [("impersonate-user", "system:serviceaccount:ns:web")];
        let account = impersonation(&headers(&account))
            .expect("well formed")
            .expect("asked");
        assert_eq!(account.checks(&me)[0].namespace, "ns");
        assert!(account.user.in_group("system:serviceaccounts:ns"));

        assert_eq!(impersonation(&headers(&[("accept", "x")])), Ok(None));
        let error = impersonation(&headers(&[("impersonate-group", "dev")])).expect_err("no user");
        assert_eq!(error.code, 500);
    }
}
