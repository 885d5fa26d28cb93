//! One script, two clusters: what each says to the same commands, and where they differ.
//!
//! A script is a transcript (see [the crate](crate)) or just lines of commands; what was recorded
//! in it plays no part. Names of nodes differ from cluster to cluster and are no difference: the
//! first of each is `node-1` (see [`Nodes`]).

use crate::mask::Masks;
use crate::table::{self, Part};
use crate::{difference, play};

/// What differs between two clusters; nothing when they say the same. `-` is the left one's.
///
/// `run` gets a side and a command, and returns what that said.
pub fn compare(
    script: &str,
    sides: [Side; 2],
    run: impl Fn(usize, &str) -> String + Sync,
) -> Option<String> {
    let script = session(script);
    let play_on = |at: usize, mut side: Side| play(&script, |command| side.mask(&run(at, command)));
    let [left, right] = sides;
    let (left, right) = std::thread::scope(|scope| {
        let right = scope.spawn(|| play_on(1, right));
        (play_on(0, left), right.join().expect("the other side ends"))
    });
    difference(&left, &right)
}

/// How many commands a script has.
pub fn commands(script: &str) -> usize {
    let script = session(script);
    script.lines().filter(|line| line.starts_with("$ ")).count()
}

/// A script of bare commands as the session that it stands for; a session as it is.
fn session(script: &str) -> String {
    let is_session = |line: &str| line.starts_with("$ ");
    // An empty line before all: the first command is told apart from what is above it.
    let mut session = String::from("\n");
    for line in script.lines() {
        let is_bare = !script.lines().any(is_session) && !line.trim().is_empty();
        if is_bare && !line.starts_with('#') {
            session += "$ ";
        }
        session += line;
        session.push('\n');
    }
    session
}

/// Where k3s has pods and Services, and where the workshop has them.
const NETWORKS: [(&str, &str); 2] = [("10.42.", "10.244."), ("10.43.", "10.96.")];

/// What is to be hidden of one cluster.
pub struct Side {
    masks: Masks,
    nodes: Nodes,
}

impl Side {
    /// A cluster with that address and those nodes.
    pub fn new(server: &str, nodes: Nodes) -> Self {
        Self {
            masks: Masks::new().with(server, "https://SERVER"),
            nodes,
        }
    }

    fn mask(&mut self, said: &str) -> String {
        let said = self
            .nodes
            .mask(&said.lines().map(same_networks).collect::<Vec<_>>());
        self.masks.mask(&said)
    }
}

/// A cluster's nodes: those of the control plane first, as they will be counted.
#[derive(Debug, Clone, Default)]
pub struct Nodes(Vec<[String; 2]>);

impl Nodes {
    /// From lines of `kubectl get nodes -o wide --no-headers`: name, state, roles, age, version,
    /// address. Any role but `<none>` is the control plane's.
    pub fn parse(lines: &str) -> Self {
        let nodes = lines.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [name, _, roles, _, _, address, ..] = fields[..] else {
                return None;
            };
            Some((roles == "<none>", [name, address].map(str::to_owned)))
        });
        let mut nodes: Vec<(bool, [String; 2])> = nodes.collect();
        nodes.sort();
        Self(nodes.into_iter().map(|(_, node)| node).collect())
    }

    /// Lines with numbers in the place of names and addresses; tables are laid out anew.
    fn mask(&self, lines: &[String]) -> String {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut masked = String::new();
        for part in table::parts(&lines) {
            match part {
                // A role may have a node's name.
                Part::Line(line) if line.starts_with("Roles:") => masked += &format!("{line}\n"),
                Part::Line(line) => masked += &format!("{}\n", self.replace(line)),
                Part::Rows(indent, rows) => masked += &self.table(indent, &rows, &[]),
                Part::Table(indent, rows) => masked += &self.table(indent, &rows, &rows[0]),
            }
        }
        masked
    }

    fn table(&self, indent: usize, rows: &[Vec<&str>], columns: &[&str]) -> String {
        let row = |cells: &Vec<&str>| {
            let cells = cells.iter().enumerate();
            let cells = cells.map(|(at, cell)| match columns.get(at) {
                Some(&"ROLES") => (*cell).to_owned(),
                _ => self.replace(cell),
            });
            cells.collect()
        };
        let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
        table::lay_out(indent, &rows)
    }

    fn replace(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (at, [name, address]) in self.0.iter().enumerate() {
            line = replace(&line, name, &format!("node-{}", at + 1), stands_alone);
            line = replace(
                &line,
                address,
                &format!("172.30.0.{}", at + 2),
                stands_alone,
            );
        }
        line
    }
}

