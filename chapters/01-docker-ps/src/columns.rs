//! The placeholders of `--format`: what each shows of a container, and its heading.
//!
//! Upstream: `cli/command/formatter/container.go` in docker/cli.

use std::collections::BTreeMap;

use bollard::models::ContainerSummary;
use jiff::tz::TimeZone;

use crate::template::{Fields, Value};
use crate::{cells, ports};

/// The placeholders without arguments, and their headings. `.Label "x"` comes on top.
pub const HEADINGS: [(&str, &str); 16] = [
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Names", "NAMES"),
    ("Networks", "NETWORKS"),
    ("Node", "NODE"),
    ("Platform", "PLATFORM"),
    ("Ports", "PORTS"),
    ("RunningFor", "CREATED"),
    ("Size", "SIZE"),
    ("State", "STATE"),
    ("Status", "STATUS"),
];
/// The type of a container in Go's messages.
const GO_TYPE: &str = "*formatter.ContainerContext";

/// A container, and the node that it is on if there are several.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its node's name.
    pub node: Option<String>,
    /// What the engine says of it.
    pub container: ContainerSummary,
}

/// How containers are looked at.
#[derive(Debug, Clone)]
pub struct View {
    /// Whole ids, commands and names.
    pub no_trunc: bool,
    /// The time, in seconds of Unix time.
    pub now: i64,
    /// Where the clock on the wall hangs.
    pub zone: TimeZone,
}

/// A row, as a template sees it.
pub struct RowFields<'a> {
    /// The row.
    pub row: &'a Row,
    /// How it is looked at.
    pub view: &'a View,
}

impl Fields for RowFields<'_> {
    fn field(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        let RowFields { row, view } = self;
        let container = &row.container;
        if name == "Label" {
            let label = label_argument(arguments)?;
            let value = container
                .labels
                .as_ref()
                .and_then(|labels| labels.get(label));
            return Ok(value.cloned().unwrap_or_default().into());
        }
        known(name)?;
        if !arguments.is_empty() {
            return Err(format!(
                "wrong number of args for {name}: want 0 got {}",
                arguments.len()
            ));
        }
        let text = match name {
            "Command" => cells::command(container, view),
            "CreatedAt" => cells::created_at(container, view),
            "ID" => cells::id(container, view),
            "Image" => cells::image(container, view),
            "Labels" => cells::labels(container),
            "LocalVolumes" => cells::local_volumes(container),
            "Mounts" => cells::mounts(container, view),
            "Names" => cells::names(container, view),
            "Networks" => cells::networks(container),
            "Node" => row.node.clone().unwrap_or_default(),
            "Platform" => return Ok(cells::platform(container)),
            "Ports" => ports::displayable(container.ports.as_deref().unwrap_or_default()),
            "RunningFor" => cells::running_for(container, view),
            "Size" => cells::size(container),
            "State" => container
                .state
                .map(|state| state.to_string())
                .unwrap_or_default(),
            "Status" => container.status.clone().unwrap_or_default(),
            _ => unreachable!("every heading has a value"),
        };
        Ok(text.into())
    }

    /// An object of all fields, as `{{json .}}` shows it.
    fn all(&self) -> Value {
        let names = HEADINGS.iter().map(|(name, _)| *name);
        let shown = names.filter(|name| *name != "Node" || self.row.node.is_some());
        let value = |name| (name, self.field(name, &[]).expect("it has a heading"));
        Value::Map(shown.map(value).collect())
    }
}

/// The headings, as a template sees them.
pub struct HeadingFields;

impl Fields for HeadingFields {
    fn field(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        if name == "Label" {
            // The last part of `com.example.my-label`, in words.
            let label = label_argument(arguments)?;
            let last = label.rsplit('.').next().unwrap_or(label);
            return Ok(last.replace(['-', '_'], " ").into());
        }
        known(name).map(Value::from)
    }

    fn all(&self) -> Value {
        Value::Map(BTreeMap::from_iter(
            HEADINGS.map(|(name, heading)| (name, heading.into())),
        ))
    }

    fn is_heading(&self) -> bool {
        true
    }
}

/// The heading of a placeholder.
fn known(name: &str) -> Result<&'static str, String> {
    let heading = HEADINGS.iter().find(|(known, _)| *known == name);
    let heading = heading.map(|(_, heading)| *heading);
    heading.ok_or_else(|| format!("can't evaluate field {name} in type {GO_TYPE}"))
}

fn label_argument(arguments: &[Value]) -> Result<&str, String> {
    match arguments {
        [Value::Text(label)] => Ok(label),
        [_] => Err("expected string".into()),
        _ => Err(format!(
            "wrong number of args for Label: want 1 got {}",
            arguments.len()
        )),
    }
}
