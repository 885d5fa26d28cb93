//! Create and update: from what a client sent to what is stored.
//!
//! ```text
//! create   decode ▸ default ▸ prepare ▸ managed fields ▸ admit ▸ validate ▸ judge ▸ charge ▸ put if absent
//! update   read ▸ change ▸ default ▸ prepare ▸ … ▸ validate ▸ judge ▸ charge ▸ put if unchanged
//!            ▲──────────────────── somebody else was faster ────────────────────────┘
//! ```

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Registry, Target, delete, key, keys, meta, strategy};
use crate::admission::service_account;
use crate::apply;
use crate::authn::User;
use crate::defaults;
use crate::resources;
use crate::status::{ApiError, FieldError, Subject};
use crate::validation;

/// How often an update without a `resourceVersion` is tried before it gives up: each time somebody
/// else was faster, so the object is a busy one.
const ATTEMPTS: usize = 100;
/// How often a generated name may be taken before that is an error. Upstream: KEP-4420.
const GENERATED_NAMES: usize = 8;
/// How long a pod waits for the account of its new namespace, which a controller makes.
const ACCOUNT_PATIENCE: Duration = Duration::from_secs(1);
/// Letters of generated names: no vowels and nothing that looks like another, so that no words
/// come about. Upstream: `apimachinery/pkg/util/rand`.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// What is to be said to whoever writes, though the write is done.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Adds some; what was said already (a write that had to be tried again) is said once.
    pub fn add(&self, more: Vec<String>) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in more {
            if !said.contains(&warning) {
                said.push(warning);
            }
        }
    }

    /// All so far.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Who writes, and how.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// Who.
    pub user: &'a User,
    /// The name under which changed fields are owned.
    pub manager: &'a str,
    /// Do everything but the write.
    pub dry_run: bool,
    /// The change is an apply, which sets `managedFields` itself.
    pub apply: bool,
    /// Where warnings go, if anybody reads them.
    pub warnings: Option<&'a Warnings>,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The object as it is now.
    pub object: Value,
    /// It was not there before.
    pub created: bool,
}

impl Registry {
    /// Creates an object.
    ///
    /// # Errors
    /// 409 if the name is taken, 422 if fields are wrong, 403 or 404 if admission says no.
    pub async fn create(
        &self,
        target: &Target<'_>,
        object: Value,
        writer: &Writer<'_>,
    ) -> Result<Value, ApiError> {
        let prefix = meta::text(&object, "generateName").to_owned();
        let generated = meta::name(&object).is_empty() && !prefix.is_empty();
        let deadline = Instant::now() + ACCOUNT_PATIENCE;
        let mut attempt = 1;
        // Only who may have to try again keeps a copy.
        let retried = generated || self.lacks_account(target);
        let mut left = Some(object);
        loop {
            let mut changes = retried.then(|| self.accounts_changes());
            let object = if retried { left.clone() } else { left.take() };
            let mut object = object.expect("is tried once if it is not kept");
            if generated {
                meta::set(&mut object, "name", Some(generate_name(&prefix).into()));
            } else if meta::name(&object).is_empty()
                && strategy::is_named_by_server(target.resource)
            {
                let name = uuid::Uuid::new_v4().to_string();
                meta::set(&mut object, "name", Some(name.into()));
            }
            match self.create_named(target, object, writer).await {
                Err(error)
                    if generated
                        && error.reason == "AlreadyExists"
                        && attempt < GENERATED_NAMES =>
                {
                    attempt += 1;
                }
                Err(error) if service_account::is_worth_waiting_for(&error) => {
                    let Some(changes) = &mut changes else {
                        return Err(error);
                    };
                    match tokio::time::timeout_at(deadline, changes.changed()).await {
                        Ok(Ok(())) => {}
                        _ => return Err(error),
                    }
                }
                // A name that stands beside a prefix is the client's own; upstream says the same then.
                Err(error) if error.reason == "AlreadyExists" && !prefix.is_empty() => {
                    return Err(ApiError::not_generated(error));
                }
                result => return result,
            }
        }
    }

    /// Whether it is a pod of a namespace whose account a controller has yet to make.
    fn lacks_account(&self, target: &Target<'_>) -> bool {
        let account = Target {
            resource: resources::by_kind("", "v1", "ServiceAccount").expect("are served"),
            subresource: "",
            namespace: target.namespace,
            name: "default",
        };
        (target.resource.group, target.resource.plural) == ("", "pods")
            && self.entry(&account).is_ok_and(|found| found.is_none())
    }

    /// Wakes when a service account comes, changes or goes.
    fn accounts_changes(&self) -> tokio::sync::watch::Receiver<i64> {
        let resource = resources::by_kind("", "v1", "ServiceAccount").expect("are served");
        self.cache.slot(resource).expect("are stored").subscribe()
    }

