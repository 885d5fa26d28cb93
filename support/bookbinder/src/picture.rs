//! Pictures drawn from text: box-drawing characters become lines, arrow heads become triangles,
//! everything else stays text, each where it stood.
//!
//! The text is readable where it is written; the drawing scales, and takes its colours from the
//! page (`currentColor`), so it is right in every theme. Lines are `─│┌┐└┘├┤┬┴┼`, dashed ones
//! `┄┆`, heads `▲▼◄►`.

use std::fmt::Write;

/// The size of a character's cell.
const WIDTH: f32 = 8.0;
const HEIGHT: f32 = 17.0;
/// Where text stands in it.
const BASELINE: f32 = 12.5;
/// Which sides of its cell a character's line reaches.
const LEFT: u8 = 1;
const RIGHT: u8 = 2;
const UP: u8 = 4;
const DOWN: u8 = 8;

/// A figure with its title; one line of HTML, as Markdown wants it.
pub fn figure(title: &str, lines: &[&str]) -> String {
    let title = escaped(title);
    format!(
        "<figure class=\"picture\"><div>{}</div><figcaption>{title}</figcaption></figure>\n\n",
        svg(&title, lines)
    )
}

fn svg(title: &str, lines: &[&str]) -> String {
    let columns = lines.iter().map(|line| line.chars().count()).max();
    let width = columns.unwrap_or(0) as f32 * WIDTH;
    let height = lines.len() as f32 * HEIGHT;
    let mut drawing = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         style=\"min-width:{least}px;max-width:{width}px\" role=\"img\" aria-label=\"{title}\">",
        // Below this the words are too small to be read: the page scrolls the picture.
        least = width * 0.8,
    );
    let (mut solid, mut dashed) = (String::new(), String::new());
    let mut heads = String::new();
    for (row, line) in lines.iter().enumerate() {
        let y = row as f32 * HEIGHT;
        for (column, c) in line.chars().enumerate() {
            let x = column as f32 * WIDTH;
            if let Some(sides) = sides(c) {
                let path = if is_dashed(c) {
                    &mut dashed
                } else {
                    &mut solid
                };
                path.push_str(&strokes(sides, x, y));
            } else if let Some(head) = head(c, x, y) {
                heads.push_str(&head);
                // The line goes on to where the head begins.
                solid.push_str(&strokes(shaft(c), x, y));
            }
        }
        for (column, words) in words(line) {
            drawing += &text(&words, column as f32 * WIDTH, y);
        }
    }
    write!(
        drawing,
        "<path class=\"line\" d=\"{solid}\"></path><path class=\"line dashed\" d=\"{dashed}\"></path>\
         <path class=\"head\" d=\"{heads}\"></path></svg>"
    )
    .expect("a string takes everything");
    drawing
}

fn sides(c: char) -> Option<u8> {
    Some(match c {
        '─' | '┄' => LEFT | RIGHT,
        '│' | '┆' => UP | DOWN,
        '┌' => RIGHT | DOWN,
        '┐' => LEFT | DOWN,
        '└' => RIGHT | UP,
        '┘' => LEFT | UP,
        '├' => UP | DOWN | RIGHT,
        '┤' => UP | DOWN | LEFT,
        '┬' => LEFT | RIGHT | DOWN,
        '┴' => LEFT | RIGHT | UP,
        '┼' => LEFT | RIGHT | UP | DOWN,
        _ => return None,
    })
}

fn is_dashed(c: char) -> bool {
    "┄┆".contains(c)
}

/// From the middle of a cell to each of its sides.
fn strokes(sides: u8, x: f32, y: f32) -> String {
    let (middle, centre) = (x + WIDTH / 2.0, y + HEIGHT / 2.0);
    let ends = [
        (LEFT, x, centre),
        (RIGHT, x + WIDTH, centre),
        (UP, middle, y),
        (DOWN, middle, y + HEIGHT),
    ];
    let reached = ends.into_iter().filter(|(side, ..)| sides & side != 0);
    reached
        .map(|(_, to_x, to_y)| format!("M{middle} {centre}L{to_x} {to_y}"))
        .collect()
}

/// Where the shaft of an arrow comes from.
fn shaft(c: char) -> u8 {
    match c {
        '►' => LEFT,
        '◄' => RIGHT,
        '▼' => UP,
        _ => DOWN,
    }
}

fn head(c: char, x: f32, y: f32) -> Option<String> {
    let (middle, centre) = (x + WIDTH / 2.0, y + HEIGHT / 2.0);
    // The tip, then the two other corners.
    let corners = match c {
        '►' => [(x + WIDTH, centre), (x, centre - 4.0), (x, centre + 4.0)],
        '◄' => [
            (x, centre),
            (x + WIDTH, centre - 4.0),
            (x + WIDTH, centre + 4.0),
        ],
        '▼' => [(middle, y + HEIGHT), (x, y + 7.0), (x + WIDTH, y + 7.0)],
        '▲' => [(middle, y), (x, y + 10.0), (x + WIDTH, y + 10.0)],
        _ => return None,
    };
    let [tip, left, right] = corners.map(|(x, y)| format!("{x} {y}"));
    Some(format!("M{tip}L{left}L{right}Z"))
}

/// What is text in a line: where it begins, and its words up to the next line or wider gap.
fn words(line: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut gap = 2;
    for (column, c) in line.chars().enumerate() {
        if sides(c).is_some() || head(c, 0.0, 0.0).is_some() {
            gap = 2;
        } else if c == ' ' {
            gap += 1;
        } else {
            match found.last_mut() {
                Some((_, words)) if gap < 2 => {
                    words.push_str(&" ".repeat(gap));
                    words.push(c);
                }
                _ => found.push((column, c.into())),
            }
            gap = 0;
        }
    }
    found
}

/// As wide as its cells, whatever font there is.
fn text(words: &str, x: f32, y: f32) -> String {
    let width = words.chars().count() as f32 * WIDTH;
    format!(
        "<text x=\"{x}\" y=\"{}\" textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\">{}</text>",
        y + BASELINE,
        escaped(words)
    )
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_words_stand_where_they_stood() {
        let drawn = figure("A & B", &["┌─┐", "│a► b c  d", "└─┘"]);
        assert!(drawn.contains("viewBox=\"0 0 80 51\""), "{drawn}");
        assert!(drawn.contains("aria-label=\"A &amp; B\""));
        // The upper left corner: to the right, and down.
        assert!(drawn.contains("d=\"M4 8.5L8 8.5M4 8.5L4 17"));
        // The head points to the right.
        assert!(drawn.contains("M24 25.5L16 21.5L16 29.5Z"));
        for (x, width, words) in [(8, 8, "a"), (32, 24, "b c"), (72, 8, "d")] {
            let text = format!("<text x=\"{x}\" y=\"29.5\" textLength=\"{width}\"");
            assert!(
                drawn.contains(&text) && drawn.contains(&format!(">{words}</text>")),
                "{drawn}"
            );
        }
        // One paragraph of HTML for Markdown: an empty line would end it.
        assert!(!drawn.trim_end().contains('\n'));
    }

    #[test]
    fn no_character_is_too_much() {
        assert!(figure("t", &[]).contains("<svg"));
        assert!(figure("t", &["", "🐳 <é>"]).contains("🐳 &lt;é&gt;"));
    }
}
