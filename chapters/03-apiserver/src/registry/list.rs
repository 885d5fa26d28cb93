//! Lists: the objects of a resource as of one revision, in pages if asked for.
//!
//! The first page comes from the cache; the next ones from the store as it was at the first one's
//! revision, which the continue token names. Upstream: KEP-365 and
//! `apiserver/pkg/storage/continue.go`.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use etcd::api::{KeyRange, Revision};
use serde_json::{Value, json};

use super::cache::{Entry, Slot};
use super::{Registry, keys, range};
use crate::resources::Resource;
use crate::selectors::{FieldSelector, LabelSelector};
use crate::status::ApiError;

/// Which objects of a resource.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Those of a namespace; all where it is empty.
    pub namespace: String,
    /// Those with these labels.
    pub labels: LabelSelector,
    /// Those with these fields.
    pub fields: FieldSelector,
}

impl Selection {
    /// Whether an object is one of them.
    pub fn matches(&self, entry: &Entry) -> bool {
        (self.namespace.is_empty() || entry.namespace() == self.namespace)
            && self.labels.matches(&entry.labels[..])
            && self.fields.matches_fields(&entry.fields)
    }

    /// Whether it is all of a namespace, or all there are.
    fn is_whole(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

/// How fresh, and how many.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// `resourceVersion`, as sent: empty is the latest, `0` is whatever is at hand.
    pub resource_version: String,
    /// `resourceVersionMatch`: `Exact`, `NotOlderThan` or empty.
    pub version_match: String,
    /// At most so many; 0 is all.
    pub limit: usize,
    /// Where the last page ended.
    pub continue_token: String,
}

/// A list, or a page of it.
#[derive(Debug)]
pub struct Listed {
    /// The objects.
    pub entries: Vec<Arc<Entry>>,
    /// As of this revision.
    pub revision: Revision,
    /// Where the next page begins; empty where there is none.
    pub continue_token: String,
    /// How many are on the next pages, where that is known.
    pub remaining: Option<usize>,
}

impl Listed {
    /// `metadata` of the list.
    pub fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if !self.continue_token.is_empty() {
            metadata["continue"] = self.continue_token.as_str().into();
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        metadata
    }
}

impl Registry {
    /// Lists the objects of a resource.
    ///
    /// # Errors
    /// 400 if the options contradict each other, 410 if the revision is no longer kept, 504 if it
    /// has not come about.
    pub async fn list(
        &self,
        resource: &Resource<'_>,
        selection: &Selection,
        options: &ListOptions,
    ) -> Result<Listed, ApiError> {
        let slot = self.slot(resource)?;
        if !options.continue_token.is_empty() {
            if !options.version_match.is_empty() {
                return Err(invalid_match(resource, "is forbidden for continue"));
            }
            let (revision, after) = decode_token(&options.continue_token)?;
            let entries = self
                .snapshot(&slot, &selection.namespace, Some(&after), revision)
                .await?;
            return Ok(page(entries, revision, selection, options.limit));
        }
        let version = parse_version(&options.resource_version)?;
        match (options.version_match.as_str(), version) {
            ("Exact", None) => {
                return Err(invalid_match(
                    resource,
                    "is forbidden unless resourceVersion is provided",
                ));
            }
            ("Exact", Some(0)) => {
                return Err(invalid_match(
                    resource,
                    "is forbidden for resourceVersion \"0\"",
                ));
            }
            ("Exact", Some(revision)) => {
                self.wait_for(revision).await?;
                let entries = self
                    .snapshot(&slot, &selection.namespace, None, revision)
                    .await?;
                return Ok(page(entries, revision, selection, options.limit));
            }
            ("" | "NotOlderThan", None) => self.latest().await?,
            ("" | "NotOlderThan", Some(0)) => {}
            ("" | "NotOlderThan", Some(revision)) => self.wait_for(revision).await?,
            (other, _) => {
                return Err(invalid_match(
                    resource,
                    &format!("{other:?} is not one of Exact, NotOlderThan"),
                ));
            }
        }
        Ok(self.current(&slot, selection, options.limit))
    }

    /// The objects as the cache has them, at the revision it has reached.
    ///
    /// A change that is being taken in may be seen before the revision says so: such an object is
    /// told twice to a watch that begins at the revision, never not at all.
    pub fn current(&self, slot: &Slot, selection: &Selection, limit: usize) -> Listed {
        let revision = self.cache.revision();
        let entries = slot.objects(&selection.namespace, None);
        let revision = entries
            .iter()
            .map(|entry| entry.revision)
            .fold(revision, Revision::max);
        page(entries, revision, selection, limit)
    }

