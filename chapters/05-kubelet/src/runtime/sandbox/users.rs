//! Users: by name or number, in the image's files, and in the user namespace. Pure.

use crate::runtime::{Result, RuntimeError, Security};

/// Who is known in an image: the texts of its `/etc/passwd` and `/etc/group`.
#[derive(Debug, Clone, Default)]
pub struct ImageUsers {
    /// `name:password:uid:gid:comment:home:shell`.
    pub passwd: String,
    /// `name:password:gid:member,member`.
    pub group: String,
}

/// Whom a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Number of the user.
    pub uid: u32,
    /// Number of the first group.
    pub gid: u32,
    /// Numbers of the other groups.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl ImageUsers {
    fn passwd_entries(&self) -> impl Iterator<Item = PasswdEntry<'_>> {
        self.passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields[..] else {
                return None;
            };
            Some(PasswdEntry {
                name,
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                home,
            })
        })
    }

    /// Name, number and members of each group.
    fn group_entries(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, gid, members] = fields[..] else {
                return None;
            };
            Some((name, gid.parse().ok()?, members))
        })
    }

    /// The user that the image's `USER` (`name`, `uid`, `name:group`, `uid:gid`, …) and the pod's
    /// security context ask for.
    ///
    /// # Errors
    /// [`RuntimeError::Create`] for a name that the image does not know.
    pub fn resolve(&self, image_user: &str, security: &Security) -> Result<User> {
        let (user, group) = match image_user.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (image_user, None),
        };
        let user = security
            .run_as_user
            .map(|uid| uid.to_string())
            .unwrap_or(user.to_string());
        let entry = self.find_user(&user)?;
        let uid = entry
            .as_ref()
            .map_or_else(|| user.parse().unwrap_or(0), |entry| entry.uid);
        let gid = match (security.run_as_group, security.run_as_user, group) {
            (Some(gid), _, _) => gid,
            // A group in USER goes with the user in USER, not with one that takes its place.
            (None, None, Some(group)) if !group.is_empty() => self.find_group(group)?,
            _ => entry.as_ref().map_or(0, |entry| entry.gid),
        };
        let mut groups = security.supplemental_groups.clone();
        if let Some(entry) = entry.as_ref().filter(|_| !security.strict_groups) {
            let of_user = self.group_entries().filter(|(_, _, members)| {
                members.split(',').any(|member| member.trim() == entry.name)
            });
            groups.extend(of_user.map(|(_, gid, _)| gid));
        }
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|other| *other != gid);
        let home = match &entry {
            Some(entry) if !entry.home.is_empty() => entry.home.to_string(),
            _ if uid == 0 => "/root".to_string(),
            _ => "/".to_string(),
        };
        Ok(User {
            uid,
            gid,
            groups,
            home,
        })
    }

    fn find_user(&self, user: &str) -> Result<Option<PasswdEntry<'_>>> {
        if user.is_empty() {
            return Ok(self.passwd_entries().find(|entry| entry.uid == 0));
        }
        match user.parse::<u32>() {
            Ok(uid) => Ok(self.passwd_entries().find(|entry| entry.uid == uid)),
            Err(_) => {
                let entry = self.passwd_entries().find(|entry| entry.name == user);
                let missing = || {
                    RuntimeError::Create(format!(
                        "unable to find user {user}: no matching entries in passwd file"
                    ))
                };
                entry.map(Some).ok_or_else(missing)
            }
        }
    }

    fn find_group(&self, group: &str) -> Result<u32> {
        let found = self.group_entries().find(|(name, _, _)| *name == group);
        group
            .parse()
            .ok()
            .or(found.map(|(_, gid, _)| gid))
            .ok_or_else(|| {
                RuntimeError::Create(format!(
                    "unable to find group {group}: no matching entries in group file"
                ))
            })
    }
}

/// The users or groups that exist in a user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// Ranges: first and count.
    ranges: Vec<(u32, u32)>,
    /// What to do about a number that is missing.
    advice: &'static str,
}

