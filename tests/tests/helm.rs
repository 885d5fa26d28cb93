//! A chart's life under helm: installed, tested, upgraded, rolled back, removed.
//!
//! Helm's two majors speak to the API differently: 3 sends three-way merge patches and polls, 4
//! applies on the server and watches. `WORKSHOP_HELM` names programs, with colons between, that
//! the session is played with, one after the other; CI names one of each. The chart is
//! `tests/chart/web`.

use std::path::PathBuf;
use std::process::Command;

use workshop_tests::{Kind, Lab, free_port, said};

/// Everything in the chart that is optional.
const ALL: [&str; 5] = [
    "migration.enabled=true",
    "networkPolicy.enabled=true",
    "disruptionBudget.enabled=true",
    "autoscaling.enabled=true",
    "ingress.enabled=true",
];

#[test]
fn a_chart_is_installed_upgraded_rolled_back_and_removed() {
    for program in programs() {
        let lab = Lab::new_on(Kind::Embedded, "helm");
        lab.start(&["--nodes", "1", "--port", &free_port()]);
        let helm = Helm {
            lab: &lab,
            program: &program,
        };
        eprintln!("with helm {}", helm.run("version --short"));
        install(&helm);
        a_dry_run_changes_nothing(&helm);
        upgrade(&helm);
        a_value_that_is_refused_changes_nothing(&helm);
        roll_back(&helm);
        what_a_chart_has_no_more_is_removed(&helm);
        uninstall(&helm);
    }
}

