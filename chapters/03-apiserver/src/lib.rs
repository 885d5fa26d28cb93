//! Chapter 3: the Kubernetes API over the store.

pub mod admission;
pub mod alloc;
pub mod apply;
pub mod authn;
pub mod authz;
pub mod defaults;
pub mod http;
pub mod openapi;
pub mod patch;
pub mod registry;
pub mod resources;
pub mod schema;
pub mod selectors;
pub mod status;
pub mod table;
pub mod validation;
