//! Selectors: which objects of a list or a watch are wanted.
//!
//! Two languages, both told in a query string and both a list of terms that must all hold:
//!
//! | parameter | example | over |
//! | --- | --- | --- |
//! | `labelSelector` | `app=web,tier in (a,b),!canary` | `metadata.labels`, any key |
//! | `fieldSelector` | `spec.nodeName=worker-1,status.phase!=Failed` | a few fields, fixed for each kind |
//!
//! A missing label is told apart from an empty one; a missing field is not (`spec.nodeName=` finds
//! the pods without a node). Which fields can be selected by is [`fields`]'s table: the watch
//! cache keeps just those of each object, so that a selector never needs the parsed object.
//!
//! Upstream: `staging/src/k8s.io/apimachinery/pkg/labels/selector.go`, `…/pkg/fields/selector.go`.

pub mod fields;
pub mod labels;
mod lexer;
mod parser;

pub use fields::{FieldSelector, places, selectable_fields};
pub use labels::{LabelSelector, Labels, Operator, Requirement};
