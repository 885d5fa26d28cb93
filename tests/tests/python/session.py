"""A session of the official Python client with a cluster; what it prints is what is checked."""

import base64
import sys

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

config.load_kube_config(sys.argv[1])
NAMESPACE = "python"
core = client.CoreV1Api()
apps = client.AppsV1Api()


def say(*words):
    print(*words, flush=True)


def refused(call, *args, **kwargs):
    """What the server says to a call that it is to refuse."""
    try:
        call(*args, **kwargs)
    except ApiException as error:
        body = client.ApiClient().deserialize(error.body, "V1Status", "application/json")
        return f"{error.status} {body.reason}: {body.message}"
    raise SystemExit("was not refused")


def make_namespace():
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    # A pod needs the account that a controller makes for each namespace.
    accounts = watch.Watch()
    for event in accounts.stream(core.list_namespaced_service_account, NAMESPACE, timeout_seconds=30):
        if event["object"].metadata.name == "default":
            accounts.stop()
    say("namespace:", core.read_namespace(NAMESPACE).status.phase)


def config_maps():
    made = core.create_namespaced_config_map(
        NAMESPACE, {"metadata": {"name": "settings", "labels": {"app": "web"}}, "data": {"a": "1"}}
    )
    seen = made.metadata.resource_version
    made.data["a"] = "2"
    core.replace_namespaced_config_map("settings", NAMESPACE, made)
    say("stale replace:", refused(core.replace_namespaced_config_map, "settings", NAMESPACE, made))
    core.patch_namespaced_config_map("settings", NAMESPACE, {"data": {"b": "3", "a": None}})
    core.patch_namespaced_config_map(
        "settings", NAMESPACE, [{"op": "add", "path": "/data/c", "value": "4"}]
    )
    core.delete_namespaced_config_map("settings", NAMESPACE)
    changes = watch.Watch()
    for event in changes.stream(
        core.list_namespaced_config_map,
        NAMESPACE,
        label_selector="app=web",
        resource_version=seen,
        timeout_seconds=30,
    ):
        say("watched:", event["type"], dict(sorted((event["object"].data or {}).items())))
        if event["type"] == "DELETED":
            changes.stop()
    say("gone:", refused(core.read_namespaced_config_map, "settings", NAMESPACE))
    say("nonsense:", refused(core.create_namespaced_config_map, NAMESPACE, {"metadata": {"name": "A"}}))


def pages():
    for number in range(5):
        core.create_namespaced_secret(
            NAMESPACE, {"metadata": {"name": f"page-{number}"}, "stringData": {"n": str(number)}}
        )
    names, token = [], None
    while True:
        page = core.list_namespaced_secret(
            NAMESPACE, limit=2, _continue=token, field_selector="type=Opaque"
        )
        names.append([base64.b64decode(secret.data["n"]).decode() for secret in page.items])
        token = page.metadata._continue
        if not token:
            break
    say("pages:", names)
    core.delete_collection_namespaced_secret(NAMESPACE, field_selector="type=Opaque")
    say("left:", len(core.list_namespaced_secret(NAMESPACE, field_selector="type=Opaque").items))


def deployment():
    container = {"name": "web", "image": "workshop/echo", "ports": [{"containerPort": 8080}]}
    utils.create_from_dict(
        client.ApiClient(),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [container]},
                },
            },
        },
    )
    apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 2}})
    rollout = watch.Watch()
    for event in rollout.stream(apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=60):
        if event["object"].status.available_replicas == 2:
            rollout.stop()
    pods = core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items
    say("deployment:", [pod.status.phase for pod in pods])


def shell():
    pod = {
        "metadata": {"name": "shell"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "shell",
                    "image": "workshop/shell",
                    "command": ["sh", "-c", "echo from the log; sleep 1000"],
                }
            ],
        },
    }
    core.create_namespaced_pod(NAMESPACE, pod)
    phases = watch.Watch()
    for event in phases.stream(
        core.list_namespaced_pod, NAMESPACE, field_selector="metadata.name=shell", timeout_seconds=60
    ):
        if event["object"].status.phase == "Running":
            phases.stop()
    for line in watch.Watch().stream(core.read_namespaced_pod_log, "shell", NAMESPACE, follow=True):
        say("log:", line)
        break
    out = stream(
        core.connect_get_namespaced_pod_exec,
        "shell",
        NAMESPACE,
        command=["sh", "-c", "echo out; echo err >&2"],
        stderr=True,
        stdin=False,
        stdout=True,
        tty=False,
    )
    say("exec:", sorted(out.split()))
    core.delete_namespaced_pod("shell", NAMESPACE, grace_period_seconds=0)


def by_kind():
    """The dynamic client: it learns from discovery what there is."""
    cluster = dynamic.DynamicClient(client.ApiClient())
    deployments = cluster.resources.get(api_version="apps/v1", kind="Deployment")
    say("dynamic:", deployments.get(name="web", namespace=NAMESPACE).spec.replicas)
    applied = deployments.server_side_apply(
        body={"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"by": "python"}}},
        name="web",
        namespace=NAMESPACE,
        field_manager="session",
    )
    managers = {entry.manager: entry.operation for entry in applied.metadata.managedFields}
    say("applied:", applied.metadata.labels.by, managers["session"])


def who_may():
    review = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "nodes"}}}
    answer = client.AuthorizationV1Api().create_self_subject_access_review(review)
    say("may delete nodes:", answer.status.allowed)
    token = core.create_namespaced_service_account_token("default", NAMESPACE, {"spec": {}})
    setup = client.Configuration.get_default_copy()
    setup.cert_file = setup.key_file = None
    setup.api_key = {"authorization": f"Bearer {token.status.token}"}
    nobody = client.CoreV1Api(client.ApiClient(setup))
    say("the account:", refused(nobody.list_node))


for part in [make_namespace, config_maps, pages, deployment, shell, by_kind, who_may]:
    part()
core.delete_namespace(NAMESPACE)
