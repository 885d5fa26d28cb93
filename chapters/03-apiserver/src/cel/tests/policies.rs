//! Expressions of policies: what their names stand for, and what they make.

use std::cell::RefCell;

use super::*;

/// An object, a variable that cannot be had, and a memory of what was asked.
struct Policy {
    object: Val,
    asked: RefCell<Vec<String>>,
    checks: RefCell<Vec<Check>>,
}

impl Names for Policy {
    fn value(&self, name: &str, budget: &mut Budget) -> Option<Result<Val, Failure>> {
        let found = match name {
            "object" => Ok(self.object.clone()),
            "authorizer" => Ok(Check::authorizer()),
            "authorizer.requestResource" => Ok(Check {
                group: "apps".to_owned(),
                resource: "deployments".to_owned(),
                ..Check::default()
            }
            .of_request()),
            "variables.n" => budget.spend(3).map(|()| Val::Int(2)),
            "variables.broken" => Err(Failure::error("no such key: x")),
            _ => return None,
        };
        self.asked.borrow_mut().push(name.to_owned());
        Some(found)
    }

    fn check(&self, check: &Check) -> Decision {
        self.checks.borrow_mut().push(check.clone());
        Decision {
            allowed: check.verb == "get",
            reason: "because".to_owned(),
            error: (check.verb == "break").then(|| "broken".to_owned()),
        }
    }
}

fn policy() -> Policy {
    let object = json!({"spec": {"replicas": 3, "list": [1, 2]}, "metadata": {"name": "web"}});
    Policy {
        object: Val::from_json(&object, None),
        asked: RefCell::default(),
        checks: RefCell::default(),
    }
}

fn run(policy: &Policy, text: &str) -> Result<Val, String> {
    let variables = [("n".to_owned(), INT), ("broken".to_owned(), INT)].into();
    let environment = Environment::admission(false)
        .with_variables(&variables)
        .making_patches();
    let expression = Expression::compile(text, &environment)?;
    let found = expression.run(policy, &mut Budget::new(RULE_COST_MAX));
    found.map_err(|failure| format!("{failure:?}"))
}

#[test]
fn a_variable_is_asked_for_when_it_is_used() {
    let policy = policy();
    let text = "object.spec.replicas > variables.n || variables.broken > 1";
    assert_eq!(run(&policy, text), Ok(Val::Bool(true)));
    assert_eq!(*policy.asked.borrow(), ["object", "variables.n"]);
    assert_eq!(
        run(&policy, "variables.broken > 1"),
        Err("Error(\"no such key: x\")".to_owned())
    );
    for text in [
        "has(object.spec.replicas) && !has(object.spec.x) && has(variables.n)",
        "object.?spec.?x.orValue(variables.n) == 2 && variables.?n.hasValue()",
        "object[?'spec'].hasValue() && object.spec.list.all(variables, variables > 0)",
        "object.metadata.name == 'web' && !('x' in object)",
    ] {
        assert_eq!(run(&policy, text), Ok(Val::Bool(true)), "{text}");
    }
}

