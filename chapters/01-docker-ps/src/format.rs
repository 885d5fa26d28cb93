//! What `--format` asks for: a table, a line for each container, or JSON.
//!
//! Upstream: `cli/command/formatter/formatter.go` in docker/cli.

use crate::columns::{HeadingFields, Row, RowFields, View};
use crate::table;
use crate::template::{Error, Template};

const DEFAULT: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
const RAW: &str = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\n\
    created_at: {{.CreatedAt}}\nstate: {{.State}}\nstatus: {{.Status}}\nnames: {{.Names}}\n\
    labels:{{if .Labels}} {{.Labels}}{{end}}\nports:{{if .Ports}} {{.Ports}}{{end}}\n";

/// A template, and whether headings and aligned columns go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    template: Template,
    is_table: bool,
    shows_size: bool,
}

/// What else the command line says of the output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Ids alone, without headings.
    pub quiet: bool,
    /// With a column for sizes.
    pub size: bool,
    /// With a column for nodes, the first.
    pub nodes: bool,
}

impl Format {
    /// Reads what `--format` says, which may be nothing.
    ///
    /// # Errors
    /// If its template is none.
    pub fn parse(text: &str, options: Options) -> Result<Format, Error> {
        let preset = |name: &str| match name {
            "" | "table" => Some((default_table(options), true)),
            "json" => Some(("{{json .}}".into(), false)),
            "raw" if options.size => Some((format!("{RAW}size: {{{{.Size}}}}\n"), false)),
            "raw" => Some((RAW.into(), false)),
            _ => None,
        };
        let (template, is_table) = if options.quiet {
            ("{{.ID}}".into(), false)
        } else if let Some(preset) = preset(text.trim()) {
            preset
        } else {
            let (template, is_table) = match text.strip_prefix("table") {
                Some(template) => (template, true),
                None => (text, false),
            };
            // A shell leaves `\t` as it is typed.
            let template = template.trim().replace("\\t", "\t").replace("\\n", "\n");
            (template, is_table)
        };
        let template = Template::parse(&template)?;
        // All of it is with sizes, but not where it has the short name `json`.
        let all = template.uses_all() && text.trim() != "json";
        Ok(Format {
            shows_size: all || template.uses("Size"),
            template,
            is_table,
        })
    }

    /// Whether the engine has to count sizes for it.
    pub fn shows_size(&self) -> bool {
        self.shows_size
    }

    /// The output for `rows`, a line or more for each.
    ///
    /// # Errors
    /// If the template asks for what a container does not have.
    pub fn render(&self, rows: &[Row], view: &View) -> Result<String, Error> {
        let mut lines = Vec::new();
        if self.is_table {
            lines.push(self.template.execute(&HeadingFields)?);
        }
        for row in rows {
            lines.push(self.template.execute(&RowFields { row, view })?);
        }
        if self.is_table {
            return Ok(table::align(&lines));
        }
        Ok(lines.into_iter().map(|line| line + "\n").collect())
    }
}

fn default_table(options: Options) -> String {
    let node = if options.nodes { "{{.Node}}\t" } else { "" };
    let size = if options.size { "\t{{.Size}}" } else { "" };
    format!("{node}{DEFAULT}{size}")
}
