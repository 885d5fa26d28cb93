//! Which users of the node stand for those of a pod with `hostUsers: false`.
//!
//! ```text
//! users of the node   0 … 65535 │ 65536 … 131071 │ 131072 … 196607 │ …
//!                     the node's │ one pod's      │ another pod's   │
//! ```
//!
//! No two pods of a node share a range, so what breaks out of one pod is nobody in another, and
//! nobody on the node. The node's own 65,536 users are never a pod's.
//!
//! Upstream: `pkg/kubelet/userns/userns_manager.go`.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::runtime::UserRange;

/// How many users and groups a pod has. Upstream: `userNamespaces.idsPerPod`, its default.
pub const IDS_PER_POD: u32 = 65_536;

/// What is kept of a pod's range, in its folder: one mapping for users, and the same for groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mappings {
    uid_mappings: Vec<IdMapping>,
    gid_mappings: Vec<IdMapping>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdMapping {
    host_id: u32,
    container_id: u32,
    length: u32,
}

impl Mappings {
    /// What is written down of a range.
    pub fn of(range: UserRange) -> Mappings {
        let mapping = vec![IdMapping {
            host_id: range.host_id,
            container_id: 0,
            length: range.length,
        }];
        Mappings {
            uid_mappings: mapping.clone(),
            gid_mappings: mapping,
        }
    }

    /// The range that was written down.
    ///
    /// # Errors
    /// When it is none that a kubelet writes.
    pub fn range(&self) -> Result<UserRange, String> {
        let wrong = |what: &str| Err(format!("invalid user namespace configuration: {what}"));
        let [mapping] = &self.uid_mappings[..] else {
            return wrong("no more than one mapping allowed.");
        };
        if self.uid_mappings != self.gid_mappings {
            return wrong("GID and UID mapping should be identical");
        }
        if mapping.container_id != 0 {
            return wrong("UID 0 must be mapped");
        }
        Ok(UserRange {
            host_id: mapping.host_id,
            length: mapping.length,
        })
    }
}

/// The first range that no other pod has.
///
/// # Errors
/// When all are taken.
pub fn allocate(taken: &[UserRange]) -> Result<UserRange, String> {
    let taken: HashSet<u32> = taken.iter().map(|range| range.host_id).collect();
    // The last user, of number -1, is nobody at all: its range is left alone.
    let mut firsts = (IDS_PER_POD..u32::MAX - IDS_PER_POD).step_by(IDS_PER_POD as usize);
    let first = firsts.find(|first| !taken.contains(first));
    let first = first.ok_or("could not find an empty slot to allocate a user namespace")?;
    Ok(UserRange {
        host_id: first,
        length: IDS_PER_POD,
    })
}

/// Whether the runtime's handler can give the pod users of its own. `supported` is what it says of
/// itself; `None` for a handler that it does not tell of.
///
/// # Errors
/// Why it cannot.
pub fn check(handler: &str, supported: Option<bool>) -> Result<(), String> {
    let refused = match handler {
        "" => "runtime does not support user namespaces".to_owned(),
        name => format!("RuntimeClass handler {name:?} does not support user namespaces"),
    };
    let refused = format!("can't set `spec.hostUsers: false`, {refused}");
    match supported {
        Some(true) => Ok(()),
        Some(false) => Err(refused),
        None => Err(format!("{refused}: the handler {handler:?} is not known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(host_id: u32) -> UserRange {
        UserRange {
            host_id,
            length: IDS_PER_POD,
        }
    }

    #[test]
    fn each_pod_has_its_own_range_and_none_has_the_node_s() {
        assert_eq!(allocate(&[]), Ok(range(65_536)));
        let taken = [range(65_536), range(196_608)];
        assert_eq!(allocate(&taken), Ok(range(131_072)));
        let all: Vec<UserRange> = (1..65_535).map(|slot| range(slot * 65_536)).collect();
        assert_eq!(allocate(&all[..65_533]), Ok(all[65_533]));
        let full = "could not find an empty slot to allocate a user namespace";
        assert_eq!(allocate(&all), Err(full.to_owned()));
    }

    #[test]
    fn what_is_written_down_is_what_upstream_writes() {
        let text = serde_json::to_string(&Mappings::of(range(65_536))).unwrap();
        let mapping = r#"[{"hostId":65536,"containerId":0,"length":65536}]"#;
        let expected = format!(r#"{{"uidMappings":{mapping},"gidMappings":{mapping}}}"#);
        assert_eq!(text, expected);
        let read: Mappings = serde_json::from_str(&text).unwrap();
        assert_eq!(read.range(), Ok(range(65_536)));
        let read = |text: &str| serde_json::from_str::<Mappings>(text).unwrap().range();
        let none = read(r#"{"uidMappings":[],"gidMappings":[]}"#).unwrap_err();
        assert!(
            none.ends_with("no more than one mapping allowed."),
            "{none}"
        );
        let other = text.replacen("65536", "131072", 1);
        assert!(read(&other).unwrap_err().ends_with("should be identical"));
    }

    #[test]
    fn who_cannot_says_so_in_upstream_s_words() {
        assert_eq!(check("", Some(true)), Ok(()));
        let said = |handler, supported| check(handler, supported).unwrap_err();
        assert_eq!(
            said("", Some(false)),
            "can't set `spec.hostUsers: false`, runtime does not support user namespaces"
        );
        assert_eq!(
            said("vm", Some(false)),
            "can't set `spec.hostUsers: false`, RuntimeClass handler \"vm\" does not support user \
             namespaces"
        );
        assert!(said("vm", None).ends_with("namespaces: the handler \"vm\" is not known"));
    }
}
