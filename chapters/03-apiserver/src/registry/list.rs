//! Lists: the objects of a resource as of one revision, in pages if asked for.
//!
//! How fresh a list is, its client says with `resourceVersion` and `resourceVersionMatch`:
//!
//! | version | match | without `limit` | with `limit` |
//! | --- | --- | --- | --- |
//! | none | none | the latest | the latest |
//! | 0 | none, `NotOlderThan` | what is at hand | what is at hand |
//! | n | none | n or newer | n |
//! | n | `NotOlderThan` | n or newer | n or newer |
//! | n | `Exact` | n | n |
//!
//! The first page comes from the cache; the next ones from the store as it was at the first one's
//! revision, which the continue token names. When that is no longer kept, the answer is 410 with
//! another token, which goes on with the objects as they are now. Upstream: KEP-365,
//! `apiserver/pkg/storage/{continue,interfaces}.go` and `apimachinery/pkg/apis/meta/internalversion/validation`.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use etcd::api::{KeyRange, Revision};
use serde_json::{Value, json};

use super::cache::{Entry, Slot};
use super::{Registry, keys, range};
use crate::resources::Resource;
use crate::selectors::{FieldSelector, LabelSelector};
use crate::status::{ApiError, FieldError, Subject};

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
    /// `sendInitialEvents` is given, which is for watches.
    pub send_initial_events: bool,
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
        options.check()?;
        let (namespace, limit) = (&*selection.namespace, options.limit);
        if !options.continue_token.is_empty() {
            let (revision, after) = decode_token(&options.continue_token)?;
            if !matches!(&*options.resource_version, "" | "0") {
                return Err(ApiError::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            let Some(revision) = revision else {
                self.latest().await?;
                let revision = self.cache.revision();
                let entries = slot.objects(namespace, Some(&after));
                return Ok(page(entries, 0, revision, selection, limit));
            };
            return self
                .page_at(&slot, Some(&after), revision, selection, limit)
                .await;
        }
        let version = parse_version(&options.resource_version)?;
        match freshness(version, &options.version_match, limit) {
            Freshness::Latest => self.latest().await?,
            Freshness::AtHand => {}
            Freshness::NotOlderThan(revision) => self.wait_for(revision).await?,
            Freshness::Exactly(revision) => {
                self.wait_for(revision).await?;
                return self.page_at(&slot, None, revision, selection, limit).await;
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
        page(entries, 0, revision, selection, limit)
    }

    /// A page of the objects as they were at a revision.
    async fn page_at(
        &self,
        slot: &Slot,
        after: Option<&str>,
        revision: Revision,
        selection: &Selection,
        limit: usize,
    ) -> Result<Listed, ApiError> {
        let prefix = match &*selection.namespace {
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
        // A page of everything is no more than that. Of those that a selector picks nobody knows
        // where the page ends.
        if selection.is_whole() {
            request.limit = i64::try_from(limit).unwrap_or_default();
        }
        let found = self
            .store
            .range(request)
            .await
            .map_err(|error| match error {
                etcd::api::Error::Compacted { .. } => expired(after),
                other => other.into(),
            })?;
        let entry = |kv: &etcd::api::KeyValue| {
            let key = std::str::from_utf8(&kv.key).unwrap_or_default();
            let key = key.strip_prefix(slot.prefix.as_str()).unwrap_or_default();
            // Most have not changed since, and need not be read again.
            match slot.get(key) {
                Some(cached) if cached.revision == kv.mod_revision => cached,
                _ => Arc::new(Entry::new(&slot.resource(), key, kv)),
            }
        };
        let beyond = usize::try_from(found.count).unwrap_or_default() - found.kvs.len();
        let entries = found.kvs.iter().map(entry).collect();
        Ok(page(entries, beyond, revision, selection, limit))
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

/// As of when a list is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As of now: nothing that was written before it was asked for is missing.
    Latest,
    /// Whatever is at hand.
    AtHand,
    /// As of this revision, or a later one.
    NotOlderThan(Revision),
    /// As of this revision, and no other.
    Exactly(Revision),
}

/// How fresh a client wants its list: the table above.
pub fn freshness(version: Option<Revision>, version_match: &str, limit: usize) -> Freshness {
    // ANCHOR: exercise-03.11
    match (version, version_match) {
        (None, _) => Freshness::Latest,
        (Some(0), _) => Freshness::AtHand,
        (Some(revision), "Exact") => Freshness::Exactly(revision),
        // Pages of a version that a client names are of exactly that version, since long before
        // there was `resourceVersionMatch`.
        (Some(revision), "") if limit > 0 => Freshness::Exactly(revision),
        (Some(revision), _) => Freshness::NotOlderThan(revision),
    }
    // ANCHOR_END: exercise-03.11
}

/// Cuts a page out of what matches; so many more are `beyond` what was read.
pub fn page(
    entries: Vec<Arc<Entry>>,
    beyond: usize,
    revision: Revision,
    selection: &Selection,
    limit: usize,
) -> Listed {
    // ANCHOR: exercise-03.12
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
    let rest = matching.count() + beyond;
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
    // ANCHOR_END: exercise-03.12
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

impl ListOptions {
    /// Checks that the options do not contradict each other.
    fn check(&self) -> Result<(), ApiError> {
        let mut errors = Vec::new();
        let mut forbid = |field: &str, detail: &str| {
            errors.push(FieldError::forbidden(field, detail));
        };
        let wanted = &*self.version_match;
        if !wanted.is_empty() {
            if self.resource_version.is_empty() {
                let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                forbid(MATCH, detail);
            }
            if !self.continue_token.is_empty() {
                forbid(
                    MATCH,
                    "resourceVersionMatch is forbidden when continue is provided",
                );
            }
            if wanted == "Exact" && self.resource_version == "0" {
                let detail =
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                forbid(MATCH, detail);
            }
        }
        if self.send_initial_events {
            forbid(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            );
        }
        if !matches!(wanted, "" | "Exact" | "NotOlderThan") {
            let known = ["Exact", "NotOlderThan", ""];
            errors.push(FieldError::not_supported(MATCH, &wanted.into(), &known));
        }
        invalid_options(&errors)
    }
}

/// The option that says how a version is meant.
pub const MATCH: &str = "resourceVersionMatch";

/// 422 for options of a list or watch, if any of them is wrong.
///
/// # Errors
/// If there are errors.
pub fn invalid_options(errors: &[FieldError]) -> Result<(), ApiError> {
    let subject = Subject {
        group: "meta.k8s.io",
        resource: "",
        kind: "ListOptions",
        name: "",
    };
    match errors {
        [] => Ok(()),
        errors => Err(ApiError::invalid(subject, errors)),
    }
}

/// 410: a list of a revision that is no longer kept. Who has a part of it may have the rest as it
/// is now.
fn expired(after: Option<&str>) -> ApiError {
    let Some(after) = after else {
        return ApiError::gone("The resourceVersion for the provided list is too old.");
    };
    let mut error = ApiError::gone(
        "The provided continue parameter is too old to display a consistent list result. You can \
         start a new list without the continue parameter, or use the continue token in this \
         response to retrieve the remainder of the results. Continuing with the provided token \
         results in an inconsistent list - objects that were created, modified, or deleted between \
         the time the first chunk was returned and now may show up in the list.",
    );
    error.continue_token = encode_token(LATEST, after);
    error
}

/// In a token: go on with the objects as they are now.
const LATEST: Revision = -1;

fn encode_token(revision: Revision, last: &str) -> String {
    let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": last});
    BASE64_URL_SAFE_NO_PAD.encode(token.to_string())
}

/// Of which revision a page is, none for the latest, and after which key it begins.
///
/// # Errors
/// 400 if it is no token of this server's.
pub fn decode_token(token: &str) -> Result<(Option<Revision>, String), ApiError> {
    let refuse = |why: &str| {
        let invalid = "invalid continue token: continue key is not valid";
        Err(ApiError::bad_request(format!("{invalid}: {why}")))
    };
    let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(token) else {
        return refuse("it is no base64");
    };
    let Ok(token) = serde_json::from_slice::<Value>(&bytes) else {
        return refuse("it is no JSON");
    };
    if token["v"] != "meta.k8s.io/v1" {
        return refuse("server does not recognize this encoded version");
    }
    let revision = token["rv"].as_i64().unwrap_or_default();
    let start = token["start"].as_str().unwrap_or_default();
    if revision == 0 {
        return refuse("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
    }
    if start.is_empty() {
        return refuse("encoded start key empty (version meta.k8s.io/v1)");
    }
    Ok(((revision > 0).then_some(revision), start.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        let token = encode_token(7, "default/web");
        assert_eq!(
            decode_token(&token).expect("is a token"),
            (Some(7), "default/web".to_owned())
        );
        let latest = encode_token(LATEST, "web");
        assert_eq!(
            decode_token(&latest).expect("is one"),
            (None, "web".to_owned())
        );
        for wrong in ["x", "e30", &encode_token(0, "web"), &encode_token(7, "")] {
            assert_eq!(decode_token(wrong).expect_err("is none").code, 400);
        }
    }

    #[test]
    fn versions() {
        assert_eq!(parse_version("").expect("is empty"), None);
        assert_eq!(parse_version("12").expect("is one"), Some(12));
        assert_eq!(parse_version("-1").expect_err("is none").code, 400);
    }
}
