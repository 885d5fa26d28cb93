//! The two requests that everything is built from.

use std::fmt::Debug;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::PartialObjectMeta;
use serde::de::DeserializeOwned;

use crate::Object;

/// Objects in a page of a list: large lists come in pieces of this many, all of one revision.
const PAGE_LIMIT: u32 = 500;

/// How long the server keeps a watch open before it asks the client to come again.
const WATCH_TIMEOUT_SECONDS: u32 = 290;

/// All objects at one revision.
#[derive(Debug)]
pub struct Listed<K> {
    /// The objects.
    pub items: Vec<K>,
    /// The revision at which they were read: a watch goes on from here.
    pub resource_version: String,
}

/// Why a request failed, as far as a reflector cares.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The revision is no longer kept (410, or `Expired`): list anew.
    #[error("the revision is too old: {0}")]
    Expired(String),
    /// Anything else: wait a little and do the same again.
    #[error("{0}")]
    Failed(String),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) if status.code == 410 || status.reason == "Expired" => {
                Error::Expired(status.message)
            }
            other => Error::Failed(other.to_string()),
        }
    }
}

/// A watch that is open.
pub type Watch<K> = BoxStream<'static, Result<WatchEvent<K>, Error>>;

/// `list` and `watch` of one collection. Upstream: `cache.ListerWatcher`.
pub trait ListerWatcher<K>: Send + Sync + 'static {
    /// All objects, and the revision at which that was so.
    fn list(&self) -> BoxFuture<'_, Result<Listed<K>, Error>>;

    /// All changes after a revision.
    fn watch<'a>(&'a self, resource_version: &'a str) -> BoxFuture<'a, Result<Watch<K>, Error>>;
}

/// Lists and watches whole objects.
pub struct ObjectListerWatcher<K> {
    api: Api<K>,
    selection: Selection,
}

/// Which objects of the collection.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `app=web`
    pub label_selector: Option<String>,
    /// `spec.nodeName=`
    pub field_selector: Option<String>,
}

impl Selection {
    fn list_params(&self, continue_token: Option<String>) -> ListParams {
        let mut params = ListParams::default().limit(PAGE_LIMIT);
        params.label_selector.clone_from(&self.label_selector);
        params.field_selector.clone_from(&self.field_selector);
        params.continue_token = continue_token;
        params
    }

    fn watch_params(&self) -> WatchParams {
        let mut params = WatchParams::default().timeout(WATCH_TIMEOUT_SECONDS);
        params.label_selector.clone_from(&self.label_selector);
        params.field_selector.clone_from(&self.field_selector);
        params
    }
}

impl<K> ObjectListerWatcher<K> {
    /// All objects that `api` reaches and `selection` selects.
    pub fn new(api: Api<K>, selection: Selection) -> Self {
        ObjectListerWatcher { api, selection }
    }
}

/// Gathers the pages of a list. Every page carries the revision of the first.
macro_rules! list_pages {
    ($self:ident, $method:ident) => {
        Box::pin(async move {
            let mut items = Vec::new();
            let mut continue_token = None;
            loop {
                let page = $self
                    .api
                    .$method(&$self.selection.list_params(continue_token))
                    .await?;
                items.extend(page.items);
                continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
                if continue_token.is_none() {
                    let resource_version = page.metadata.resource_version.unwrap_or_default();
                    return Ok(Listed {
                        items,
                        resource_version,
                    });
                }
            }
        })
    };
}

impl<K: Object + DeserializeOwned> ListerWatcher<K> for ObjectListerWatcher<K> {
    fn list(&self) -> BoxFuture<'_, Result<Listed<K>, Error>> {
        list_pages!(self, list)
    }

    fn watch<'a>(&'a self, resource_version: &'a str) -> BoxFuture<'a, Result<Watch<K>, Error>> {
        Box::pin(async move {
            let events = self
                .api
                .watch(&self.selection.watch_params(), resource_version)
                .await?;
            Ok(events.map(|event| event.map_err(Error::from)).boxed())
        })
    }
}

/// Lists and watches the metadata of objects alone: what garbage collection needs of everything.
pub struct MetadataListerWatcher<K> {
    api: Api<K>,
    selection: Selection,
}

impl<K> MetadataListerWatcher<K> {
    /// The metadata of all objects that `api` reaches.
    pub fn new(api: Api<K>) -> Self {
        MetadataListerWatcher {
            api,
            selection: Selection::default(),
        }
    }
}

impl<K> ListerWatcher<PartialObjectMeta<K>> for MetadataListerWatcher<K>
where
    K: Object + DeserializeOwned,
{
    fn list(&self) -> BoxFuture<'_, Result<Listed<PartialObjectMeta<K>>, Error>> {
        list_pages!(self, list_metadata)
    }

    fn watch<'a>(
        &'a self,
        resource_version: &'a str,
    ) -> BoxFuture<'a, Result<Watch<PartialObjectMeta<K>>, Error>> {
        Box::pin(async move {
            let params = self.selection.watch_params();
            let events = self.api.watch_metadata(&params, resource_version).await?;
            Ok(events.map(|event| event.map_err(Error::from)).boxed())
        })
    }
}
