//! A drawing as SVG: a line down for each who takes part, an arrow across for each step.
//!
//! It has no colours of its own for text and lines, so that it looks right on a light page and on a
//! dark one: they are the page's (`currentColor`), and the few accents do on both. It says no size
//! but the smallest at which it can be read; what is wider than the page is for the page to scroll.
//!
//! Words stand right of their arrow, never on it, so that none is ever crossed by another.

use std::fmt::Write;

use super::drawing::{APISERVER, Arrow, Drawing, Step};
use super::revision::Revisions;

/// Between two lanes.
const LANE: usize = 84;
/// Left of the first lane and right of the last.
const MARGIN: usize = 44;
/// Above the first step.
const HEAD: usize = 52;
/// Height of a step.
const ROW: usize = 25;
/// Before a request, so that it and the news of it are one group to the eye.
const GAP: usize = 7;
/// Half the width of a revision's plate.
const PLATE: usize = 22;
/// A letter of a step's words is no wider than this, on the average, in wide fonts too.
const LETTER: f64 = 7.7;

/// Styles of one drawing. They name nothing outside of it, since it may be part of a page.
const STYLE: &str = "\
.trace{width:100%;height:auto;font:12.5px system-ui,sans-serif;fill:currentColor}\
.trace .life{stroke:currentColor;stroke-opacity:.22}\
.trace .head{font-weight:600;text-anchor:middle}\
.trace .sub{font-size:11px;text-anchor:middle;opacity:.75}\
.trace .line{stroke:currentColor;stroke-width:1.4;fill:none}\
.trace .tip{fill:currentColor}\
.trace .own{color:#d9822b}\
.trace .news{color:#3b8ede}\
.trace .news .line{stroke-dasharray:4 3}\
.trace .call{color:#8f6fd6}\
.trace text{paint-order:stroke;stroke:var(--bg,Canvas);stroke-width:4px;stroke-linejoin:round}\
.trace .verb{font-weight:600}\
.trace .code{opacity:.65}\
.trace .plate{fill:var(--bg,Canvas);stroke:currentColor;stroke-width:1.2}\
.trace .revision{font:11px ui-monospace,monospace;text-anchor:middle;stroke:none}\
.trace .words{fill:var(--fg,currentColor)}";

/// Draws; `title` is what a screen reader says first.
pub fn svg(drawing: &Drawing, title: &str, revisions: Revisions) -> String {
    let mut body = String::new();
    let mut y = HEAD;
    let mut width = x(drawing.lanes.len().saturating_sub(1)) + MARGIN;
    for step in &drawing.steps {
        if matches!(step.arrow, Arrow::Request { .. }) {
            y += GAP;
        }
        width = width.max(row(&mut body, step, y, revisions));
        y += ROW;
    }
    let height = y + GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"trace\" role=\"img\" \
         viewBox=\"0 0 {width} {height}\" style=\"min-width:{least}px;max-width:{width}px\">\n\
         <title>{title}</title>\n<desc>{desc}</desc>\n<style>{STYLE}</style>\n",
        title = escape(title),
        desc = escape(&description(drawing)),
        // Below this the words are too small to be read.
        least = width * 7 / 10,
    );
    for (number, lane) in drawing.lanes.iter().enumerate() {
        head(&mut svg, number, &lane.name, lane.count, height);
    }
    svg + &body + "</svg>\n"
}

fn x(lane: usize) -> usize {
    MARGIN + lane * LANE
}

/// The name of a lane, and its line.
fn head(svg: &mut String, lane: usize, name: &str, count: usize, height: usize) {
    let x = x(lane);
    let times = if count > 1 {
        format!("×{count}")
    } else {
        String::new()
    };
    let (name, below) = match name.split_once(' ') {
        Some((name, node)) => (name, format!("{node} {times}")),
        None if lane == APISERVER => (name, "and its store".into()),
        None => (name, times),
    };
    let (name, below) = (escape(name), escape(&below));
    let top = HEAD - 14;
    // Cannot fail: it is a string.
    let _ = writeln!(
        svg,
        "<path class=\"life\" d=\"M{x} {top}V{height}\"/>\
         <text class=\"head\" x=\"{x}\" y=\"16\">{name}</text>\
         <text class=\"sub\" x=\"{x}\" y=\"31\">{below}</text>"
    );
}

