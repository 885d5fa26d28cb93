//! What etcd's members say of themselves.

use serde_json::Value;

/// Asks each member that can be reached how it is.
pub const STATUS: [&str; 6] = ["etcdctl", "--", "endpoint", "status", "-w", "json"];

/// Of what [`STATUS`] printed: the member that leads, and Raft's term. None between two leaders.
pub fn leader(status: &str) -> Option<(String, u64)> {
    let status: Value = serde_json::from_str(status).ok()?;
    let says_so = status.as_array()?.iter().filter(|member| {
        let status = &member["Status"];
        status["leader"] == status["header"]["member_id"]
    });
    // One that was cut off a moment ago may not know yet that it leads no more.
    let term = |member: &&Value| member["Status"]["raftTerm"].as_u64();
    let leads = says_so.max_by_key(term)?;
    let address = leads["Endpoint"].as_str()?.strip_suffix(":2379")?;
    let number = address.strip_prefix("https://172.31.0.1")?;
    Some((format!("etcd-{number}"), term(&leads)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_itself_leads() {
        let member = |number: u8, leader: u8, term: u8| {
            format!(
                r#"{{"Endpoint":"https://172.31.0.1{number}:2379","Status":{{"header":{{"member_id":{number}}},"leader":{leader},"raftTerm":{term}}}}}"#
            )
        };
        let of = |leader| leader_of(&[member(1, leader, 7), member(2, leader, 7)]);
        assert_eq!(of(2), Some(("etcd-2".to_owned(), 7)));
        // 0: nobody is known to lead. 3: the one that does is gone.
        assert_eq!(of(0), None);
        assert_eq!(of(3), None);
        let two = leader_of(&[member(1, 1, 7), member(2, 2, 8)]);
        assert_eq!(two, Some(("etcd-2".to_owned(), 8)));
        assert_eq!(leader(""), None);
    }

    fn leader_of(members: &[String]) -> Option<(String, u64)> {
        leader(&format!("[{}]", members.join(",")))
    }
}
