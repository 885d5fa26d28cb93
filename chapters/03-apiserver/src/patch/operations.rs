//! The operations of a JSON patch (RFC 6902), as upstream's library carries them out.
//!
//! It is kinder than the standard where something is not there: to `test`, what is absent is null;
//! `replace` puts it there; `copy` copies null. An index below zero counts from the end of its list.
//!
//! Upstream: `gopkg.in/evanphx/json-patch.v4`, `patch.go`, whose words the errors are.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One of the operations.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Operation {
    /// `add`, `remove`, `replace`, `move`, `copy`, `test`
    op: Option<String>,
    /// A JSON pointer (RFC 6901).
    path: Option<String>,
    /// One more, of `move` and `copy`.
    from: Option<String>,
    value: Value,
}

const MISSING: &str = "missing value";
const FAILED: &str = "test failed";

/// Whether what kept an operation from its work is that a `test` did not hold.
pub(super) fn is_failed_test(why: &str) -> bool {
    why.ends_with(FAILED)
}

impl Operation {
    /// Changes the object, or says why it cannot.
    pub(super) fn carry_out(&self, object: &mut Value) -> Result<(), String> {
        let op = self.op.as_deref().unwrap_or("unknown");
        match op {
            "add" | "remove" | "replace" | "test" => {
                let path = self.path(op)?;
                match op {
                    "add" => self.add(object, path),
                    "remove" => remove(object, path),
                    "replace" => self.replace(object, path),
                    _ => self.test(object, path),
                }
            }
            "move" => self.relocate(object),
            "copy" => self.copy(object),
            _ => Err(format!("Unexpected kind: {op}")),
        }
    }

    /// The value that it puts somewhere.
    pub(super) fn puts<'a>(&'a self, object: &'a Value) -> Option<&'a Value> {
        match self.op.as_deref() {
            Some("add" | "replace") => Some(&self.value),
            Some("move" | "copy") => object.pointer(self.from.as_deref()?),
            _ => None,
        }
    }

    /// Whether the object then holds something twice.
    pub(super) fn copies(&self) -> bool {
        self.op.as_deref() == Some("copy")
    }

    /// How many steps it is to where it puts something.
    pub(super) fn depth(&self) -> usize {
        self.path
            .as_deref()
            .unwrap_or_default()
            .matches('/')
            .count()
    }

    fn path(&self, op: &str) -> Result<&str, String> {
        let missing = || format!("{op} operation failed to decode path: {MISSING}");
        self.path.as_deref().ok_or_else(missing)
    }

    fn from(&self, op: &str) -> Result<&str, String> {
        let missing = || format!("{op} operation failed to decode from: {MISSING}");
        self.from.as_deref().ok_or_else(missing)
    }

    fn add(&self, object: &mut Value, path: &str) -> Result<(), String> {
        let Some((container, key)) = find(object, path) else {
            return Err(format!(
                "add operation does not apply: doc is missing path: {path:?}: {MISSING}"
            ));
        };
        let added = container.add(&key, self.value.clone());
        added.map_err(|why| format!("error in add for path: '{path}': {why}"))
    }

    fn replace(&self, object: &mut Value, path: &str) -> Result<(), String> {
        let lacks = |what: &str| {
            format!("replace operation does not apply: doc is missing {what}: {path}: {MISSING}")
        };
        if path.is_empty() {
            if !self.value.is_object() && !self.value.is_array() {
                return Err("replace operation value must be object or array".to_owned());
            }
            *object = self.value.clone();
            return Ok(());
        }
        match find(object, path).ok_or_else(|| lacks("path"))? {
            (Container::Map(map), key) => drop(map.insert(key, self.value.clone())),
            (Container::List(list), key) => {
                let index = index(&key, list.len()).map_err(|_| lacks("key"))?;
                list[index] = self.value.clone();
            }
        }
        Ok(())
    }

    fn test(&self, object: &mut Value, path: &str) -> Result<(), String> {
        let holds = if path.is_empty() {
            *object == self.value
        } else {
            let Some((container, key)) = find(object, path) else {
                return Err(format!(
                    "test operation does not apply: is missing path: {path}: {MISSING}"
                ));
            };
            let found = container.get(&key);
            found.map_err(|why| format!("error in test for path: '{path}': {why}"))? == self.value
        };
        match holds {
            true => Ok(()),
            false => Err(format!("testing value {path} failed: {FAILED}")),
        }
    }

    fn relocate(&self, object: &mut Value) -> Result<(), String> {
        let from = self.from("move")?;
        let lacks = |what: &str| format!("move operation does not apply: doc is missing {what}");
        let Some((mut container, key)) = find(object, from) else {
            return Err(format!("{}: {from}: {MISSING}", lacks("from path")));
        };
        let taken = container.take(&key);
        let value = taken.map_err(|why| format!("error in move for path: '{key}': {why}"))?;
        let path = self.path("move")?;
        let Some((container, key)) = find(object, path) else {
            return Err(format!("{}: {path}: {MISSING}", lacks("destination path")));
        };
        let added = container.add(&key, value);
        added.map_err(|why| format!("error in move for path: '{path}': {why}"))
    }

