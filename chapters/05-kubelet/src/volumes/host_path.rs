//! `hostPath`: a path of the node, after its type was checked.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, PathBuf};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

/// The path, made if its type asks for that. Upstream: `pkg/volume/hostpath`.
///
/// # Errors
/// When what is there is not what the type says.
pub fn check(source: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = PathBuf::from(&source.path);
    let text = path.display();
    let type_ = source.type_.as_deref().unwrap_or("");
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!(
            "hostPath type check failed: {text} must not contain '..'"
        ));
    }
    let made = match type_ {
        "DirectoryOrCreate" if !path.exists() => fs::create_dir_all(&path),
        "FileOrCreate" if !path.exists() => fs::File::create(&path).map(drop),
        _ => Ok(()),
    };
    made.map_err(|error| format!("hostPath {text}: {error}"))?;
    let kind = fs::metadata(&path).map(|meta| meta.file_type());
    let (fits, what) = match (&kind, type_) {
        // Anything goes, also what is not there: the runtime makes a folder of it.
        (_, "") => (true, ""),
        (Ok(kind), "Directory" | "DirectoryOrCreate") => (kind.is_dir(), "a directory"),
        (Ok(kind), "File" | "FileOrCreate") => (kind.is_file(), "a file"),
        (Ok(kind), "Socket") => (kind.is_socket(), "a socket"),
        (Ok(kind), "CharDevice") => (kind.is_char_device(), "a character device"),
        (Ok(kind), "BlockDevice") => (kind.is_block_device(), "a block device"),
        (Err(_), "Directory" | "DirectoryOrCreate") => (false, "a directory"),
        (Err(_), _) => (false, "there"),
        (Ok(_), other) => return Err(format!("{other} is an invalid volume type")),
    };
    if !fits {
        return Err(format!("hostPath type check failed: {text} is not {what}"));
    }
    if type_.is_empty() && kind.is_err() {
        fs::create_dir_all(&path).map_err(|error| format!("hostPath {text}: {error}"))?;
    }
    Ok(path)
}
