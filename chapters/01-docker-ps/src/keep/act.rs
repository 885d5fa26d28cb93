//! Looks at the engine, and carries out what a plan says.

use bollard::Docker;
use bollard::errors::Error as Bollard;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, ListContainersOptions, RemoveContainerOptions, StopContainerOptions,
};

use super::actual::Actual;
use super::plan::Action;
use super::wanted::Wanted;
use super::{OWNER_LABEL, SPEC_LABEL};
use crate::engine::Error;

/// How long a process may take to end before it is ended.
const GRACE_SECONDS: i32 = 5;

/// All containers of the engine: those of others too, since they have names.
pub(super) async fn look(docker: &Docker, host: &str) -> Result<Vec<Actual>, Error> {
    let options = ListContainersOptions {
        all: true,
        ..ListContainersOptions::default()
    };
    let listed = docker.list_containers(Some(options)).await;
    let listed = listed.map_err(|error| Error::asking(host, &error))?;
    Ok(listed.iter().map(Actual::from).collect())
}

/// Carries out one action.
///
/// # Errors
/// As the engine says; or if the name is taken.
pub(super) async fn carry_out(
    docker: &Docker,
    host: &str,
    owner: &str,
    action: &Action,
) -> Result<(), Error> {
    let done = match action {
        Action::Create(wanted) => create(docker, owner, wanted).await,
        Action::Start(actual) => docker.start_container(&actual.id, None).await,
        Action::Remove(actual) => remove(docker, actual).await,
        Action::Recreate(actual, wanted) => match remove(docker, actual).await {
            Ok(()) => create(docker, owner, wanted).await,
            Err(error) => Err(error),
        },
        Action::Taken(_) => return Err(Error::NotOurs),
    };
    done.map_err(|error| Error::asking(host, &error))
}

async fn create(docker: &Docker, owner: &str, wanted: &Wanted) -> Result<(), Bollard> {
    let mut labels: std::collections::HashMap<_, _> = wanted.labels.clone().into_iter().collect();
    labels.insert(OWNER_LABEL.to_owned(), owner.to_owned());
    labels.insert(SPEC_LABEL.to_owned(), wanted.hash());
    let env = wanted
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let body = ContainerCreateBody {
        image: Some(wanted.image.clone()),
        entrypoint: some(&wanted.entrypoint),
        cmd: some(&wanted.command),
        env: Some(env.collect()),
        labels: Some(labels),
        host_config: Some(HostConfig {
            network_mode: wanted.network.clone(),
            binds: some(&wanted.volumes),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptions {
        name: Some(wanted.name.clone()),
        ..CreateContainerOptions::default()
    };
    let created = docker.create_container(Some(options), body).await?;
    docker.start_container(&created.id, None).await
}

/// Ends it, with time to end by itself, and takes it away. One that is gone already is no error.
async fn remove(docker: &Docker, actual: &Actual) -> Result<(), Bollard> {
    let stop = StopContainerOptions {
        t: Some(GRACE_SECONDS),
        ..StopContainerOptions::default()
    };
    unless_gone(docker.stop_container(&actual.id, Some(stop)).await)?;
    let force = RemoveContainerOptions {
        force: true,
        v: true,
        ..RemoveContainerOptions::default()
    };
    unless_gone(docker.remove_container(&actual.id, Some(force)).await)
}

fn unless_gone(done: Result<(), Bollard>) -> Result<(), Bollard> {
    match done {
        Err(Bollard::DockerResponseServerError {
            status_code: 304 | 404,
            ..
        }) => Ok(()),
        done => done,
    }
}
