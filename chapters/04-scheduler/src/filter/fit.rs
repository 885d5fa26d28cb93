//! `NodeResourcesFit`: does what the pod asks for fit beside what is there?

use super::Rejection;
use crate::node_info::{NodeInfo, PodInfo};

/// The filter's name.
pub const NAME: &str = "NodeResourcesFit";

/// Whether there is enough of everything. All that there is not enough of is told.
pub fn resources(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let mut reasons = Vec::new();
    let mut is_final = false;
    if node.pods.len() as i64 + 1 > node.pods_max() {
        reasons.push("Too many pods".to_owned());
        is_final |= node.pods_max() == 0;
    }
    for (name, request) in pod.requests.iter().filter(|(_, request)| *request > 0) {
        let allocatable = node.allocatable.get(name);
        if request > allocatable - node.requested.get(name) {
            reasons.push(format!("Insufficient {name}"));
            // Not even an empty node would have it.
            is_final |= request > allocatable;
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Rejection {
        plugin: NAME,
        reasons,
        is_final,
    })
}
