//! What is printed of containers that no engine has.

use std::collections::HashMap;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, MountPoint};
use docker_ps::columns::{Row, View};
use docker_ps::format::{Format, Options};
use jiff::tz::TimeZone;

fn container(number: u8, image: &str, command: &str) -> ContainerSummary {
    let text = |text: &str| Some(text.to_owned());
    ContainerSummary {
        id: Some(format!("{number:x}").repeat(64)),
        image: text(image),
        image_id: Some(format!("sha256:{}", "a".repeat(64))),
        command: text(command),
        created: Some(1_700_000_000),
        state: Some(ContainerSummaryStateEnum::RUNNING),
        status: text("Up 5 minutes"),
        names: Some(vec![
            format!("/web-{number}"),
            format!("/proxy/web-{number}"),
        ]),
        labels: Some(HashMap::from([
            ("com.example.my-tier".into(), "front".into()),
            ("a".into(), "<1>".into()),
        ])),
        mounts: Some(vec![
            MountPoint {
                name: text("data"),
                driver: text("local"),
                ..MountPoint::default()
            },
            MountPoint {
                source: text("/a/path/that/is/long"),
                ..MountPoint::default()
            },
        ]),
        size_rw: Some(1234),
        size_root_fs: Some(1_680_000),
        ..ContainerSummary::default()
    }
}

fn two(node: Option<&str>) -> Vec<Row> {
    let long = "/docker-entrypoint.sh nginx -g \"daemon off;\"";
    let containers = [
        container(1, "nginx:1.29", long),
        container(2, &"a".repeat(12), "sleep 60"),
    ];
    let row = |container| Row {
        node: node.map(str::to_owned),
        container,
    };
    containers.map(row).into()
}

fn view(no_trunc: bool) -> View {
    View {
        no_trunc,
        now: 1_700_000_400,
        zone: TimeZone::UTC,
    }
}

fn print(format: &str, options: Options) -> String {
    let format = Format::parse(format, options).unwrap();
    let node = options.nodes.then_some("one");
    format.render(&two(node), &view(false)).unwrap()
}

/// What `--format` makes of the first container, or says.
fn first(format: &str) -> String {
    let printed = Format::parse(format, Options::default())
        .and_then(|format| format.render(&two(None)[..1], &view(false)));
    printed.unwrap_or_else(|error| error.to_string())
}

#[test]
fn the_table_is_dockers() {
    insta::assert_snapshot!(print("", Options::default()));
    let options = Options {
        size: true,
        nodes: true,
        ..Options::default()
    };
    insta::assert_snapshot!(print("", options));
}

#[test]
fn no_trunc_cuts_nothing() {
    let format = Format::parse(
        "{{.ID}} {{.Names}} {{.Command}} {{.Mounts}}",
        Options::default(),
    );
    let text = format
        .unwrap()
        .render(&two(None)[..1], &view(true))
        .unwrap();
    assert_eq!(
        text,
        format!(
            "{} web-1,proxy/web-1 \"/docker-entrypoint.sh nginx -g \\\"daemon off;\\\"\" \
             data,/a/path/that/is/long\n",
            "1".repeat(64)
        )
    );
}

#[test]
fn quiet_prints_ids_alone_and_an_empty_table_has_headings() {
    let quiet = Options {
        quiet: true,
        ..Options::default()
    };
    assert_eq!(print("", quiet), "111111111111\n222222222222\n");
    let render = |options| {
        Format::parse("", options)
            .unwrap()
            .render(&[], &view(false))
            .unwrap()
    };
    assert_eq!(render(quiet), "");
    assert_eq!(
        render(Options::default()),
        "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"
    );
}

#[test]
fn every_placeholder_has_a_value_and_a_heading() {
    insta::assert_snapshot!(first("json"));
    insta::assert_snapshot!(first("raw"));
    let headings =
        "table {{.ID}}\\t{{lower .Names}}\\t{{.Label \"com.example.my-tier\"}}\\t{{.CreatedAt}}";
    insta::assert_snapshot!(first(headings));
    assert_eq!(
        first("{{.Size}}, {{.LocalVolumes}} of {{.Mounts}}, {{.State}}, {{json .Label}}"),
        "failed to execute template: template: :1:64: executing \"\" at <.Label>: \
         wrong number of args for Label: want 1 got 0"
    );
    assert_eq!(
        first("{{.Size}}, {{.LocalVolumes}} of {{.Mounts}}, {{.State}}, {{json .Labels}}"),
        "1.23kB (virtual 1.68MB), 1 of data,/a/path/that/i…, running, \
         \"a=\\u003c1\\u003e,com.example.my-tier=front\"\n"
    );
}

#[test]
fn templates_compute() {
    let cases = [
        ("{{if eq .State \"running\"}}up{{else}}down{{end}}", "up"),
        ("{{if .Ports}}open{{end}}-", "-"),
        ("{{join (split .Names \"-\") \"+\" | upper}}", "WEB+1"),
        ("a {{- /* no */ -}} b", "ab"),
        ("{{len .Names}} {{title \"a b\"}} {{`raw`}}", "5 A B raw"),
        ("{{print 1 2}}{{print 1 \"a\"}}", "1 21a"),
        (
            "{{and .Ports 1}}{{or .Ports 1}}{{not .Ports}}{{ne 1 2}}",
            "1truetrue",
        ),
    ];
    for (format, text) in cases {
        assert_eq!(first(format), format!("{text}\n"), "{format}");
    }
}

#[test]
fn what_is_wrong_with_a_template_is_said_as_docker_says_it() {
    let parse = "failed to parse template: template: :1: ";
    let execute = "failed to execute template: template: :1:2: executing \"\" at ";
    let cases = [
        ("{{.ID", parse, "unclosed action"),
        ("{{foo .ID}}", parse, "function \"foo\" not defined"),
        ("{{}}", parse, "missing value for command"),
        ("{{json.}}", parse, "unexpected <.> in operand"),
        ("{{if .ID}}", parse, "unexpected EOF"),
        ("{{end}}", parse, "unexpected {{end}}"),
        ("{{\"abc}}", parse, "unterminated quoted string"),
        ("{{(.ID}}", parse, "unclosed left paren"),
        ("{{range .ID}}", parse, "{{range}} is left out here"),
        (
            "{{.Foo}}",
            execute,
            "<.Foo>: can't evaluate field Foo in type *formatter.ContainerContext",
        ),
        (
            "{{.ID 5}}",
            execute,
            "<.ID>: wrong number of args for ID: want 0 got 1",
        ),
        (
            "{{upper}}",
            execute,
            "<upper>: wrong number of args for upper: want 1 got 0",
        ),
    ];
    for (format, begin, end) in cases {
        assert_eq!(first(format), format!("{begin}{end}"), "{format}");
    }
}