    fn copy(&self, object: &mut Value) -> Result<(), String> {
        let from = self.from("copy")?;
        let lacks = |what: &str| format!("copy operation does not apply: doc is missing {what}");
        let Some((container, key)) = find(object, from) else {
            return Err(format!("{}: {from}: {MISSING}", lacks("from path")));
        };
        let found = container.get(&key);
        let value = found.map_err(|why| format!("error in copy for from: '{from}': {why}"))?;
        let path = self.path("copy")?;
        let Some((container, key)) = find(object, path) else {
            return Err(format!("{}: {path}: {MISSING}", lacks("destination path")));
        };
        let added = container.add(&key, value);
        added.map_err(|why| format!("error while adding value during copy: {why}"))
    }
}

fn remove(object: &mut Value, path: &str) -> Result<(), String> {
    let Some((mut container, key)) = find(object, path) else {
        return Err(format!(
            "remove operation does not apply: doc is missing path: {path:?}: {MISSING}"
        ));
    };
    let taken = container.take(&key).map(drop);
    taken.map_err(|why| format!("error in remove for path: '{path}': {why}"))
}

/// What something can be put into.
enum Container<'a> {
    Map(&'a mut Map<String, Value>),
    List(&'a mut Vec<Value>),
}

impl Container<'_> {
    /// What a key has; null if a map has it not.
    fn get(&self, key: &str) -> Result<Value, String> {
        match self {
            Container::Map(map) => Ok(map.get(key).cloned().unwrap_or_default()),
            Container::List(list) => Ok(list[index(key, list.len())?].clone()),
        }
    }

    fn add(self, key: &str, value: Value) -> Result<(), String> {
        match self {
            Container::Map(map) => drop(map.insert(key.to_owned(), value)),
            Container::List(list) if key == "-" => list.push(value),
            Container::List(list) => {
                number(key)
                    .map_err(|why| format!("value was not a proper array index: '{key}': {why}"))?;
                // One more place than there are entries.
                list.insert(index(key, list.len() + 1)?, value);
            }
        }
        Ok(())
    }

    fn take(&mut self, key: &str) -> Result<Value, String> {
        match self {
            Container::Map(map) => map
                .remove(key)
                .ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}")),
            Container::List(list) => Ok(list.remove(index(key, list.len())?)),
        }
    }
}

/// The map or list that the last step of a path is in, and that step.
fn find<'a>(object: &'a mut Value, path: &str) -> Option<(Container<'a>, String)> {
    let (folder, key) = path.rsplit_once('/')?;
    let mut here = object;
    for step in folder.split('/').skip(1) {
        let step = unescape(step);
        here = match here {
            Value::Object(map) => map.get_mut(&step)?,
            Value::Array(list) => {
                let index = index(&step, list.len()).ok()?;
                &mut list[index]
            }
            _ => return None,
        };
    }
    let container = match here {
        Value::Object(map) => Container::Map(map),
        Value::Array(list) => Container::List(list),
        _ => return None,
    };
    Some((container, unescape(key)))
}

fn unescape(step: &str) -> String {
    // In this order: `~01` is `~1`.
    step.replace("~1", "/").replace("~0", "~")
}

fn number(key: &str) -> Result<i64, String> {
    key.parse()
        .map_err(|_| format!("strconv.Atoi: parsing {key:?}: invalid syntax"))
}

