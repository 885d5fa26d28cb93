//! The table of etcd's API against ours: made of the descriptors of `proto/` and the verdicts of
//! `api.toml`. `WORKSHOP_BLESS=1 cargo test -p etcd --test api` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write;

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
};

/// By service, message or enum: what each of its calls, fields or values is here.
type Verdicts = BTreeMap<String, BTreeMap<String, String>>;

/// What is in `proto/`, by name without package.
#[derive(Default)]
struct Api {
    services: Vec<ServiceDescriptorProto>,
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, EnumDescriptorProto>,
}

impl Api {
    fn read() -> Self {
        let set = FileDescriptorSet::decode(etcd::grpc::pb::DESCRIPTORS[0]).unwrap();
        let mut api = Self::default();
        for file in set.file {
            // gRPC's own is no part of etcd's.
            if file.package().starts_with("grpc.") {
                continue;
            }
            api.services.extend(file.service);
            api.enums.extend(file.enum_type.into_iter().map(named("")));
            for message in file.message_type {
                let inside = format!("{}.", message.name());
                let enums = message.enum_type.iter().cloned();
                api.enums.extend(enums.map(named(&inside)));
                api.messages.insert(message.name().to_owned(), message);
            }
        }
        api
    }

    /// The names of what has a verdict, in order.
    fn names(&self) -> Vec<(String, Vec<String>)> {
        let services = self.services.iter().map(|service| {
            let calls = service.method.iter().map(|call| call.name().to_owned());
            (service.name().to_owned(), calls.collect())
        });
        let messages = self.messages.iter().map(|(name, message)| {
            let fields = message.field.iter().map(|field| field.name().to_owned());
            (name.clone(), fields.collect())
        });
        let enums = self.enums.iter().map(|(name, of)| {
            let values = of.value.iter().map(|value| value.name().to_owned());
            (name.clone(), values.collect())
        });
        services.chain(messages).chain(enums).collect()
    }
}

fn named(inside: &str) -> impl Fn(EnumDescriptorProto) -> (String, EnumDescriptorProto) {
    move |of| (format!("{inside}{}", of.name()), of)
}

/// `RangeRequest` of `.etcdserverpb.RangeRequest`.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn verdicts() -> Verdicts {
    toml::from_str(include_str!("../api.toml")).expect("tables of texts")
}

struct Table<'a> {
    verdicts: &'a Verdicts,
    text: String,
}

impl Table<'_> {
    /// A table that the reader unfolds, with how many of its rows are not simply done.
    fn section(&mut self, name: &str, kind: &str, rows: &[(String, String)]) {
        let other = rows.iter().filter(|(_, verdict)| verdict != "done").count();
        let summary = match other {
            0 => format!("{name}: {} rows, all done", rows.len()),
            _ => format!(
                "{name}: {} rows, {other} of them not simply done",
                rows.len()
            ),
        };
        let head = format!(
            "\n<details>\n<summary>{summary}</summary>\n\n| {kind} | here |\n| --- | --- |"
        );
        writeln!(self.text, "{head}").unwrap();
        for (what, verdict) in rows {
            writeln!(self.text, "| {what} | {verdict} |").unwrap();
        }
        writeln!(self.text, "\n</details>").unwrap();
    }

    /// The rows of `of`: those of `proto/`, then those that are only upstream.
    fn rows(
        &self,
        of: &str,
        ours: &[String],
        show: impl Fn(&str) -> String,
    ) -> Vec<(String, String)> {
        // A message without fields has none.
        let Some(verdicts) = self.verdicts.get(of) else {
            return Vec::new();
        };
        let theirs = verdicts.keys().filter(|name| !ours.contains(name));
        let names = ours.iter().chain(theirs);
        names
            .map(|name| (show(name), verdicts[name].clone()))
            .collect()
    }
}

fn table(api: &Api, verdicts: &Verdicts) -> String {
    let mut table = Table {
        verdicts,
        text: "<!-- Made by `tests/api.rs` of `api.toml`. -->\n".to_owned(),
    };
    let names: BTreeMap<String, Vec<String>> = api.names().into_iter().collect();
    let mut shown = Vec::new();
    for service in &api.services {
        let mut rows = Vec::new();
        let calls = &names[service.name()];
        for (call, verdict) in table.rows(service.name(), calls, str::to_owned) {
            rows.push((format!("**{call}**"), verdict));
            let Some(method) = service.method.iter().find(|method| method.name() == call) else {
                continue;
            };
            for (message, arrow) in [(method.input_type(), "→"), (method.output_type(), "←")] {
                let message = short(message);
                let show = |field: &str| format!("{arrow} `{field}`");
                rows.extend(table.rows(message, &names[message], show));
                shown.push(message.to_owned());
            }
        }
        table.section(
            service.name(),
            "call, what it is asked (→) and answers (←)",
            &rows,
        );
        shown.push(service.name().to_owned());
    }
    let mut rows = Vec::new();
    for (name, parts) in api.names() {
        if !shown.contains(&name) {
            rows.extend(table.rows(&name, &parts, |part| format!("`{name}`: `{part}`")));
        }
    }
    table.section(
        "Messages in messages",
        "message and field, or kind and value",
        &rows,
    );
    let others = verdicts.keys().filter(|name| !names.contains_key(*name));
    let rows: Vec<_> = others
        .flat_map(|name| table.rows(name, &[], |part| format!("`{name}`: **{part}**")))
        .collect();
    if !rows.is_empty() {
        table.section("Other services", "service and call", &rows);
    }
    table.text
}

#[test]
fn every_call_and_field_has_a_verdict() {
    let (names, verdicts) = (Api::read().names(), verdicts());
    let mut missing = String::new();
    for (of, parts) in &names {
        let known = verdicts.get(of);
        for part in parts {
            if known.is_none_or(|known| !known.contains_key(part)) {
                writeln!(missing, "[{of:?}] {part} = \"done\"?").unwrap();
            }
        }
    }
    assert!(missing.is_empty(), "api.toml says nothing of:\n{missing}");

    let names: BTreeMap<_, _> = names.into_iter().collect();
    for (of, parts) in &verdicts {
        for (part, verdict) in parts {
            let kind = verdict.split(": ").next().unwrap_or_default();
            let has_reason = verdict.len() > kind.len();
            match kind {
                "done" if !has_reason => {}
                "differs" | "left out" if has_reason => {}
                _ => panic!("{of}.{part}: {verdict:?} is no verdict"),
            }
            let is_ours = names.get(of).is_some_and(|ours| ours.contains(part));
            assert!(
                is_ours || kind == "left out",
                "{of}.{part} is not in proto/, and so cannot be {verdict:?}"
            );
        }
    }
}

#[test]
fn the_table_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/API.md");
    let made = table(&Api::read(), &verdicts());
    if std::env::var_os("WORKSHOP_BLESS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == made,
        "API.md is out of date: WORKSHOP_BLESS=1 cargo test -p etcd --test api"
    );
}
