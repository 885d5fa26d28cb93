//! `{{#trace NN-name}}`: a recorded run, drawn, with its text folded below it.

use std::path::Path;

use crate::files::{Files, TRACES};

/// The drawing and the text of a trace, as HTML.
///
/// # Errors
/// What is missing: a test plays every `.trace`, and compares or writes the other two.
pub fn bind(files: &dyn Files, name: &str) -> Result<String, String> {
    let read = |ending: &str| {
        let path = Path::new(TRACES).join(format!("{name}.{ending}"));
        let text = files.read(&path).filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| format!("no test replays this: there is no {}", path.display()))
    };
    read("trace")?;
    let (drawing, text) = (read("svg")?, read("txt")?);
    let root = drawing.find("<svg").map(|at| &drawing[at..]);
    let root = root.filter(|root| {
        let tag = root.split('>').next().unwrap_or_default();
        tag.contains("class=\"trace")
    });
    let Some(root) = root else {
        return Err(format!("{TRACES}/{name}.svg is no drawing of a trace"));
    };
    // An empty line would end the HTML for Markdown.
    let root: Vec<&str> = root
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let text = text.trim_end().replace('&', "&amp;").replace('<', "&lt;");
    let text = text.replace('>', "&gt;").replace('\n', "&#10;");
    Ok(format!(
        "<figure class=\"run\"><div>\n{}\n</div></figure>\n\n\
         <details class=\"run\"><summary>The same as text</summary>\
         <pre><code class=\"language-text nohighlight\">{text}</code></pre></details>\n\n",
        root.join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Memory;

    const DRAWING: &str = "<?xml version=\"1.0\"?>\n<svg class=\"trace\" viewBox=\"0 0 9 9\">\n\n\
                           <path d=\"M0 0\"/>\n</svg>\n";

    #[test]
    fn drawing_and_text() {
        let files = Memory::new([
            ("book/traces/00-apply.trace", "trace: kubectl apply\n"),
            ("book/traces/00-apply.svg", DRAWING),
            (
                "book/traces/00-apply.txt",
                "kubectl ─► apiserver\n\na <b>\n",
            ),
        ]);
        let bound = bind(&files, "00-apply").unwrap();
        assert!(bound.starts_with("<figure class=\"run\"><div>\n<svg class=\"trace\""));
        assert!(
            bound.contains("kubectl ─► apiserver&#10;&#10;a &lt;b&gt;</code>"),
            "{bound}"
        );
        let (html, _) = bound.split_once("</figure>").unwrap();
        assert!(!html.contains("\n\n"), "{html}");
    }

    #[test]
    fn what_is_not_replayed_is_refused() {
        let files = Memory::new([
            ("book/traces/00-drawn.svg", DRAWING),
            ("book/traces/00-drawn.txt", "kubectl\n"),
            ("book/traces/00-half.trace", "trace: kubectl apply\n"),
            ("book/traces/00-half.svg", DRAWING),
            ("book/traces/00-other.trace", "trace: kubectl apply\n"),
            ("book/traces/00-other.svg", "<svg class=\"logo\"></svg>"),
            ("book/traces/00-other.txt", "kubectl\n"),
        ]);
        for (name, what) in [
            (
                "00-none",
                "no test replays this: there is no book/traces/00-none.trace",
            ),
            ("00-drawn", "there is no book/traces/00-drawn.trace"),
            ("00-half", "there is no book/traces/00-half.txt"),
            ("00-other", "no drawing of a trace"),
        ] {
            assert!(bind(&files, name).unwrap_err().contains(what), "{name}");
        }
    }
}