    async fn create_named(
        &self,
        target: &Target<'_>,
        mut object: Value,
        writer: &Writer<'_>,
    ) -> Result<Value, ApiError> {
        let resource = target.resource;
        if meta::resource_version(&object) != 0 {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(ApiError::new(500, "", message));
        }
        let slot = self.slot(resource)?;
        let name = meta::name(&object).to_owned();
        let target = &Target {
            name: &name,
            ..*target
        };
        let now = meta::time(Timestamp::now());

        if !target.namespace.is_empty() {
            meta::set(&mut object, "namespace", Some(target.namespace.into()));
        } else {
            meta::set(&mut object, "namespace", None);
        }
        for field in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
        ] {
            meta::set(&mut object, field, None);
        }
        meta::set(
            &mut object,
            "uid",
            Some(uuid::Uuid::new_v4().to_string().into()),
        );
        meta::set(&mut object, "creationTimestamp", Some(now.as_str().into()));
        defaults::apply_defaults(resource, &mut object);
        strategy::prepare_create(resource, &mut object);
        strategy::fill_in_requester(resource, &mut object, writer.user);
        if !writer.apply {
            let version = keys::stored_as(resource).api_version();
            // The status of a new object is the server's, and not its writer's.
            let status = match object.as_object_mut() {
                Some(fields) if !strategy::takes_status(resource) => fields.remove("status"),
                _ => None,
            };
            apply::track_update(
                apply::Typed::of(&keys::stored_as(resource)),
                None,
                &mut object,
                writer.manager,
                "",
                &version,
                &now,
            );
            if let Some(status) = status {
                object["status"] = status;
            }
        }
        // After the record of who set what: what admission adds is nobody's.
        self.admit(target, None, &mut object, writer)?;
        let claim = self.claim_service(target, None, &mut object)?;
        self.validate(target, None, &object)?;
        self.judge(target, None, &object, writer)?;
        self.charge_limits(target, None, &object, writer).await?;

        if writer.dry_run {
            if let Some(kv) = self.read(target).await? {
                return Err(self.taken(target, &kv)?);
            }
            return Ok(object);
        }
        let lease = match resource.plural {
            "events" if resource.custom.is_none() => self.event_lease().await?,
            _ => 0,
        };
        let place = key(&slot, target);
        let stored = slot.codec.encode(&object);
        match self.put_if(place, stored, lease, 0).await? {
            Some(revision) => {
                claim.keep();
                self.follow_addresses(resource, None, Some(&object)).await;
                meta::set(
                    &mut object,
                    "resourceVersion",
                    Some(json!(revision.to_string())),
                );
                Ok(object)
            }
            None => match self.read(target).await? {
                Some(kv) => Err(self.taken(target, &kv)?),
                None => Err(ApiError::already_exists(target.subject())),
            },
        }
    }

    fn taken(&self, target: &Target<'_>, kv: &etcd::api::KeyValue) -> Result<ApiError, ApiError> {
        let live = self.parse(target.resource, &*self.slot(target.resource)?, kv)?;
        let mut error = ApiError::already_exists(target.subject());
        if meta::is_terminating(&live) {
            error.message = format!("object is being deleted: {}", error.message);
        }
        Ok(error)
    }

    /// Changes an object: `change` makes the new one of the live one, as often as it takes.
    /// Where there is none it gets none, and what it makes then is created, if the kind (or an
    /// apply) allows that.
    ///
    /// # Errors
    /// 404 if there is none, 409 if it was changed since the writer read it, and all of
    /// [`Registry::create`].
    pub async fn update(
        &self,
        target: &Target<'_>,
        writer: &Writer<'_>,
        mut change: impl FnMut(Option<&Value>) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        let slot = self.slot(target.resource)?;
        let creates = target.subresource.is_empty()
            && (writer.apply || strategy::allows_create_on_update(target.resource));
        for attempt in 0..ATTEMPTS {
            let Some(kv) = self.read(target).await? else {
                if !creates {
                    return Err(ApiError::not_found(target.subject()));
                }
                let mut object = change(None)?;
                if writer.apply && meta::resource_version(&object) != 0 {
                    return Err(ApiError::not_found(target.subject()));
                }
                meta::set(&mut object, "resourceVersion", None);
                match self.create(target, object, writer).await {
                    Err(error) if error.reason == "AlreadyExists" => continue,
                    result => {
                        return Ok(Written {
                            object: result?,
                            created: true,
                        });
                    }
                }
            };
            let live = self.parse(target.resource, &slot, &kv)?;
            let mut new = change(Some(&live))?;
            self.ready_update(target, &live, &mut new, writer)?;
            let claim = self.claim_service(target, Some(&live), &mut new)?;
            self.validate(target, Some(&live), &new)?;
            self.judge(target, Some(&live), &new, writer)?;
            // A second attempt is the same write, and paid for.
            if attempt == 0 {
                self.charge_limits(target, Some(&live), &new, writer)
                    .await?;
            }

            let stored = slot.codec.encode(&new);
            if stored == kv.value {
                return Ok(Written {
                    object: live,
                    created: false,
                });
            }
            if writer.dry_run {
                meta::set(
                    &mut new,
                    "resourceVersion",
                    live["metadata"].get("resourceVersion").cloned(),
                );
                return Ok(Written {
                    object: new,
                    created: false,
                });
            }
            if delete::is_released(target.resource, &new) {
                if self.remove(target, &kv, &live).await?.is_some() {
                    return Ok(Written {
                        object: new,
                        created: false,
                    });
                }
                continue;
            }
            let put = self.put_if(kv.key.clone(), stored, kv.lease, kv.mod_revision);
            if let Some(revision) = put.await? {
                claim.keep();
                self.follow_addresses(target.resource, Some(&live), Some(&new))
                    .await;
                meta::set(
                    &mut new,
                    "resourceVersion",
                    Some(json!(revision.to_string())),
                );
                return Ok(Written {
                    object: new,
                    created: false,
                });
            }
        }
        Err(ApiError::modified(target.subject()))
    }

    /// Makes what a client sent the next state of a live object.
    fn ready_update(
        &self,
        target: &Target<'_>,
        live: &Value,
        new: &mut Value,
        writer: &Writer<'_>,
    ) -> Result<(), ApiError> {
        let resource = target.resource;
        check_version(target, new, live)?;
        keep_metadata(new, live);
        defaults::apply_defaults(resource, new);
        strategy::prepare_update(resource, target.subresource, new, live);
        let now = meta::time(Timestamp::now());
        strategy::note_transition(resource, new, live, &now);
        if !writer.apply {
            // Here it is in the form that is stored, and its fields are noted as such.
            let stored_as = keys::stored_as(resource);
            apply::track_update(
                apply::Typed::of(&stored_as),
                Some(live),
                new,
                writer.manager,
                target.subresource,
                &stored_as.api_version(),
                &now,
            );
        }
        self.admit(target, Some(live), new, writer)
    }

    fn validate(
        &self,
        target: &Target<'_>,
        live: Option<&Value>,
        new: &Value,
    ) -> Result<(), ApiError> {
        let errors = match (live, target.subresource) {
            (None, _) => validation::validate_create(target.resource, new),
            (Some(live), "ephemeralcontainers") => {
                validation::validate_ephemeral_containers_update(new, live)
            }
            (Some(live), "approval") => validation::validate_approval_update(new, live),
            (Some(live), "resize") => validation::validate_resize(new, live),
            (Some(live), "status") => {
                validation::validate_status_update(target.resource, new, live)
            }
            // A binding sets what an update may not.
            (Some(_), "binding") => Vec::new(),
            (Some(live), _) => validation::validate_update(target.resource, new, live),
        };
        if errors.is_empty() {
            return Ok(());
        }
        let name = meta::name(new);
        Err(ApiError::invalid(
            Target { name, ..*target }.subject(),
            &errors,
        ))
    }
}

