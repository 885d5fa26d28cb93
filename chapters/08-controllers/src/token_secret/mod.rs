//! Fills in the Secrets that ask for a service account's token, and removes them with the account.
//! Upstream: `pkg/controller/serviceaccount/tokens_controller.go`.
//!
//! Pods have tokens that end by themselves, which the kubelet asks for. Who needs one that does
//! not end makes a Secret, and finds the token in it:
//!
//! ```text
//!  Secret, by hand                           the same Secret, filled in
//!   type: kubernetes.io/service-account-token
//!   annotations:                       ──►    annotations:
//!     kubernetes.io/service-account.name: web   kubernetes.io/service-account.uid: …
//!                                             data: token, namespace, ca.crt
//! ```
//!
//! [`plan`] says what is to be done. The Secret is what the token lives by: with the Secret, or
//! with its account, the token is good no more (chapter 3, `authn/legacy.rs`).

pub mod plan;

use std::sync::Arc;

use informers::work_queue::WorkQueue;
use informers::{join_key, key_of, split_key};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use token_key::TokenKey;

use crate::context::{Context, Outcome, SharedInformers};
use crate::error::{ignore_not_found, is_conflict};
use plan::Plan;

/// A Secret's `namespace/name`, and the name of the account that it asks for a token of: when the
/// Secret is gone, nothing else says whose it was.
type Key = (String, String);

/// Adds the controller's handlers and returns what starts it. `root_ca` is the certificate of the
/// cluster's authority; without one, none is put into Secrets.
pub fn register(
    informers: &mut SharedInformers,
    key: TokenKey,
    root_ca: Option<String>,
) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<Key> = WorkQueue::default();
    let secrets = queue.clone();
    informers
        .token_secrets
        .on_event(move |event| secrets.add(queued(event.object())));
    let (accounts, store) = (queue.clone(), informers.token_secrets.store());
    informers.service_accounts.on_event(move |event| {
        let account = event.object();
        let namespace = account.namespace().unwrap_or_default();
        for secret in store.in_namespace(&namespace) {
            if plan::account_of(&secret) == account.name_any() {
                accounts.add(queued(&secret));
            }
        }
    });

    let (signer, root_ca) = (Arc::new(key), root_ca.map(Arc::<str>::from));
    move |context| {
        context.work("token-secret", &queue, 1, move |context, key| {
            let (signer, root_ca) = (signer.clone(), root_ca.clone());
            Box::pin(async move { reconcile(&context, &key, &signer, root_ca.as_deref()).await })
        });
    }
}

fn queued(secret: &Secret) -> Key {
    (key_of(secret), plan::account_of(secret).to_owned())
}

async fn reconcile(
    context: &Context,
    (key, account): &Key,
    signer: &TokenKey,
    root_ca: Option<&str>,
) -> Outcome {
    let (namespace, name) = split_key(key);
    let known = context
        .stores
        .service_accounts
        .get(&join_key(namespace, account));
    let api = Api::<Secret>::namespaced(context.client.clone(), namespace);
    let Some(secret) = context.stores.token_secrets.get(key) else {
        if let Some(account) = known {
            forget(context, &account, name).await?;
        }
        return Ok(None);
    };
    let account = match known.filter(|account| plan::is_of(&secret, account)) {
        Some(account) => Some(account),
        // The Secret may be here before its account is: what is deleted does not come back.
        None => fetch(context, namespace, account).await?.map(Arc::new),
    };
    match (plan::plan(&secret, account.as_deref(), root_ca), account) {
        (Plan::Fill, Some(account)) => {
            let filled = plan::fill(&secret, &account, root_ca, |claims| signer.sign(claims));
            let written = api.replace(name, &PostParams::default(), &filled).await;
            unless_changed(written)?;
        }
        (Plan::Delete, _) => {
            let params = DeleteParams::default().preconditions(Preconditions {
                uid: secret.metadata.uid.clone(),
                resource_version: None,
            });
            unless_changed(api.delete(name, &params).await)?;
        }
        _ => {}
    }
    Ok(None)
}

async fn fetch(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<ServiceAccount>, kube::Error> {
    if name.is_empty() {
        return Ok(None);
    }
    let api = Api::<ServiceAccount>::namespaced(context.client.clone(), namespace);
    api.get_opt(name).await
}

/// Takes a Secret that is gone out of what its account lists.
async fn forget(
    context: &Context,
    account: &ServiceAccount,
    secret: &str,
) -> Result<(), kube::Error> {
    let Some(account) = plan::without_reference(account, secret) else {
        return Ok(());
    };
    let namespace = account.namespace().unwrap_or_default();
    let api = Api::<ServiceAccount>::namespaced(context.client.clone(), &namespace);
    let (name, params) = (account.name_any(), PostParams::default());
    ignore_not_found(api.replace(&name, &params, &account).await).map(drop)
}

/// Whoever was faster made an event, and by that it is looked at again.
fn unless_changed<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match ignore_not_found(result) {
        Err(error) if !is_conflict(&error) => Err(error),
        _ => Ok(()),
    }
}