fn install(helm: &Helm<'_>) {
    let said = helm.on_chart("install", &["--wait"], &ALL);
    assert!(said.contains("STATUS: deployed"), "{said}");
    assert!(
        said.contains(r#"web says "hello" on port 80 of the Service web."#),
        "{said}"
    );
    assert_eq!(helm.ready_replicas(), "1", "--wait waits for them");
    assert_eq!(helm.migrated(), "revision 1");
    let again = helm.try_on_chart("install", &["--wait"], &ALL).unwrap_err();
    assert!(again.contains("a name that is still in use"), "{again}");

    assert_eq!(helm.releases(), "web 1 deployed web-1.0.0");
    let status = helm.run("status web");
    assert!(status.contains("STATUS: deployed"), "{status}");
    let manifest = helm.run("get manifest web");
    let kinds = manifest.lines().filter(|line| line.starts_with("kind: "));
    assert_eq!(kinds.count(), 12, "{manifest}");
    let values = helm.run("get values web --all --output json");
    assert!(values.contains(r#""greeting":"hello""#), "{values}");

    // Where helm keeps all this: a Secret a revision, found by its labels.
    let kept = "get secrets -l owner=helm,name=web,status=deployed,version=1 \
                -o jsonpath={.items[*].metadata.name}/{.items[*].type}";
    assert_eq!(
        helm.kubectl(kept),
        "sh.helm.release.v1.web.v1/helm.sh/release.v1"
    );
    assert_eq!(helm.title(), "hello");

    let said = helm.run("test web --timeout 60s");
    assert!(said.contains("Succeeded"), "{said}");
    let hook = helm.lab.try_kubectl("get pod web-reached").unwrap_err();
    assert!(
        hook.contains("NotFound"),
        "its policy has it removed: {hook}"
    );
}

fn a_dry_run_changes_nothing(helm: &Helm<'_>) {
    let said = helm.on_chart("upgrade", &["--dry-run=server"], &["greeting=bonjour"]);
    assert!(said.contains("STATUS: pending-upgrade"), "{said}");
    assert_eq!(helm.title(), "hello");
    assert_eq!(helm.optional().lines().count(), 4);
    assert_eq!(helm.releases(), "web 1 deployed web-1.0.0");
}

/// Another greeting: the ConfigMap, the custom resource and the Pods change, and what others have
/// written into the objects stays.
fn upgrade(helm: &Helm<'_>) {
    helm.kubectl("annotate service web team=shop");
    let set = [&ALL[..], &["greeting=bonjour"]].concat();
    let said = helm.on_chart("upgrade", &["--wait"], &set);
    assert!(said.contains("REVISION: 2"), "{said}");
    assert_eq!(helm.releases(), "web 2 deployed web-1.0.0");
    assert_eq!(helm.title(), "bonjour");
    assert_eq!(helm.migrated(), "revision 2");
    assert_eq!(helm.rollouts(), "2", "the Pods have rolled");
    assert_eq!(helm.ready_replicas(), "1");
    let team = helm.kubectl("get service web -o jsonpath={.metadata.annotations.team}");
    assert_eq!(team, "shop");
}

/// The custom resource's schema wants a title of at least one character.
fn a_value_that_is_refused_changes_nothing(helm: &Helm<'_>) {
    let set = [&ALL[..], &["greeting="]].concat();
    let refused = helm.try_on_chart("upgrade", &["--wait"], &set).unwrap_err();
    assert!(
        refused.contains("spec.title in body should be at least 1 chars long"),
        "{refused}"
    );
    assert_eq!(helm.title(), "bonjour");
    assert_eq!(helm.releases(), "web 3 failed web-1.0.0");
}

fn roll_back(helm: &Helm<'_>) {
    let said = helm.run("rollback web 1 --wait --timeout 60s");
    assert!(said.contains("Rollback was a success"), "{said}");
    assert_eq!(helm.title(), "hello");
    assert_eq!(helm.ready_replicas(), "1");
    let history = helm.json("history web");
    let rows = history.as_array().into_iter().flatten();
    let rows: Vec<String> = rows
        .map(|row| format!("{} {}", row["revision"], row["status"]).replace('"', ""))
        .collect();
    assert_eq!(
        rows,
        ["1 superseded", "2 superseded", "3 failed", "4 deployed"]
    );
}

fn what_a_chart_has_no_more_is_removed(helm: &Helm<'_>) {
    assert_eq!(
        helm.optional().lines().count(),
        4,
        "all that there may be: {}",
        helm.optional()
    );
    helm.on_chart("upgrade", &["--wait"], &["service.type=NodePort"]);
    assert_eq!(helm.optional(), "");
    // No autoscaler any more: it is the chart that says how many.
    assert_eq!(helm.ready_replicas(), "2");
    let node_port = helm.kubectl("get service web -o jsonpath={.spec.ports[0].nodePort}");
    assert!(node_port.parse::<u16>().is_ok(), "{node_port}");
}

fn uninstall(helm: &Helm<'_>) {
    let said = helm.run("uninstall web --wait --timeout 60s");
    assert!(said.contains(r#"release "web" uninstalled"#), "{said}");
    let kinds = "deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings,pages";
    let left = helm.kubectl(&format!(
        "get {kinds} -l app.kubernetes.io/instance=web -o name"
    ));
    assert_eq!(left, "");
    assert_eq!(helm.kubectl("get secrets -l owner=helm -o name"), "");
    // Definitions stay: with them would go the objects of everybody.
    assert!(
        helm.kubectl("get crds -o name")
            .contains("pages.web.example.com")
    );
    assert_eq!(helm.json("list").as_array().map(Vec::len), Some(0));
}

/// A helm that works on a lab.
struct Helm<'a> {
    lab: &'a Lab,
    program: &'a PathBuf,
}

impl Helm<'_> {
    /// Installs or upgrades the release `web` with values.
    fn on_chart(&self, verb: &str, flags: &[&str], values: &[&str]) -> String {
        self.try_on_chart(verb, flags, values)
            .unwrap_or_else(|said| panic!("helm {verb} {flags:?} {values:?}: {said}"))
    }

    fn try_on_chart(&self, verb: &str, flags: &[&str], values: &[&str]) -> Result<String, String> {
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/chart/web");
        let values = values.iter().flat_map(|value| ["--set", *value]);
        let mut args = vec![verb, "web", chart, "--timeout", "60s"];
        args.extend(flags);
        args.extend(values);
        self.call(&args)
    }

    /// Words separated by spaces.
    fn run(&self, words: &str) -> String {
        self.call(&words.split_whitespace().collect::<Vec<_>>())
            .unwrap_or_else(|said| panic!("helm {words}: {said}"))
    }

    fn json(&self, words: &str) -> serde_json::Value {
        serde_json::from_str(&self.run(&format!("{words} --output json"))).expect("it is JSON")
    }

    fn call(&self, args: &[&str]) -> Result<String, String> {
        let own = |name: &str| self.lab.home().join("helm").join(name);
        let mut command = Command::new(self.program);
        command
            .args(args)
            .env("KUBECONFIG", self.lab.kubeconfig())
            .env("HELM_CACHE_HOME", own("cache"))
            .env("HELM_CONFIG_HOME", own("config"))
            .env("HELM_DATA_HOME", own("data"));
        said(command.output().expect("helm runs"))
    }

    fn kubectl(&self, words: &str) -> String {
        self.lab.kubectl(words)
    }

    /// `helm list`, a line a release: name, revision, status, chart.
    fn releases(&self) -> String {
        let list = self.json("list");
        let rows = list.as_array().into_iter().flatten().map(|row| {
            let text = |field: &str| row[field].as_str().unwrap_or_default();
            let fields = ["name", "revision", "status", "chart"];
            fields.map(text).join(" ")
        });
        rows.collect::<Vec<_>>().join("\n")
    }

    fn ready_replicas(&self) -> String {
        self.kubectl("get deployment web -o jsonpath={.status.readyReplicas}")
    }

    /// How many templates the Deployment has had.
    fn rollouts(&self) -> String {
        let annotation = r"{.metadata.annotations.deployment\.kubernetes\.io/revision}";
        self.kubectl(&format!("get deployment web -o jsonpath={annotation}"))
    }

    /// What the Job said that runs before everything else.
    fn migrated(&self) -> String {
        self.kubectl("logs job/web-migrate").trim().to_owned()
    }

    /// The custom resource's.
    fn title(&self) -> String {
        self.kubectl("get page web -o jsonpath={.spec.title}")
    }

    /// Which of the optional objects there are.
    fn optional(&self) -> String {
        self.kubectl("get networkpolicies,pdb,hpa,ingresses -o name")
    }
}

/// The programs to play the session with; none where there is no helm, which is never so in CI.
fn programs() -> Vec<PathBuf> {
    let named = std::env::var_os("WORKSHOP_HELM").unwrap_or_else(|| "helm".into());
    let works = |program: &PathBuf| {
        let version = Command::new(program).arg("version").output();
        version.is_ok_and(|output| output.status.success())
    };
    let found: Vec<PathBuf> = std::env::split_paths(&named).filter(works).collect();
    if found.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "there is no helm");
        eprintln!("skipped: there is no helm (in the path, or in WORKSHOP_HELM)");
    }
    found
}
