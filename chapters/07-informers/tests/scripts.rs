//! Stories of the reflector with its informer, and of the work queue, as golden scripts.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use goldenscript::{Command, Context, Runner};
use informers::list_watch::{Error as ListError, Listed};
use informers::reflector::{Input, Output, ReflectorState, Request};
use informers::shared_informer::{Event, SharedInformer};
use informers::work_queue::Queue;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{ObjectMeta, WatchEvent};
use kube::core::Status;
use kube::core::watch::{Bookmark, BookmarkMeta};
use tokio::time::Instant;

type Outcome = Result<String, Box<dyn Error>>;

/// `name@revision`
fn object(text: &str) -> ConfigMap {
    let (name, revision) = text
        .split_once('@')
        .expect("objects are written name@revision");
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some("default".into()),
            resource_version: Some(revision.into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

fn written(object: &ConfigMap) -> String {
    format!(
        "{}@{}",
        object.name_any(),
        object.resource_version().unwrap_or_default()
    )
}

/// A reflector, the informer that it feeds, and what a handler heard.
struct InformerStory {
    state: ReflectorState,
    informer: SharedInformer<ConfigMap>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Default for InformerStory {
    fn default() -> Self {
        let mut informer = SharedInformer::new(&[]);
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let ears = heard.clone();
        informer.on_event(move |event| {
            let text = match event {
                Event::Added(new) => format!("added {}", written(new)),
                Event::Updated(old, new) => format!("updated {} to {}", written(old), written(new)),
                Event::Deleted(old) => format!("deleted {}", written(old)),
            };
            ears.lock().expect("no test panics here").push(text);
        });
        InformerStory {
            state: ReflectorState::default(),
            informer,
            heard,
        }
    }
}

impl InformerStory {
    fn input(command: &Command) -> Result<Input<ConfigMap>, Box<dyn Error>> {
        let mut args = command.consume_args();
        let first = args.next_pos().unwrap_or_default();
        Ok(match command.name.as_str() {
            "listed" => {
                let items = args.map(|arg| object(&arg.to_string())).collect();
                Input::Listed(Listed {
                    items,
                    resource_version: first.into(),
                })
            }
            "added" => Input::Event(WatchEvent::Added(object(first))),
            "modified" => Input::Event(WatchEvent::Modified(object(first))),
            "deleted" => Input::Event(WatchEvent::Deleted(object(first))),
            "bookmark" => Input::Event(WatchEvent::Bookmark(Bookmark {
                types: kube::api::TypeMeta::resource::<ConfigMap>(),
                metadata: BookmarkMeta {
                    resource_version: first.into(),
                    annotations: Default::default(),
                },
            })),
            "expired" => {
                let status = Status::failure("too old resource version", "Expired").with_code(410);
                Input::Event(WatchEvent::Error(status.boxed()))
            }
            "ended" => Input::Ended,
            "lost" => Input::Failed(ListError::Failed("connection reset".into())),
            other => return Err(format!("unknown command {other}").into()),
        })
    }
}

impl Runner for InformerStory {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Outcome {
        let Output {
            change,
            request,
            back_off,
        } = self.state.step(Self::input(command)?);
        if let Some(change) = change {
            self.informer.handle(change);
        }
        let mut output = String::new();
        for heard in self.heard.lock().expect("no test panics here").drain(..) {
            writeln!(output, "handler: {heard}")?;
        }
        let store: Vec<_> = self
            .informer
            .store()
            .list()
            .iter()
            .map(|object| written(object))
            .collect();
        writeln!(output, "store: [{}]", store.join(", "))?;
        let pause = if back_off { "wait, then " } else { "" };
        match request {
            Request::List => writeln!(output, "next: {pause}list")?,
            Request::Watch { resource_version } => {
                writeln!(output, "next: {pause}watch from {resource_version}")?;
            }
            Request::Continue => writeln!(output, "next: read on")?,
        }
        Ok(output)
    }
}

/// A work queue with a clock that the script moves.
struct QueueStory {
    queue: Queue<String>,
    start: Instant,
    now: Duration,
}

impl Runner for QueueStory {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Outcome {
        let mut args = command.consume_args();
        let item = args.next_pos().unwrap_or_default().to_owned();
        let millis = |text: Option<&str>| -> Result<Duration, Box<dyn Error>> {
            Ok(Duration::from_millis(text.unwrap_or("0").parse()?))
        };
        let mut output = String::new();
        match command.name.as_str() {
            "add" => self.queue.add(item),
            "done" => self.queue.done(&item),
            "forget" => self.queue.forget(&item),
            "fail" => {
                let wait = self.queue.next_wait(&item);
                self.queue.add_at(item, self.start + self.now + wait);
                writeln!(output, "again in {wait:?}")?;
            }
            "after" => {
                let wait = millis(args.next_pos())?;
                self.queue.add_at(item, self.start + self.now + wait);
            }
            "get" => match self.queue.get() {
                Some(item) => writeln!(output, "{item}")?,
                None => writeln!(output, "nothing waits")?,
            },
            "pass" => {
                self.now += millis(Some(&item))?;
                match self.queue.tick(self.start + self.now) {
                    Some(due) => writeln!(output, "next due at {:?}", due - self.start)?,
                    None => writeln!(output, "nothing is due later")?,
                }
            }
            other => return Err(format!("unknown command {other}").into()),
        }
        Ok(output)
    }
}

#[test]
fn a_copy_without_a_gap() -> std::io::Result<()> {
    goldenscript::run(&mut InformerStory::default(), "tests/scripts/informer")
}

#[test]
fn each_key_once_and_by_one_worker() -> std::io::Result<()> {
    let start = Instant::now();
    let mut story = QueueStory {
        queue: Queue::default(),
        start,
        now: Duration::ZERO,
    };
    goldenscript::run(&mut story, "tests/scripts/work_queue")
}