/// A step; returns how far to the right it reaches.
fn row(svg: &mut String, step: &Step, y: usize, revisions: Revisions) -> usize {
    let middle = y + ROW / 2;
    let api = x(APISERVER);
    // A plate with its revision, on the API server's line: the store has taken this.
    let written = step
        .revision
        .filter(|_| !matches!(step.arrow, Arrow::Delivery { .. }));
    let half = written.map_or(0, |_| PLATE);
    let (class, from, to) = match &step.arrow {
        Arrow::Request { from } if *from < APISERVER => ("own", x(*from), vec![api - half]),
        Arrow::Request { from } => ("asked", x(*from), vec![api + half]),
        Arrow::Write => ("asked", api, Vec::new()),
        Arrow::Call { to } => ("call", api, vec![x(*to)]),
        Arrow::Delivery { to } => ("news", api, to.iter().map(|(to, _)| x(*to)).collect()),
    };
    // Cannot fail, here and below: it is a string.
    let _ = write!(svg, "<g class=\"{class}\">");
    arrow(svg, from, &to, middle);
    if let Some(revision) = written {
        plate(svg, api, middle, &revisions.show(revision));
    }
    let right = to.into_iter().chain([from, api + half]).max();
    let left = right.unwrap_or(api) + 10;
    let letters = words(svg, step, (left, middle + 4), revisions);
    let _ = writeln!(svg, "</g>");
    left + (letters as f64 * LETTER) as usize + 8
}

fn plate(svg: &mut String, x: usize, y: usize, revision: &str) {
    let (left, top, wide, base) = (x - PLATE, y - 9, 2 * PLATE, y + 4);
    let _ = write!(
        svg,
        "<rect class=\"plate\" x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"18\" rx=\"9\"/>\
         <text class=\"revision\" x=\"{x}\" y=\"{base}\">{revision}</text>"
    );
}

/// What a step does, in words; returns how many letters they have.
fn words(svg: &mut String, step: &Step, (x, y): (usize, usize), revisions: Revisions) -> usize {
    let mut tail = String::new();
    if step.times > 1 {
        tail += &format!(" ×{}", step.times);
    }
    match (&step.arrow, step.code, step.revision) {
        (Arrow::Delivery { .. }, _, Some(revision)) => {
            tail += &format!(" {}", revisions.show(revision));
        }
        (_, Some(code), _) => tail += &format!(" {code}"),
        _ => {}
    }
    let _ = write!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" class=\"words\"><tspan class=\"verb\">{}</tspan> {}\
         <tspan class=\"code\">{}</tspan></text>",
        escape(&step.verb),
        escape(&step.what),
        escape(&tail),
    );
    let said = [&step.verb, &step.what, &tail];
    said.iter().map(|part| part.chars().count()).sum::<usize>() + 1
}

/// An arrow with a tip at each of its ends: one line to the left and one to the right, so that
/// dashes do not lie on dashes.
fn arrow(svg: &mut String, from: usize, to: &[usize], y: usize) {
    let (above, below) = (y - 4, y + 4);
    let back = |to: usize| if from < to { to - 7 } else { to + 7 };
    let (left, right): (Vec<usize>, Vec<usize>) = to.iter().partition(|to| **to < from);
    let outermost = left
        .into_iter()
        .min()
        .into_iter()
        .chain(right.into_iter().max());
    for far in outermost.map(back) {
        let _ = write!(svg, "<path class=\"line\" d=\"M{from} {y}H{far}\"/>");
    }
    for to in to {
        let back = back(*to);
        let _ = write!(
            svg,
            "<path class=\"tip\" d=\"M{to} {y}L{back} {above}V{below}Z\"/>"
        );
    }
}

/// What there is to see, for those who do not.
fn description(drawing: &Drawing) -> String {
    let names: Vec<&str> = drawing
        .lanes
        .iter()
        .map(|lane| lane.name.as_str())
        .collect();
    format!(
        "A sequence of {} steps between {}. The same as text is in the file beside it.",
        drawing.steps.len(),
        names.join(", ")
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
