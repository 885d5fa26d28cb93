//! The parameters of requests, by verb.

/// A parameter of a path or of a query.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) in_path: bool,
    pub(super) description: &'static str,
}

/// Content types of a patch.
pub(super) const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Those of custom resources: nothing says how a strategic merge patch would merge their lists.
pub(super) const PATCHES_OF_CUSTOM: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];

const fn query(name: &'static str, kind: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        in_path: false,
        description,
    }
}

const fn in_path(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        kind: "string",
        in_path: true,
        description,
    }
}

/// In paths to one object.
pub(super) const NAME: Parameter = in_path("name", "name of the object");
/// In paths within a namespace.
pub(super) const NAMESPACE: Parameter = in_path(
    "namespace",
    "object name and auth scope, such as for teams and projects",
);
/// Of every request.
pub(super) const PRETTY: Parameter = query(
    "pretty",
    "string",
    "If 'true', then the output is indented.",
);

const WRITE: &[Parameter] = &[
    query(
        "dryRun",
        "string",
        "'All': check and answer the request, but do not store it.",
    ),
    query(
        "fieldManager",
        "string",
        "Who owns the fields that this request changes.",
    ),
    query(
        "fieldValidation",
        "string",
        "What is done about unknown and duplicate fields: Ignore, Warn or Strict.",
    ),
];
const FORCE: Parameter = query(
    "force",
    "boolean",
    "Take over fields that others own. Of apply requests only.",
);
const DELETE: &[Parameter] = &[
    query(
        "dryRun",
        "string",
        "'All': check and answer the request, but delete nothing.",
    ),
    query(
        "gracePeriodSeconds",
        "integer",
        "Seconds before the object is deleted.",
    ),
    query(
        "orphanDependents",
        "boolean",
        "Deprecated: use propagationPolicy.",
    ),
    query(
        "propagationPolicy",
        "string",
        "What becomes of dependents: Orphan, Background, Foreground.",
    ),
];
const LIST: &[Parameter] = &[
    query(
        "allowWatchBookmarks",
        "boolean",
        "Send bookmarks in a watch.",
    ),
    query(
        "continue",
        "string",
        "Where the last part of the list ended.",
    ),
    query(
        "fieldSelector",
        "string",
        "Only objects whose fields match.",
    ),
    query(
        "labelSelector",
        "string",
        "Only objects whose labels match.",
    ),
    query("limit", "integer", "Most objects in one part of the list."),
    query("resourceVersion", "string", "From which version on."),
    query(
        "resourceVersionMatch",
        "string",
        "How resourceVersion applies to a list.",
    ),
    query(
        "sendInitialEvents",
        "boolean",
        "Begin a watch with what is there.",
    ),
    query(
        "timeoutSeconds",
        "integer",
        "How long a list or a watch may take.",
    ),
    query("watch", "boolean", "Watch, in place of a list."),
];

/// Those of a verb's query.
pub(super) fn parameters(verb: &str) -> Vec<Parameter> {
    match verb {
        "list" => LIST.to_vec(),
        "create" | "update" => WRITE.to_vec(),
        "patch" => [WRITE, &[FORCE]].concat(),
        "delete" => DELETE.to_vec(),
        "deletecollection" => [DELETE, LIST].concat(),
        _ => Vec::new(),
    }
}