/// The place in a list of that length.
fn index(key: &str, length: usize) -> Result<usize, String> {
    let index = number(key)?;
    let from_start = match index {
        0.. => usize::try_from(index).ok(),
        _ => usize::try_from(index.unsigned_abs())
            .ok()
            .and_then(|back| length.checked_sub(back)),
    };
    let found = from_start.filter(|found| *found < length);
    found
        .ok_or_else(|| format!("Unable to access invalid index: {index}: invalid index referenced"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn done(object: Value, operation: Value) -> Result<Value, String> {
        let mut object = object;
        let operation: Operation = serde_json::from_value(operation).expect("an operation");
        operation.carry_out(&mut object).map(|()| object)
    }

    /// Of `TestCases` in upstream's `patch_test.go`, and what that says of absent values.
    #[test]
    fn to_a_test_what_is_absent_is_null() {
        let holds = |object: Value, path: &str, value: Option<Value>| {
            let mut test = json!({"op": "test", "path": path});
            if let Some(value) = value {
                test["value"] = value;
            }
            done(object, test).map(drop)
        };
        let failed = |path: &str| Err(format!("testing value {path} failed: test failed"));
        let null = || Some(Value::Null);
        assert_eq!(holds(json!({"baz": "qux"}), "/foo", null()), Ok(()));
        assert_eq!(holds(json!({"baz": "qux"}), "/foo", None), Ok(()));
        assert_eq!(holds(json!({"foo": null}), "/foo", null()), Ok(()));
        assert_eq!(holds(json!({"foo": {}}), "/foo", null()), failed("/foo"));
        assert_eq!(holds(json!({"foo": []}), "/foo", None), failed("/foo"));
        assert_eq!(
            holds(json!({"baz": 1}), "/foo", Some(json!(42))),
            failed("/foo")
        );
        assert_eq!(
            holds(json!({"baz/foo": 1}), "/baz~1foo", Some(json!(1))),
            Ok(())
        );
        assert_eq!(
            holds(json!({}), "/spec/foo", null()),
            Err("test operation does not apply: is missing path: /spec/foo: missing value".into())
        );
        assert_eq!(
            holds(json!({"list": []}), "/list/0", null()),
            Err(
                "error in test for path: '/list/0': Unable to access invalid index: 0: invalid \
                 index referenced"
                    .into()
            )
        );
    }

    #[test]
    fn a_replace_puts_what_was_not_there_unless_it_is_in_a_list() {
        let replace = |path: &str| json!({"op": "replace", "path": path, "value": 1});
        assert_eq!(
            done(json!({"a": {}}), replace("/a/b")),
            Ok(json!({"a": {"b": 1}}))
        );
        assert_eq!(
            done(json!({"a": [0, 0]}), replace("/a/-1")),
            Ok(json!({"a": [0, 1]}))
        );
        assert_eq!(
            done(json!({"a": [0]}), replace("/a/1")),
            Err("replace operation does not apply: doc is missing key: /a/1: missing value".into())
        );
        assert_eq!(
            done(json!({"a": 1}), replace("/a/b")),
            Err(
                "replace operation does not apply: doc is missing path: /a/b: missing value".into()
            )
        );
        let whole = json!({"op": "replace", "path": "", "value": {"b": 2}});
        assert_eq!(done(json!({"a": 1}), whole), Ok(json!({"b": 2})));
    }

    #[test]
    fn entries_of_lists_come_and_go() {
        let add = |path: &str| json!({"op": "add", "path": path, "value": 9});
        let list = || json!({"a": [1, 2]});
        assert_eq!(done(list(), add("/a/0")), Ok(json!({"a": [9, 1, 2]})));
        assert_eq!(done(list(), add("/a/-")), Ok(json!({"a": [1, 2, 9]})));
        assert_eq!(done(list(), add("/a/-1")), Ok(json!({"a": [1, 2, 9]})));
        let invalid = |op: &str, path: &str, index: i64| {
            Err(format!(
                "error in {op} for path: '{path}': Unable to access invalid index: {index}: \
                 invalid index referenced"
            ))
        };
        assert_eq!(done(list(), add("/a/3")), invalid("add", "/a/3", 3));
        assert_eq!(done(list(), add("/a/-4")), invalid("add", "/a/-4", -4));
        assert_eq!(
            done(list(), add("/a/x")),
            Err(
                "error in add for path: '/a/x': value was not a proper array index: 'x': \
                 strconv.Atoi: parsing \"x\": invalid syntax"
                    .into()
            )
        );
        let remove = |path: &str| json!({"op": "remove", "path": path});
        assert_eq!(done(list(), remove("/a/-2")), Ok(json!({"a": [2]})));
        assert_eq!(done(list(), remove("/a/2")), invalid("remove", "/a/2", 2));
        assert_eq!(
            done(list(), remove("/b")),
            Err(
                "error in remove for path: '/b': Unable to remove nonexistent key: b: missing \
                 value"
                    .into()
            )
        );
    }

    #[test]
    fn what_is_moved_goes_and_what_is_copied_stays() {
        let object = || json!({"a": {"x": 1}, "b": {}});
        let step = |op: &str, from: &str, path: &str| json!({"op": op, "from": from, "path": path});
        assert_eq!(
            done(object(), step("move", "/a/x", "/b/y")),
            Ok(json!({"a": {}, "b": {"y": 1}}))
        );
        assert_eq!(
            done(object(), step("copy", "/a", "/b/a")),
            Ok(json!({"a": {"x": 1}, "b": {"a": {"x": 1}}}))
        );
        assert_eq!(
            done(object(), step("move", "/a/x", "/c/y")),
            Err(
                "move operation does not apply: doc is missing destination path: /c/y: missing \
                 value"
                    .into()
            )
        );
        assert_eq!(
            done(object(), step("copy", "/c/x", "/b/y")),
            Err(
                "copy operation does not apply: doc is missing from path: /c/x: missing value"
                    .into()
            )
        );
    }

    #[test]
    fn what_is_no_operation_is_refused() {
        let why = |operation: Value| done(json!({}), operation).expect_err("it is none");
        assert_eq!(why(json!({"op": "x", "path": "/a"})), "Unexpected kind: x");
        assert_eq!(why(json!({})), "Unexpected kind: unknown");
        let missing = "add operation failed to decode path: missing value";
        assert_eq!(why(json!({"op": "add"})), missing);
        assert_eq!(
            why(json!({"op": "add", "path": ""})),
            "add operation does not apply: doc is missing path: \"\": missing value"
        );
    }
}