/// Upstream: `apiserver/pkg/admission/plugin/cel/filter_test.go`, `TestFilter`, and
/// `apiserver/pkg/cel/library/authz.go`.
#[test]
fn whether_something_may_be_done_is_asked() {
    let policy = policy();
    let holds = |text: &str| assert_eq!(run(&policy, text), Ok(Val::Bool(true)), "{text}");
    holds("authorizer.path('/healthz').check('get').allowed()");
    holds("!authorizer.requestResource.check('delete').allowed()");
    holds(
        "authorizer.serviceAccount('default', 'robot').group('').resource('pods')\
         .subresource('log').namespace('default').name('web').fieldSelector('a=b')\
         .labelSelector('c=d').check('get').reason() == 'because'",
    );
    holds("authorizer.group('').resource('pods').check('break').errored()");
    holds("authorizer.group('').resource('pods').check('break').error() == 'broken'");
    holds("authorizer.group('').resource('pods').check('get').error() == ''");
    let checks = policy.checks.borrow();
    assert_eq!(checks[0].path.as_deref(), Some("/healthz"));
    assert_eq!(
        (&*checks[1].group, &*checks[1].resource, &*checks[1].verb),
        ("apps", "deployments", "delete")
    );
    let expect = Check {
        path: None,
        group: String::new(),
        resource: "pods".to_owned(),
        subresource: "log".to_owned(),
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        field_selector: "a=b".to_owned(),
        label_selector: "c=d".to_owned(),
        verb: "get".to_owned(),
        service_account: Some(("default".to_owned(), "robot".to_owned())),
    };
    assert_eq!(checks[2], expect);
    for (text, error) in [
        ("authorizer.path(' ')", "path must not be empty"),
        (
            "authorizer.group('').resource('')",
            "resource must not be empty",
        ),
        (
            "authorizer.serviceAccount('default', 'Robot')",
            "Invalid service account name",
        ),
        (
            "authorizer.serviceAccount('a.b', 'robot')",
            "Invalid service account namespace",
        ),
    ] {
        assert_eq!(
            run(&policy, text),
            Err(format!("Error({error:?})")),
            "{text}"
        );
    }
}

/// Upstream: `apiserver/pkg/cel/mutation/typeresolver_test.go`.
#[test]
fn objects_and_patches_are_made() {
    let policy = policy();
    let check = |text: &str, expect: Value| {
        let found = run(&policy, text).map(|value| value.to_json());
        assert_eq!(found, Ok(expect), "{text}");
    };
    check("Object{}", json!({}));
    check(
        "Object{spec: Object.spec{replicas: 3}}",
        json!({"spec": {"replicas": 3}}),
    );
    check(
        "Object{spec: Object.spec{template: Object.spec.template{metadata: \
         Object.spec.template.metadata{labels: {'a': 'b'}}}}}",
        json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
    );
    check(
        "Object{spec: Object.spec{?x: object.?nothing, ?replicas: object.spec.?replicas}}",
        json!({"spec": {"replicas": 3}}),
    );
    check(
        "Object{?spec: optional.ofNonZeroValue(Object.spec{?replicas: Object{}.?replicas})}",
        json!({}),
    );
    check(
        "Object{spec: Object.spec{replicas: 3}} == Object{spec: Object.spec{replicas: 1 + 2}}",
        json!(true),
    );
    check(
        "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 3}, \
         JSONPatch{op: 'move', from: '/a', path: '/b'}, JSONPatch{op: 'test', path: '/c', value: null}]",
        json!([
            {"op": "add", "path": "/metadata/labels/a~1b", "value": 3},
            {"op": "move", "from": "/a", "path": "/b"},
            {"op": "test", "path": "/c", "value": null},
        ]),
    );
    check(
        "[dyn(b'abc'), duration('90s'), timestamp('2026-01-02T03:04:05Z'), 1u, optional.of(1), null]",
        json!(["YWJj", "90s", "2026-01-02T03:04:05Z", 1, 1, null]),
    );
    check(
        "{true: 'b', false: 'a'}",
        json!({"false": "a", "true": "b"}),
    );
}

/// Upstream: `CheckTypeNamesMatchFieldPathNames` of
/// `apiserver/pkg/cel/mutation/dynamic/objects.go`.
#[test]
fn types_are_named_for_where_they_stand() {
    let policy = policy();
    let check = |text: &str, expect: &[&str]| {
        let made = run(&policy, text).expect(text);
        assert_eq!(made.misnamed(), expect, "{text}");
    };
    check(
        "Object{spec: Object.spec{list: [Object.spec.list{a: 1}]}}",
        &[],
    );
    check(
        "Object{spec: Object.metadata{}}",
        &[
            "unexpected type name \"Object.metadata\", expected \"Object.spec\", which matches \
           field name path from root Object type",
        ],
    );
}
