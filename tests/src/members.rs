//! What etcd's members say of themselves, and who is who in a transcript.

use std::time::Duration;

use serde_json::Value;

use crate::Lab;

const LIMIT: Duration = Duration::from_secs(60);

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

/// Has a member lead.
///
/// # Panics
/// When it does not in time.
pub fn have_lead(lab: &Lab, member: &str) {
    let hand_over = |id: &str| {
        let (leader, _) = lab.leader();
        let ask = ["etcdctl", "--member", &leader, "--", "move-leader", id];
        (leader == member || lab.lab(&ask).is_ok()).then_some(())
    };
    let id = id(lab, member);
    lab.eventually("another one leads", LIMIT, || hand_over(&id));
}

/// The id of a member.
fn id(lab: &Lab, member: &str) -> String {
    let list = lab.lab(&["etcdctl", "--", "member", "list"]);
    let list = list.expect("the members answer");
    // 8e9e05c52164694d, started, etcd-1, https://…
    let mut rows = list.lines().map(|row| row.split(", "));
    let id = rows.find_map(|mut row| {
        let id = row.next()?;
        (row.nth(1)? == member).then(|| id.to_owned())
    });
    id.expect("it is a member")
}

/// Who is who in a transcript: which of two followers is elected is chance, and it is `etcd-2` that
/// a reader sees.
pub struct Roles {
    /// What is said of etcd-2, and in its place of etcd-3.
    pairs: Vec<(String, String)>,
    swapped: Option<bool>,
}

impl Roles {
    /// Those of a lab whose etcd-1 leads.
    pub fn of(lab: &Lab) -> Self {
        let mut pairs: Vec<(String, String)> =
            [("etcd-2", "etcd-3"), ("172.31.0.12", "172.31.0.13")]
                .map(|(second, third)| (second.to_owned(), third.to_owned()))
                .into();
        pairs.push((id(lab, "etcd-2"), id(lab, "etcd-3")));
        Self {
            pairs,
            swapped: None,
        }
    }

    /// Looks who leads, until somebody else than etcd-1 does.
    pub fn look(&mut self, lab: &Lab) {
        if self.swapped.is_none() {
            let (leader, _) = lab.leader();
            self.swapped = (leader != "etcd-1").then(|| leader == "etcd-3");
        }
    }

    /// What a transcript says for what is so, and the other way round.
    pub fn translate(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if self.swapped == Some(true) {
            for (second, third) in &self.pairs {
                text = text.replace(second, "\0");
                text = text.replace(third, second).replace('\0', third);
            }
        }
        text
    }
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

    #[test]
    fn who_was_elected_is_called_the_second() {
        let mut roles = Roles {
            pairs: vec![("etcd-2".into(), "etcd-3".into())],
            swapped: Some(false),
        };
        assert_eq!(roles.translate("etcd-3, etcd-2"), "etcd-3, etcd-2");
        roles.swapped = Some(true);
        assert_eq!(
            roles.translate("etcd-1, etcd-3, etcd-2"),
            "etcd-1, etcd-2, etcd-3"
        );
    }

    fn leader_of(members: &[String]) -> Option<(String, u64)> {
        leader(&format!("[{}]", members.join(",")))
    }
}
