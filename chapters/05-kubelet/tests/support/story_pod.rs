//! The pod of a story, from the command that describes it.

use std::error::Error;

use goldenscript::Command;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// The pod that `pod restart=Never init=a sidecar=b containers=c,d …` describes.
pub fn pod_of(command: &Command) -> Result<Pod, Box<dyn Error>> {
    let mut args = command.consume_args();
    let mut names = |key: &str| -> Vec<String> {
        let list = args.take_key(key).unwrap_or_default();
        list.split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (init, sidecars) = (names("init"), names("sidecar"));
    let (containers, probed, started) = (names("containers"), names("probes"), names("startup"));
    let restart = args.take_key("restart").unwrap_or("Always");
    let cpu = args.take_key("cpu").map(str::to_owned);
    let again_after: Option<i32> = match args.take_key("again-after") {
        Some(code) => Some(code.parse()?),
        None => None,
    };
    let image = args.take_key("image").unwrap_or("i").to_owned();
    let policy = args.take_key("policy").unwrap_or("NotRequired").to_owned();
    args.reject_next()?;
    let probe = json!({ "tcpSocket": { "port": 80 } });
    let container = |name: &String| {
        let mut container = json!({ "name": name, "image": image });
        if let Some(code) = again_after {
            let codes = json!({ "operator": "In", "values": [code] });
            container["restartPolicy"] = json!("Never");
            container["restartPolicyRules"] = json!([{ "action": "Restart", "exitCodes": codes }]);
        }
        if let Some(cpu) = &cpu {
            container["resources"] = json!({ "requests": { "cpu": cpu } });
            container["resizePolicy"] = json!([{ "resourceName": "cpu", "restartPolicy": policy }]);
        }
        if probed.contains(name) {
            container["readinessProbe"] = probe.clone();
            container["livenessProbe"] = probe.clone();
        }
        if started.contains(name) {
            container["startupProbe"] = probe.clone();
        }
        container
    };
    let mut init: Vec<_> = init.iter().map(container).collect();
    init.extend(sidecars.iter().map(|name| {
        let mut sidecar = container(name);
        sidecar["restartPolicy"] = json!("Always");
        sidecar
    }));
    Ok(serde_json::from_value(json!({
        "metadata": { "name": "p", "namespace": "ns", "uid": "u", "generation": 1 },
        "spec": {
            "restartPolicy": restart,
            "initContainers": init,
            "containers": containers.iter().map(container).collect::<Vec<_>>(),
        },
    }))?)
}
