//! `docker-ps` beside `docker ps`, flag by flag, on a real engine.

mod support;

use std::process::Command;

use serde_json::Value;
use support::{IMAGE, Names, docker, docker_ps, engine_answers, said};

/// Containers in many states.
fn containers(names: &Names) {
    let run = |name: &str, options: &[&str], command: &[&str]| {
        let name = names.name(name);
        let begin = ["run", "--detach", "--name", &name, "--network", "none"];
        docker(&[&begin, options, &[IMAGE], command].concat());
    };
    run("runs", &["--label", "tier=web", "--label", "empty="], &[]);
    run(
        "paused",
        &["--volume", "/tmp:/a/place", "--volume", "/data"],
        &[],
    );
    docker(&["pause", &names.name("paused")]);
    run("ended", &[], &["--help"]);
    docker(&["wait", &names.name("ended")]);
    let long = "an-argument-that-is-longer-than-the-column";
    let made = names.name("made");
    docker(&[
        "create",
        "--name",
        &made,
        "--network",
        "none",
        IMAGE,
        long,
        "with \"quotes\"",
    ]);
    docker(&[
        "cp",
        "/etc/passwd",
        &format!("{}:/passwd", names.name("runs")),
    ]);
}

/// What both say to the same arguments. A clock that turns between two questions is no difference.
fn both(args: &[&str]) -> (String, String) {
    let theirs = || {
        let output = Command::new("docker").arg("ps").args(args).output();
        said(&output.expect("docker answered before"))
    };
    loop {
        let before = theirs();
        let ours = said(&docker_ps(args));
        if before == theirs() {
            return (ours, before);
        }
    }
}

#[test]
fn each_flag_prints_what_docker_prints() {
    if !engine_answers() {
        return;
    }
    let names = Names::new("compare");
    containers(&names);
    let own = format!("name={}", names.prefix());
    let own = ["--filter", own.as_str()];
    let runs = format!("since={}", names.name("runs"));
    let volume = "volume=/a/place";
    let ancestor = format!("ancestor={IMAGE}");
    let flags: &[&[&str]] = &[
        &[],
        &["--all"],
        &["--all", "--no-trunc"],
        &["--all", "--size"],
        &["--all", "--quiet"],
        &["-aq", "--no-trunc"],
        &["--latest"],
        &["-n", "2"],
        &["-n", "0"],
        &["--latest", "-n", "3"],
        &["-f", "status=paused", "-f", "status=created"],
        &["-f", "STATUS = exited"],
        &["-af", "exited=0"],
        &["-f", "label=tier=web"],
        &["-f", "label=empty"],
        &["-af", &runs],
        &["-af", volume],
        &["-af", &ancestor],
        &["-af", "network=none"],
        &["-f", "health=none"],
        &["-f", "expose=8080"],
        &["-f", "publish=8080/tcp"],
        &["-f", "is-task=false"],
        &["-f", "isolation=default"],
        &[
            "-a",
            "--format",
            "table {{.Names}}\\t{{.State}}\\t{{.Label \"tier\"}}",
        ],
        &["-a", "--format", "table{{.ID}} {{.Size}}"],
        &[
            "-a",
            "--format",
            "{{.Image}} {{.Command}} {{.CreatedAt}} {{.RunningFor}} {{.Status}}",
        ],
        &[
            "-a",
            "--format",
            "{{.LocalVolumes}}|{{.Networks}}|{{.Ports}}|{{.Labels}}|{{.Size}}",
        ],
        &[
            "-a",
            "--format",
            "{{if eq .State \"running\"}}{{upper .Names}}{{else}}-{{end}}",
        ],
        &[
            "-a",
            "--format",
            "{{json .Labels}} {{truncate .ID 3}} {{len .Names}}",
        ],
        &["-a", "--format", "table"],
        &["-aq", "--format", "{{.Names}}"],
        // What the engine refuses.
        &["-f", "colour=blue"],
        &["-f", "status=happy"],
        &["-f", "health=good"],
        &["-f", "exited=never"],
        &["-f", "publish=x"],
        &["-f", "before=nobody-of-that-name"],
    ];
    for flags in flags {
        let args = [&own, *flags].concat();
        let (ours, theirs) = both(&args);
        assert_eq!(ours, theirs, "{args:?}");
    }
}

#[test]
fn json_has_the_same_fields() {
    if !engine_answers() {
        return;
    }
    let names = Names::new("json");
    containers(&names);
    let own = format!("name={}", names.prefix());
    let (ours, theirs) = both(&["--all", "--filter", &own, "--format", "{{json .}}"]);
    let parse = |text: &str| -> Vec<Value> {
        let objects = text.lines().map(|line| {
            let mut object: Value = serde_json::from_str(line).expect("a line is an object");
            let fields = object.as_object_mut().expect("a line is an object");
            // Clients of before 2025 have no platform.
            fields.remove("Platform");
            // The engine says them in any order.
            let mounts = fields["Mounts"].as_str().expect("a text").to_owned();
            let mut mounts: Vec<&str> = mounts.split(',').collect();
            mounts.sort_unstable();
            fields["Mounts"] = mounts.join(",").into();
            object
        });
        objects.collect()
    };
    assert_eq!(parse(&ours), parse(&theirs));
    assert_eq!(parse(&ours).len(), 4);
}

#[test]
fn several_engines_are_one_table() {
    if !engine_answers() {
        return;
    }
    let names = Names::new("several");
    docker(&[
        "create",
        "--name",
        &names.name("x"),
        "--network",
        "none",
        IMAGE,
    ]);
    let own = format!("name={}", names.prefix());
    let twice = [
        "--host",
        "one=default",
        "--host",
        "two=default",
        "--filter",
        &own,
        "--all",
    ];
    let table = [&twice[..], &["--format", "table {{.Node}}\\t{{.Names}}"]].concat();
    let output = docker_ps(&table);
    let name = names.name("x");
    assert_eq!(
        said(&output),
        format!("NODE      NAMES\none       {name}\ntwo       {name}\n")
    );
    let output = docker_ps(&[&twice[..], &["--format", "json"]].concat());
    assert_eq!(
        said(&output).matches("\"Node\":\"two\"").count(),
        1,
        "{}",
        said(&output)
    );
}