    /// The objects as they were at a revision.
    async fn snapshot(
        &self,
        slot: &Slot,
        namespace: &str,
        after: Option<&str>,
        revision: Revision,
    ) -> Result<Vec<Arc<Entry>>, ApiError> {
        let prefix = match namespace {
            "" => slot.prefix.clone(),
            namespace => format!("{}{}", slot.prefix, keys::local(namespace, "")),
        };
        // '0' is the byte after '/', with which every prefix ends.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let start = match after {
            Some(key) => format!("{}{key}\0", slot.prefix),
            None => prefix,
        };
        let mut request = range(KeyRange::Span(start.into(), end.into()));
        request.revision = revision;
        let found = self.store.range(request).await.map_err(|error| match error {
            etcd::api::Error::Compacted { .. } if after.is_some() => ApiError::gone(
                "The provided continue parameter is too old to display a consistent list result. \
                 You must start a new list without the continue parameter.",
            ),
            other => other.into(),
        })?;
        let entry = |kv: &etcd::api::KeyValue| {
            let key = std::str::from_utf8(&kv.key).unwrap_or_default();
            let key = key.strip_prefix(slot.prefix.as_str()).unwrap_or_default();
            Arc::new(Entry::new(&slot.resource(), key, kv))
        };
        Ok(found.kvs.iter().map(entry).collect())
    }

    /// Waits a moment for a revision that a client has seen elsewhere.
    ///
    /// # Errors
    /// 504 if it does not come about: the client knows another store than this one.
    pub async fn wait_for(&self, revision: Revision) -> Result<(), ApiError> {
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
        if tokio::time::timeout(PATIENCE, self.cache.reached(revision))
            .await
            .is_ok()
        {
            return Ok(());
        }
        let message = format!(
            "Too large resource version: {revision}, current: {}",
            self.cache.revision()
        );
        let mut error = ApiError::new(504, "Timeout", format!("Timeout: {message}"));
        let causes = json!([{"reason": "ResourceVersionTooLarge",
            "message": "Too large resource version"}]);
        let details = json!({"causes": causes, "retryAfterSeconds": 1});
        error.details = details.as_object().cloned();
        Err(error)
    }
}

/// Cuts a page out of what matches.
fn page(
    entries: Vec<Arc<Entry>>,
    revision: Revision,
    selection: &Selection,
    limit: usize,
) -> Listed {
    let mut matching = entries.into_iter().filter(|entry| selection.matches(entry));
    if limit == 0 {
        let entries = matching.collect();
        return Listed {
            entries,
            revision,
            continue_token: String::new(),
            remaining: None,
        };
    }
    let entries: Vec<_> = matching.by_ref().take(limit).collect();
    let rest = matching.count();
    let continue_token = match entries.last() {
        Some(last) if rest > 0 => encode_token(revision, &last.key),
        _ => String::new(),
    };
    let remaining = (rest > 0 && selection.is_whole()).then_some(rest);
    Listed {
        entries,
        revision,
        continue_token,
        remaining,
    }
}

/// A `resourceVersion` as sent; none where it is empty.
///
/// # Errors
/// 400 if it is not one.
pub fn parse_version(text: &str) -> Result<Option<Revision>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text
        .parse::<u64>()
        .ok()
        .and_then(|version| Revision::try_from(version).ok())
    {
        Some(version) => Ok(Some(version)),
        None => Err(ApiError::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: \
             invalid syntax"
        ))),
    }
}

fn invalid_match(resource: &Resource, detail: &str) -> ApiError {
    let mut error = ApiError::bad_request(format!(
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: \
         resourceVersionMatch {detail}"
    ));
    error.code = 422;
    error.reason = "Invalid";
    error.details = json!({"group": resource.group, "kind": "ListOptions"})
        .as_object()
        .cloned();
    error
}

fn encode_token(revision: Revision, last: &str) -> String {
    let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": last});
    BASE64_URL_SAFE_NO_PAD.encode(token.to_string())
}

fn decode_token(token: &str) -> Result<(Revision, String), ApiError> {
    let parsed = || {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let token: Value = serde_json::from_slice(&bytes).ok()?;
        let revision = token["rv"].as_i64().filter(|revision| *revision > 0)?;
        Some((revision, token["start"].as_str()?.to_owned()))
    };
    parsed().ok_or_else(|| {
        ApiError::bad_request("continue key is not valid: it was not made by this server")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        let token = encode_token(7, "default/web");
        assert_eq!(
            decode_token(&token).expect("is a token"),
            (7, "default/web".to_owned())
        );
        assert_eq!(decode_token("x").expect_err("is none").code, 400);
    }

    #[test]
    fn versions() {
        assert_eq!(parse_version("").expect("is empty"), None);
        assert_eq!(parse_version("12").expect("is one"), Some(12));
        assert_eq!(parse_version("-1").expect_err("is none").code, 400);
    }
}