impl IdMap {
    /// Reads the text of `/proc/self/uid_map` or `gid_map`.
    pub fn parse(text: &str) -> Self {
        let range = |line: &str| {
            let mut fields = line.split_whitespace();
            let first = fields.next()?.parse().ok()?;
            Some((first, fields.nth(1)?.parse().ok()?))
        };
        IdMap {
            ranges: text.lines().filter_map(range).collect(),
            advice: "give the user who runs the cluster a range in /etc/subuid and /etc/subgid \
                     (with newuidmap installed) and start it again, or set \
                     securityContext.runAsUser to 0",
        }
    }

    /// Those of a pod with users of its own: as many, from 0 on.
    pub fn of_pod(length: u32) -> Self {
        IdMap {
            ranges: vec![(0, length)],
            advice: "a pod with hostUsers: false has those below 65536",
        }
    }

    /// Whether the number exists here.
    pub fn contains(&self, id: u32) -> bool {
        self.ranges
            .iter()
            .any(|(first, count)| id.checked_sub(*first).is_some_and(|n| n < *count))
    }

    /// # Errors
    /// [`RuntimeError::Create`], with what to do about it, for a number that does not exist here.
    pub fn check(&self, id: u32, kind: &str) -> Result<()> {
        if self.contains(id) {
            return Ok(());
        }
        Err(RuntimeError::Create(format!(
            "{kind} {id} does not exist in this user namespace: {}",
            self.advice
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> ImageUsers {
        ImageUsers {
            passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:web:/srv:/bin/false\nbad\n"
                .into(),
            group: "root:x:0:\nweb:x:102:\nlog:x:7:web,root\n".into(),
        }
    }

    #[test]
    fn users_by_name_and_number() {
        let none = Security::default();
        let table = [
            ("", (0, 0, vec![7], "/root")),
            ("web", (101, 102, vec![7], "/srv")),
            ("101", (101, 102, vec![7], "/srv")),
            ("web:log", (101, 7, vec![], "/srv")),
            ("web:9", (101, 9, vec![7], "/srv")),
            ("999", (999, 0, vec![], "/")),
            ("999:102", (999, 102, vec![], "/")),
        ];
        for (user, (uid, gid, groups, home)) in table {
            let expected = User {
                uid,
                gid,
                groups,
                home: home.into(),
            };
            assert_eq!(users().resolve(user, &none).unwrap(), expected, "{user}");
        }
        let error = users().resolve("nobody", &none).unwrap_err().to_string();
        assert_eq!(
            error,
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert!(users().resolve("web:nogroup", &none).is_err());
    }

    #[test]
    fn the_pod_has_the_last_word() {
        let security = Security {
            run_as_user: Some(101),
            supplemental_groups: vec![2000, 7],
            ..Security::default()
        };
        let user = users().resolve("0:7", &security).unwrap();
        assert_eq!((user.uid, user.gid, user.groups), (101, 102, vec![7, 2000]));
        let strict = Security {
            strict_groups: true,
            ..security
        };
        assert_eq!(users().resolve("0:7", &strict).unwrap().groups, [7, 2000]);
        let strict = Security {
            supplemental_groups: vec![],
            ..strict
        };
        assert!(users().resolve("web", &strict).unwrap().groups.is_empty());
        let security = Security {
            run_as_group: Some(5),
            ..Security::default()
        };
        assert_eq!(users().resolve("web", &security).unwrap().gid, 5);
    }

    #[test]
    fn a_user_namespace_of_one() {
        let map = IdMap::parse("         0       1000          1\n");
        assert!(map.contains(0) && !map.contains(1));
        assert!(
            map.check(65534, "user")
                .unwrap_err()
                .to_string()
                .starts_with("user 65534 does")
        );
        assert!(IdMap::parse("0 0 4294967295").contains(65534));
    }
}
