//! What to tell the kernel: the whole table anew, or only what differs.

use super::{Chain, Hook, Key, Rule, Set, Table, Verdict};

/// One change. Its `Display` is the `nft` command that does the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each field is named after the nft word it stands for"
)]
pub enum Op<'a> {
    /// Makes the table, or leaves the one that is there.
    AddTable(&'a str),
    /// Removes the table and everything in it.
    DeleteTable(&'a str),
    /// Makes a set or map, empty.
    AddSet {
        table: &'a str,
        name: &'a str,
        set: &'a Set,
    },
    /// Removes a set that no rule names.
    DeleteSet { table: &'a str, name: &'a str },
    /// Puts an element into a set.
    AddElement {
        table: &'a str,
        set: &'a str,
        key: &'a Key,
        verdict: &'a Option<Verdict>,
    },
    /// Takes an element out.
    DeleteElement {
        table: &'a str,
        set: &'a str,
        key: &'a Key,
    },
    /// Makes a chain, empty.
    AddChain {
        table: &'a str,
        name: &'a str,
        hook: Option<Hook>,
    },
    /// Removes the rules of a chain.
    FlushChain { table: &'a str, name: &'a str },
    /// Removes a chain that nothing leads to.
    DeleteChain { table: &'a str, name: &'a str },
    /// Appends a rule.
    AddRule {
        table: &'a str,
        chain: &'a str,
        rule: &'a Rule,
    },
}

/// The table anew, whatever the kernel has under its name now.
///
/// The first `AddTable` is there for the deletion to have something to delete, which works on
/// every kernel; all of it happens at once, so no packet sees the table missing.
pub fn replace(table: &Table) -> Vec<Op<'_>> {
    let mut ops = vec![Op::AddTable(&table.name), Op::DeleteTable(&table.name)];
    ops.extend(create(table));
    ops
}

/// From the table `old`, which the kernel has, to `new`: only what differs. Nothing if they are
/// equal.
pub fn delta<'a>(old: &'a Table, new: &'a Table) -> Vec<Op<'a>> {
    if old.name != new.name || bases_differ(old, new) {
        return replace(new);
    }
    changes(old, new)
}

fn create(table: &Table) -> Vec<Op<'_>> {
    // A table of no name shares nothing with any other, so all of `table` is new.
    static EMPTY: Table = Table {
        name: String::new(),
        sets: std::collections::BTreeMap::new(),
        chains: std::collections::BTreeMap::new(),
    };
    let mut ops = vec![Op::AddTable(&table.name)];
    ops.extend(changes(&EMPTY, table));
    ops
}

/// Whether something differs that cannot be changed in place: a hook, or what a set holds.
fn bases_differ(old: &Table, new: &Table) -> bool {
    let hook = |chain: &Chain| chain.hook;
    let chain_differs =
        |(name, chain): (&String, &Chain)| new.chains.get(name).map(hook) != Some(chain.hook);
    let set_differs = |(name, set): (&String, &Set)| {
        new.sets
            .get(name)
            .is_some_and(|other| other.key != set.key || other.kind != set.kind)
    };
    old.chains
        .iter()
        .filter(|(_, chain)| chain.hook.is_some())
        .any(chain_differs)
        || old.sets.iter().any(set_differs)
}

/// The order is what makes every step legal: a name exists before something leads to it, and
/// nothing leads to a name any more when it goes.
fn changes<'a>(old: &'a Table, new: &'a Table) -> Vec<Op<'a>> {
    let table = new.name.as_str();
    let mut ops = Vec::new();
    for (name, set) in &new.sets {
        if !old.sets.contains_key(name) {
            ops.push(Op::AddSet { table, name, set });
        }
    }
    for (name, chain) in &new.chains {
        if !old.chains.contains_key(name) {
            ops.push(Op::AddChain {
                table,
                name,
                hook: chain.hook,
            });
        }
    }
    // A verdict cannot be changed in place: the element goes and comes back.
    for (set, old_set) in &old.sets {
        let new_set = new.sets.get(set);
        for (key, verdict) in &old_set.elements {
            if new_set.is_some_and(|new_set| new_set.elements.get(key) != Some(verdict)) {
                ops.push(Op::DeleteElement { table, set, key });
            }
        }
    }
    for (name, chain) in &old.chains {
        if new.chains.get(name) != Some(chain) && !chain.rules.is_empty() {
            ops.push(Op::FlushChain { table, name });
        }
    }
    for (name, chain) in &new.chains {
        if old.chains.get(name) != Some(chain) {
            ops.extend(chain.rules.iter().map(|rule| Op::AddRule {
                table,
                chain: name,
                rule,
            }));
        }
    }
    for (set, new_set) in &new.sets {
        let old_set = old.sets.get(set);
        for (key, verdict) in &new_set.elements {
            if old_set.and_then(|old_set| old_set.elements.get(key)) != Some(verdict) {
                ops.push(Op::AddElement {
                    table,
                    set,
                    key,
                    verdict,
                });
            }
        }
    }
    // Sets first: what is left in a map that goes may still lead to a chain that goes.
    for name in old.sets.keys().filter(|name| !new.sets.contains_key(*name)) {
        ops.push(Op::DeleteSet { table, name });
    }
    for name in old
        .chains
        .keys()
        .filter(|name| !new.chains.contains_key(*name))
    {
        ops.push(Op::DeleteChain { table, name });
    }
    ops
}
