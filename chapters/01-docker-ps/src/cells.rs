//! The cells of a container's row, each as docker writes it.

use bollard::models::ContainerSummary;

use crate::columns::View;
use crate::duration;
use crate::template::Value;

/// Characters of an id that are enough to tell containers apart.
const SHORT_ID_LEN: usize = 12;
/// Characters of a command or a mount before it is cut.
const COMMAND_LEN: usize = 20;
const MOUNT_LEN: usize = 15;

/// The id, short unless all of it is wanted.
pub fn id(container: &ContainerSummary, view: &View) -> String {
    let id = container.id.clone().unwrap_or_default();
    if view.no_trunc { id } else { short(&id) }
}

/// An id without its algorithm, cut short.
fn short(id: &str) -> String {
    let digits = id.rsplit(':').next().unwrap_or(id);
    digits.chars().take(SHORT_ID_LEN).collect()
}

/// The image as it was named, or its short id where it was named by id.
pub fn image(container: &ContainerSummary, view: &View) -> String {
    let image = container.image.clone().unwrap_or_default();
    let image_id = short(container.image_id.as_deref().unwrap_or_default());
    match image.as_str() {
        "" => "<no image>".into(),
        _ if !view.no_trunc && short(&image) == image_id => image_id,
        _ => image,
    }
}

/// In quotes, as Go quotes.
pub fn command(container: &ContainerSummary, view: &View) -> String {
    let command = container.command.clone().unwrap_or_default();
    let shown = if view.no_trunc {
        command
    } else {
        cut(&command, COMMAND_LEN)
    };
    format!("{shown:?}")
}

fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length - 1).chain(['…']).collect()
}

/// `2026-11-28 02:01:23 +0000 UTC`
pub fn created_at(container: &ContainerSummary, view: &View) -> String {
    let created = jiff::Timestamp::from_second(container.created.unwrap_or_default());
    let created = created
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(view.zone.clone());
    created.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// `2 hours ago`
pub fn running_for(container: &ContainerSummary, view: &View) -> String {
    let age = view.now - container.created.unwrap_or(view.now);
    format!("{} ago", duration::human(age))
}

/// Without the slash; names under another container (old links) only when asked for.
pub fn names(container: &ContainerSummary, view: &View) -> String {
    let names = container.names.iter().flatten();
    let names = names.map(|name| name.trim_start_matches('/'));
    let shown: Vec<&str> = names
        .filter(|name| view.no_trunc || !name.contains('/'))
        .collect();
    shown.join(",")
}

/// `name=value`, sorted.
pub fn labels(container: &ContainerSummary) -> String {
    let labels = container.labels.iter().flatten();
    let mut pairs: Vec<String> = labels
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.sort();
    pairs.join(",")
}

/// Volumes by name, directories by path; bits of a path are cut away from its end.
pub fn mounts(container: &ContainerSummary, view: &View) -> String {
    let mounts = container.mounts.iter().flatten().map(|mount| {
        let name = mount.name.as_ref().filter(|name| !name.is_empty());
        let name = name.or(mount.source.as_ref()).map_or("", String::as_str);
        if view.no_trunc {
            name.to_owned()
        } else {
            cut(name, MOUNT_LEN)
        }
    });
    mounts.collect::<Vec<_>>().join(",")
}

/// How many volumes of this machine are mounted.
pub fn local_volumes(container: &ContainerSummary) -> String {
    let mounts = container.mounts.iter().flatten();
    let local = mounts.filter(|mount| mount.driver.as_deref() == Some("local"));
    local.count().to_string()
}

/// The networks' names, sorted.
pub fn networks(container: &ContainerSummary) -> String {
    let networks = container
        .network_settings
        .iter()
        .flat_map(|settings| &settings.networks);
    let mut names: Vec<&str> = networks.flatten().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.join(",")
}

/// `linux/amd64`, from engines that say it.
pub fn platform(container: &ContainerSummary) -> Value {
    let manifest = container.image_manifest_descriptor.as_ref();
    let Some(platform) = manifest.and_then(|manifest| manifest.platform.as_ref()) else {
        return Value::Nil;
    };
    let parts = [&platform.os, &platform.architecture, &platform.variant];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    parts.join("/").into()
}

/// What it wrote itself, and with its image's layers.
pub fn size(container: &ContainerSummary) -> String {
    let own = crate::size::human(container.size_rw.unwrap_or_default());
    match container.size_root_fs {
        Some(all) if all > 0 => format!("{own} (virtual {})", crate::size::human(all)),
        _ => own,
    }
}
