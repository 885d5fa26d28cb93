//! The loop.
//!
//! ```text
//! connect ──► look, plan, act ──► wait ──┬─ an event of the engine ──► look, plan, act
//!    ▲                                   ├─ a second try is due ─────► look, plan, act
//!    │                                   ├─ nothing for a while ─────► look, plan, act
//!    │                                   ├─ the file changed ──► read it; look, plan, act
//!    └── a little later ◄── engine gone ─┴─ told to stop ──► end; the containers stay
//! ```
//!
//! Whatever woke it, it does the same: an event says *that* something happened, never what to do.
//! One that was missed, or came twice, does no harm. (Level-triggered, Kubernetes calls this.)

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::query_parameters::EventsOptions;
use component::CancellationToken;
use futures::StreamExt;

use super::backoff::Backoff;
use super::plan::{Action, plan};
use super::wanted::{self, Wanted};
use super::watch::Watch;
use super::{KeepArgs, act};
use crate::engine::{self, Error};

/// The events that may change a plan: those of containers, and an image that has arrived.
const EVENTS: [&str; 10] = [
    "create", "start", "die", "destroy", "rename", "import", "load", "pull", "tag", "untag",
];
/// An engine may tell of an event before its own list shows what happened: 20.10 says `die` of a
/// container that the list has as running. So after an event there is a second look.
const SHOWN_AFTER: Duration = Duration::from_millis(300);
/// The name under which the engine itself is waited for; no container can have it.
const ENGINE: &str = "";

/// Holds the engine at `host` at `wanted`, until it is told to stop.
pub(super) async fn hold(
    args: &KeepArgs,
    host: &str,
    wanted: Vec<Wanted>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut hold = Hold {
        watch: Watch::new(&args.file)?,
        args,
        host,
        wanted,
        backoff: Backoff::default(),
        start: Instant::now(),
    };
    let mut engine = Backoff::default();
    loop {
        let lost = tokio::select! {
            lost = hold.with_engine() => lost,
            () = shutdown.cancelled() => return Ok(()),
        };
        let delay = engine.acted(ENGINE, hold.start.elapsed());
        eprintln!("{lost}\nnext try in {} s", delay.as_secs());
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

struct Hold<'a> {
    args: &'a KeepArgs,
    host: &'a str,
    watch: Watch,
    wanted: Vec<Wanted>,
    backoff: Backoff,
    start: Instant,
}

impl Hold<'_> {
    /// The loop, for as long as the engine is there. Says why it is not.
    async fn with_engine(&mut self) -> Error {
        match self.until_lost().await {
            Err(error) => error,
            Ok(()) => Error::Gone {
                host: self.host.to_owned(),
                reason: "its events ended".into(),
            },
        }
    }

    // ANCHOR: loop
    async fn until_lost(&mut self) -> Result<(), Error> {
        // From before the first look: what happens between the two is told too.
        let since = SystemTime::now();
        let docker = engine::connect(self.host).await?;
        println!("keeping {} on {}", counted(self.wanted.len()), self.host);
        let mut events = std::pin::pin!(docker.events(Some(events_since(since))));
        let mut told = false;
        loop {
            let mut wait = self.sync(&docker).await?;
            if std::mem::take(&mut told) {
                wait = wait.min(SHOWN_AFTER);
            }
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        told = true;
                        // An image has arrived: what failed for want of it may be tried at once.
                        let typ = event.typ.map(|typ| typ.to_string());
                        if typ.as_deref() == Some("image") {
                            self.backoff.forget();
                        }
                    }
                    Some(Err(error)) => return Err(Error::asking(self.host, &error)),
                    None => return Ok(()),
                },
                () = self.watch.changed() => self.reload(),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
    // ANCHOR_END: loop

    /// Looks, plans and acts; returns how long nothing needs to be done unless something happens.
    async fn sync(&mut self, docker: &Docker) -> Result<Duration, Error> {
        let actual = act::look(docker, self.host).await?;
        let actions = plan(&self.args.owner, &self.wanted, &actual);
        let mut acted = false;
        for action in &actions {
            if !self.backoff.may(action.name(), self.start.elapsed()) {
                continue;
            }
            let delay = self.backoff.acted(action.name(), self.start.elapsed());
            match act::carry_out(docker, self.host, &self.args.owner, action).await {
                Ok(()) => {
                    println!("{}", action.done());
                    acted = true;
                }
                Err(gone @ Error::Gone { .. }) => return Err(gone),
                // The others go on.
                Err(error) => {
                    let then = format!("next try in {} s", delay.as_secs());
                    eprintln!("{}; {then}", action.failed(&error));
                }
            }
        }
        let resync = Duration::from_secs(self.args.resync.max(1));
        if acted {
            return Ok(resync);
        }
        let due = self.backoff.next(actions.iter().map(Action::name));
        let due = due.map(|due| due.saturating_sub(self.start.elapsed()));
        Ok(due.map_or(resync, |due| due.min(resync)))
    }

    /// Takes the file's new contents, or stays with the old ones if they are of no use.
    fn reload(&mut self) {
        match wanted::read(&self.args.file) {
            Ok(wanted) if wanted == self.wanted => {}
            Ok(wanted) => {
                self.wanted = wanted;
                self.backoff.forget();
                println!("the file changed: {}", counted(self.wanted.len()));
            }
            Err(error) => eprintln!("{error}\nthe file is of no use; going on with what it was"),
        }
    }
}

fn counted(containers: usize) -> String {
    match containers {
        1 => "1 container".into(),
        more => format!("{more} containers"),
    }
}

fn events_since(since: SystemTime) -> EventsOptions {
    let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    EventsOptions {
        since: Some(format!("{}.{:09}", since.as_secs(), since.subsec_nanos())),
        filters: Some(HashMap::from([
            ("type".to_owned(), list(&["container", "image"])),
            ("event".to_owned(), list(&EVENTS)),
        ])),
        ..EventsOptions::default()
    }
}
