//! A drawing as text: a line for each arrow.
//!
//! ```text
//! kubectl      ──► apiserver    create deployments/web                201  r+0
//! apiserver    ┄┄► controllers  ADDED deployments/web                      r+0
//! ```

use std::fmt::Write;

use super::drawing::{APISERVER, Arrow, Drawing, Step};
use super::revision::Revisions;

/// Draws.
pub fn text(drawing: &Drawing, revisions: Revisions) -> String {
    let rows: Vec<Row> = drawing
        .steps
        .iter()
        .flat_map(|step| rows(drawing, step, revisions))
        .collect();
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max();
    let from = width(|row| &row.from).unwrap_or(0);
    let to = width(|row| &row.to).unwrap_or(0);
    let what = width(|row| &row.what).unwrap_or(0);
    let mut text = String::new();
    for row in &rows {
        let Row {
            from: f,
            arrow,
            to: t,
            what: w,
            code,
            revision,
        } = row;
        let line = format!("{f:<from$} {arrow} {t:<to$}  {w:<what$}  {code:>3}  {revision}");
        // Cannot fail: it is a string.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

struct Row {
    from: String,
    arrow: &'static str,
    to: String,
    what: String,
    code: String,
    revision: String,
}

/// The lines of a step: news that goes to several has one for each, and is said once.
fn rows(drawing: &Drawing, step: &Step, revisions: Revisions) -> Vec<Row> {
    let lane = |lane: usize, count: usize| {
        let name = drawing.lanes[lane].name.clone();
        if count > 1 {
            format!("{name} ×{count}")
        } else {
            name
        }
    };
    let apiserver = || lane(APISERVER, 1);
    let mut ends = match &step.arrow {
        Arrow::Request { from } => vec![(lane(*from, 1), "──►", apiserver())],
        Arrow::Write => vec![(apiserver(), "──►", "its store".into())],
        Arrow::Call { to } => vec![(apiserver(), "──►", lane(*to, 1))],
        Arrow::Delivery { to } => to
            .iter()
            .map(|(to, count)| (apiserver(), "┄┄►", lane(*to, *count)))
            .collect(),
    };
    for (from, ..) in ends.iter_mut().skip(1) {
        from.clear();
    }
    let said = [words(step)];
    let rows = ends.into_iter().enumerate().map(|(at, (from, arrow, to))| {
        let first = at == 0;
        let revision = step.revision.filter(|_| first);
        Row {
            from,
            arrow,
            to,
            what: said.get(at).cloned().unwrap_or_default(),
            code: match step.code {
                Some(code) if first => code.to_string(),
                _ => String::new(),
            },
            revision: revision.map(|r| revisions.show(r)).unwrap_or_default(),
        }
    });
    rows.collect()
}

/// What a step does, in words.
pub fn words(step: &Step) -> String {
    let mut words = format!("{} {}", step.verb, step.what).trim_end().to_owned();
    if step.times > 1 {
        words += &format!(" ×{}", step.times);
    }
    words
}
