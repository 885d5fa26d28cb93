//! The document of OpenAPI v2, also known as Swagger.

use serde_json::{Map, Value, json};

use super::models::{Form, models, reference};
use super::operations::{Operation, paths};
use super::parameters::Parameter;
use crate::resources::{Catalog, Resource};

const JSON_AND_STREAM: &[&str] = &["application/json", "application/json;stream=watch"];

pub(super) fn document(catalog: &Catalog) -> Value {
    let resources: Vec<Resource> = catalog.all().collect();
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
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": super::v3::VERSION},
        "paths": items,
        "definitions": models(&resources, Form::V2),
        "securityDefinitions": {
            "BearerToken": {
                "description": "Bearer Token authentication",
                "type": "apiKey",
                "name": "authorization",
                "in": "header",
            },
        },
        "security": [{"BearerToken": []}],
    })
}

fn render(operation: &Operation) -> Value {
    let mut parameters: Vec<Value> = operation.parameters.iter().map(parameter).collect();
    if let Some(body) = &operation.body {
        let required = matches!(operation.method, "post" | "put" | "patch");
        let schema = reference(body, Form::V2);
        parameters
            .push(json!({"name": "body", "in": "body", "required": required, "schema": schema}));
    }
    let ok = match &operation.answer {
        Some(answer) => json!({"description": "OK", "schema": reference(answer, Form::V2)}),
        None => json!({"description": "OK", "schema": {"type": "string"}}),
    };
    let consumes = match operation.method {
        "patch" => operation.patches,
        _ => &["*/*"],
    };
    let produces = match (operation.action, &operation.answer) {
        ("list", _) => JSON_AND_STREAM,
        (_, Some(_)) => &["application/json"],
        (_, None) => &["*/*"],
    };
    json!({
        "description": operation.description,
        "operationId": operation.id,
        "tags": [operation.tag],
        "consumes": consumes,
        "produces": produces,
        "schemes": ["https"],
        "parameters": parameters,
        "responses": {"200": ok, "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": operation.kind,
    })
}

fn parameter(parameter: &Parameter) -> Value {
    let mut value = json!({
        "name": parameter.name,
        "in": if parameter.in_path { "path" } else { "query" },
        "type": parameter.kind,
        "description": parameter.description,
        "uniqueItems": true,
    });
    if parameter.in_path {
        value["required"] = true.into();
    }
    value
}