/// A line with pods and Services where the workshop has them.
fn same_networks(line: &str) -> String {
    let begins =
        |before: &str, _: &str| !before.ends_with(|it: char| it.is_ascii_digit() || it == '.');
    NETWORKS
        .iter()
        .fold(line.to_owned(), |line, (theirs, ours)| {
            replace(&line, theirs, ours, begins)
        })
}

/// Whether what is between the two is a word of its own: `control-plane` may be a node's name, but
/// is none in `node-role.kubernetes.io/control-plane`.
fn stands_alone(before: &str, after: &str) -> bool {
    let is_part = |it: char| it.is_ascii_alphanumeric() || "-._/".contains(it);
    // `node/worker-1` is how kubectl names an object.
    let begins = !before.ends_with(is_part) || before.ends_with("node/");
    begins && !after.starts_with(is_part)
}

/// Replaces `part` where what is before and after it allows.
fn replace(line: &str, part: &str, by: &str, may: impl Fn(&str, &str) -> bool) -> String {
    let mut replaced = String::new();
    let mut at = 0;
    while let Some(found) = line[at..].find(part) {
        let (from, to) = (at + found, at + found + part.len());
        replaced += &line[at..from];
        replaced += match may(&line[..from], &line[to..]) {
            true => by,
            false => part,
        };
        at = to;
    }
    replaced + &line[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(nodes: &str) -> Side {
        Side::new("https://127.0.0.1:6443", Nodes::parse(nodes))
    }

    #[test]
    fn what_differs_is_told_by_command() {
        let script = "# why\nkubectl get nodes\n\nkubectl version\n";
        let sides = [
            side("w-1 Ready <none> 1s v1 172.30.0.3\nc-p Ready control-plane 1s v1 172.30.0.2"),
            side("agent-0 Ready <none> 9m v1 172.18.0.4\nserver-0 Ready master 9m v1 172.18.0.3"),
        ];
        let said = compare(script, sides, |side, command| match (command, side) {
            ("kubectl get nodes", 0) => "c-p 172.30.0.2\nw-1\n".into(),
            ("kubectl get nodes", 1) => "server-0 172.18.0.3\nagent-0\n".into(),
            (_, 0) => "v1.36.2\n".into(),
            (_, _) => "v1.36.2+k3s1\n".into(),
        });
        let expected = "$ kubectl version\n- v1.36.2\n+ v1.36.2+k3s1\n\n";
        assert_eq!(said.as_deref(), Some(expected));
        assert_eq!(commands(script), 2);
    }

    #[test]
    fn nothing_differs_where_both_say_the_same() {
        let recorded = "$ kubectl get pods\nolder output\n";
        let sides = [
            side("a Ready x 1s v1 10.0.0.1"),
            side("b Ready x 1s v1 10.0.0.2"),
        ];
        let said = compare(recorded, sides, |side, _| {
            let (node, network) = [("a", "10.244.1.7"), ("b", "10.42.0.9")][side];
            format!(
                "NAME   AGE      IP          NODE\nweb    {side}m{side}s   {network}   {node}\n"
            )
        });
        assert_eq!(said.as_deref(), None);
        assert_eq!(commands(recorded), 1);
    }

    #[test]
    fn a_name_within_another_is_none() {
        let nodes = Nodes::parse("control-plane Ready control-plane 1s v1 172.30.0.2");
        for (line, expected) in [
            ("control-plane  Ready", "node-1  Ready"),
            ("node/control-plane cordoned", "node/node-1 cordoned"),
            (
                "node-role.kubernetes.io/control-plane=",
                "node-role.kubernetes.io/control-plane=",
            ),
            ("my-control-plane", "my-control-plane"),
            ("Roles:   control-plane", "Roles:   control-plane"),
        ] {
            assert_eq!(nodes.mask(&[line.to_owned()]), format!("{expected}\n"));
        }
    }

    #[test]
    fn tables_keep_their_columns() {
        let nodes = "control-plane Ready control-plane 1s v1 172.30.0.2";
        let table = "NAME            STATUS   ROLES           AGE   VERSION\n\
                     control-plane   Ready    control-plane   33s   v1.36.2\n";
        assert_eq!(
            side(nodes).mask(table),
            "NAME     STATUS   ROLES           AGE   VERSION\n\
             node-1   Ready    control-plane   5s    v1.36.2\n"
        );
    }
}