/// Checks that whoever writes has read what is there, or need not have.
fn check_version(target: &Target, new: &Value, live: &Value) -> Result<(), ApiError> {
    let text = meta::text(new, "resourceVersion");
    let wanted: u64 = match text {
        "" => 0,
        // As upstream: this is no mistake that it knows of.
        text => text.parse().map_err(|_| {
            let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
            ApiError::new(500, "", why)
        })?,
    };
    if wanted == 0 && !strategy::allows_unconditional_update(target.resource) {
        let detail = "must be specified for an update";
        let error = FieldError::invalid("metadata.resourceVersion", &json!(0), detail);
        // Upstream puts the resource in the kind's place.
        let subject = Subject {
            kind: target.resource.plural,
            ..target.subject()
        };
        return Err(ApiError::invalid(subject, &[error]));
    }
    let there = meta::resource_version(live).unsigned_abs();
    if wanted != 0 && wanted != there {
        return Err(ApiError::modified(target.subject()));
    }
    Ok(())
}

/// Takes over what the server has set. What was sent in its place is passed over, or, where it
/// differs and that could be meant, left for validation to refuse.
///
/// Upstream: `BeforeUpdate` in `apiserver/pkg/registry/rest/update.go`.
fn keep_metadata(new: &mut Value, live: &Value) {
    let was = |field: &str| live["metadata"].get(field).cloned();
    for field in ["creationTimestamp", "name", "namespace"] {
        meta::set(new, field, was(field));
    }
    if meta::uid(new).is_empty() {
        meta::set(new, "uid", was("uid"));
    }
    if meta::is_terminating(live) {
        meta::set(new, "deletionTimestamp", was("deletionTimestamp"));
    }
    let grace = "deletionGracePeriodSeconds";
    if new["metadata"][grace].is_null() {
        meta::set(new, grace, was(grace));
    }
    meta::set(new, "selfLink", None);
}

/// A name that nobody has thought of: the prefix and five letters.
fn generate_name(prefix: &str) -> String {
    const SUFFIX: usize = 5;
    const LONGEST: usize = 63;
    let mut prefix = prefix.to_owned();
    while prefix.len() > LONGEST - SUFFIX {
        prefix.pop();
    }
    let random = uuid::Uuid::new_v4().into_bytes();
    let letters = random[..SUFFIX]
        .iter()
        .map(|byte| LETTERS[usize::from(*byte) % LETTERS.len()]);
    prefix.extend(letters.map(char::from));
    prefix
}
