//! `lab doctor --runtime docker`: what the engine lacks for a lab.

use std::path::Path;

use bollard::models::SystemInfo;

use super::engine::{Engine, failed};
use crate::lab::Error;
use crate::lab::disk::Disk;
use crate::lab::doctor::Finding;

/// The oldest API that will do: that of Docker 20.10.
const API_MINOR_MIN: usize = 41;
/// What helps where the engine's disk is full.
const FIX: &str = "free some of the engine's disk: `docker system df` says what is on it";

/// Looks at the engine.
///
/// # Errors
/// When it stops answering meanwhile.
pub async fn findings() -> Result<Vec<Finding>, Error> {
    let engine = match Engine::connect().await {
        Ok(engine) => engine,
        Err(error) => {
            let fix = "see above; `DOCKER_HOST` may name another socket";
            return Ok(vec![Finding::bad(error.to_string(), fix)]);
        }
    };
    let info = engine
        .docker
        .info()
        .await
        .map_err(failed("say how it is"))?;
    let version = engine.docker.client_version();
    Ok(vec![
        api(version.major_version, version.minor_version, &info),
        system(&info),
        disk(&info),
    ])
}

fn api(major: usize, minor: usize, info: &SystemInfo) -> Finding {
    let engine = info.server_version.as_deref().unwrap_or("?");
    let what = format!("Docker engine {engine} answers, with API {major}.{minor}");
    if (major, minor) >= (1, API_MINOR_MIN) {
        return Finding::good(what);
    }
    Finding::bad(what, "Docker 20.10 or later")
}

fn system(info: &SystemInfo) -> Finding {
    match info.os_type.as_deref() {
        Some("linux") | None => Finding::good("it runs Linux containers"),
        Some(other) => Finding::bad(
            format!("it runs containers of {other}"),
            "switch it to Linux containers",
        ),
    }
}

fn disk(info: &SystemInfo) -> Finding {
    let root = root_dir(info);
    // The engine may be in another machine, whose folders are not here.
    let Some(disk) = root.exists().then(|| Disk::of(root)).flatten() else {
        return Finding::good("its disk is not on this machine's Linux");
    };
    let free = disk.available_bytes() >> 20;
    let what = format!("{free} MiB of its disk are free, in {}", root.display());
    match disk.shortage() {
        Some(shortage) => Finding::bad(format!("{what}: {shortage}"), FIX),
        None => Finding::good(what),
    }
}

fn root_dir(info: &SystemInfo) -> &Path {
    Path::new(info.docker_root_dir.as_deref().unwrap_or("/"))
}

/// Refuses a lab whose nodes would take no pods.
///
/// # Errors
/// What is missing, and what helps.
pub async fn has_room(engine: &Engine) -> Result<(), Error> {
    let info = engine
        .docker
        .info()
        .await
        .map_err(failed("say how it is"))?;
    let root = root_dir(&info);
    let disk = root.exists().then(|| Disk::of(root)).flatten();
    match disk.and_then(|disk| disk.shortage()) {
        Some(shortage) => Err(Error::Machine(format!(
            "{}: {shortage}: {FIX}",
            root.display()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_engine_and_a_windows_one_are_told() {
        let info = SystemInfo {
            server_version: Some("19.03".into()),
            os_type: Some("windows".into()),
            ..SystemInfo::default()
        };
        let said = [api(1, 40, &info), api(1, 41, &info), system(&info)].map(|it| it.to_string());
        assert!(
            said[0].starts_with('✗') && said[1].starts_with('✓'),
            "{said:?}"
        );
        assert!(said[2].starts_with('✗'), "{said:?}");
    }
}
