//! The documents of OpenAPI v3, one for each group and version.

use serde_json::{Map, Value, json};

use super::models::{Form, models, reference};
use super::operations::{Operation, paths};
use super::parameters::Parameter;
use crate::resources::Resource;

/// Version of the API that is served.
pub(super) const VERSION: &str = "v1.36.2";

pub(super) fn document(resources: &[Resource]) -> Value {
    let mut items = Map::new();
    for path in resources.iter().flat_map(paths) {
        let mut item = Map::new();
        for operation in &path.operations {
            item.insert(operation.method.into(), render(operation));
        }
        let parameters: Vec<Value> = path.parameters.iter().map(parameter).collect();
        item.insert("parameters".into(), parameters.into());
        items.insert(path.path, Value::Object(item));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": items,
        "components": {
            "schemas": models(resources, Form::V3),
            "securitySchemes": {
                "BearerToken": {
                    "description": "Bearer Token authentication",
                    "type": "apiKey",
                    "name": "authorization",
                    "in": "header",
                },
            },
        },
    })
}

fn render(operation: &Operation) -> Value {
    let parameters: Vec<Value> = operation.parameters.iter().map(parameter).collect();
    let mut rendered = json!({
        "description": operation.description,
        "operationId": operation.id,
        "tags": [operation.tag],
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "content": answer(operation)},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": operation.kind,
    });
    if let Some(body) = &operation.body {
        let types = if operation.method == "patch" {
            operation.patches
        } else {
            &["*/*"]
        };
        rendered["requestBody"] = json!({"content": content(types, body)});
        if operation.method != "delete" {
            rendered["requestBody"]["required"] = true.into();
        }
    }
    rendered
}

fn answer(operation: &Operation) -> Value {
    match (&operation.answer, operation.action) {
        (Some(answer), "list") => content(
            &["application/json", "application/json;stream=watch"],
            answer,
        ),
        (Some(answer), _) => content(&["application/json"], answer),
        (None, _) => json!({"*/*": {"schema": {"type": "string"}}}),
    }
}

fn content(types: &[&str], model: &str) -> Value {
    let schema = reference(model, Form::V3);
    types
        .iter()
        .map(|name| ((*name).to_owned(), json!({"schema": schema})))
        .collect()
}

fn parameter(parameter: &Parameter) -> Value {
    let mut value = json!({
        "name": parameter.name,
        "in": if parameter.in_path { "path" } else { "query" },
        "description": parameter.description,
        "schema": {"type": parameter.kind, "uniqueItems": true},
    });
    if parameter.in_path {
        value["required"] = true.into();
    }
    value
}
