//! Which files a config map, a secret or the downward API puts into a volume.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret};

use super::atomic_writer::{FileEntry, Payload};
use crate::decide::fields::{self, PodAddresses};

/// Content by key.
pub type Data = BTreeMap<String, Vec<u8>>;

/// The content of a config map, text and binary.
pub fn config_map_data(map: &ConfigMap) -> Data {
    let text = map
        .data
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone().into_bytes()));
    let binary = map
        .binary_data
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.0.clone()));
    text.chain(binary).collect()
}

/// The content of a secret.
pub fn secret_data(secret: &Secret) -> Data {
    secret
        .data
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.0.clone()))
        .collect()
}

/// Files for `data`: all of it, or the `items` that are asked for.
///
/// # Errors
/// When an item's key is not there and the source is not optional.
pub fn keyed(
    data: &Data,
    items: Option<&[KeyToPath]>,
    default_mode: i32,
    optional: bool,
) -> Result<Payload, String> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let files = data
            .iter()
            .map(|(key, bytes)| (PathBuf::from(key), file(bytes, default_mode)));
        return Ok(files.collect());
    };
    let mut payload = Payload::new();
    for item in items {
        match data.get(&item.key) {
            Some(bytes) => {
                let mode = item.mode.unwrap_or(default_mode);
                payload.insert(PathBuf::from(&item.path), file(bytes, mode));
            }
            None if optional => {}
            None => return Err(format!("references non-existent config key: {}", item.key)),
        }
    }
    Ok(payload)
}

/// A file with permissions as the API writes them.
pub fn file(bytes: &[u8], mode: i32) -> FileEntry {
    FileEntry {
        bytes: bytes.to_vec(),
        mode: mode.unsigned_abs() & 0o777,
        owner: None,
    }
}

/// Files of the downward API.
///
/// # Errors
/// When one of them names a field that the downward API does not offer.
pub fn downward_api(
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    default_mode: i32,
    addresses: &PodAddresses,
    allocatable: &BTreeMap<String, String>,
) -> Result<Payload, String> {
    let mut payload = Payload::new();
    for item in items {
        let text = if let Some(reference) = &item.field_ref {
            fields::field(pod, &reference.field_path, addresses)?
        } else if let Some(reference) = &item.resource_field_ref {
            let container = reference.container_name.as_deref().unwrap_or_default();
            fields::resource(pod, container, reference, allocatable)?
        } else {
            continue;
        };
        let mode = item.mode.unwrap_or(default_mode);
        payload.insert(PathBuf::from(&item.path), file(text.as_bytes(), mode));
    }
    Ok(payload)
}
