//! Tables in outputs: found by their header, cut into cells, laid out anew.

/// A part of an output.
#[derive(Debug, PartialEq)]
pub enum Part<'a> {
    /// A line that is no row of a table.
    Line(&'a str),
    /// Lines of three cells or more that have no header above them, by their indent.
    Rows(usize, Vec<Vec<&'a str>>),
    /// A table by its indent; the first row is the header.
    Table(usize, Vec<Vec<&'a str>>),
}

/// Cuts an output into its parts.
pub fn parts<'a>(lines: &[&'a str]) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let underlined = lines.get(at + 1).is_some_and(|next| is_underline(next));
        if is_header(line) || (underlined && cells(line).len() > 1) {
            let starts = starts(line);
            let rows: Vec<_> = lines[at..]
                .iter()
                .map_while(|row| cut(row, &starts))
                .collect();
            at += rows.len();
            parts.push(Part::Table(starts[0], rows));
            continue;
        }
        at += 1;
        let cells = cells(line);
        match parts.last_mut() {
            _ if cells.len() < 3 => parts.push(Part::Line(line)),
            Some(Part::Rows(indent, rows))
                if *indent == self::indent(line) && rows[0].len() == cells.len() =>
            {
                rows.push(cells);
            }
            _ => parts.push(Part::Rows(indent(line), vec![cells])),
        }
    }
    parts
}

/// Rows below each other, three spaces apart, as kubectl and docker have them.
pub fn lay_out(indent: usize, rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            line += &format!("{cell:width$}   ");
        }
        text += &format!("{}\n", line.trim_end());
    }
    text
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// What is at least two spaces apart.
fn cells(line: &str) -> Vec<&str> {
    let cells = line.split("  ").map(str::trim);
    cells.filter(|cell| !cell.is_empty()).collect()
}

/// `NAME   READY   UP-TO-DATE   PORT(S)`
fn is_header(line: &str) -> bool {
    let upper = |c: char| c.is_ascii_uppercase() || " -()/".contains(c);
    let cells = cells(line);
    let word = |cell: &&str| cell.starts_with(|c: char| c.is_ascii_uppercase());
    cells.len() > 1 && cells.iter().all(word) && line.chars().all(upper)
}

/// `----   ------`, as below the headers that `kubectl describe` prints.
fn is_underline(line: &str) -> bool {
    let cells = cells(line);
    cells.len() > 1 && line.chars().all(|c| "- ".contains(c))
}

/// Where the columns of a header begin.
fn starts(header: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut spaces = 2;
    for (at, c) in header.char_indices() {
        if c == ' ' {
            spaces += 1;
        } else {
            if spaces > 1 {
                starts.push(at);
            }
            spaces = 0;
        }
    }
    starts
}

/// The cells of a row below a header; `None` when it is no such row.
fn cut<'a>(row: &'a str, starts: &[usize]) -> Option<Vec<&'a str>> {
    if row.trim().is_empty() || indent(row) != starts[0] {
        return None;
    }
    let clean = |start: &usize| {
        row.get(..*start)
            .is_none_or(|before| before.is_empty() || before.ends_with(' '))
    };
    if row.is_ascii() && starts.iter().all(clean) {
        let ends = starts.iter().skip(1).copied().chain([row.len()]);
        let cell = |(start, end): (&usize, usize)| row.get(*start..end.min(row.len()));
        return Some(
            starts
                .iter()
                .zip(ends)
                .map(|it| cell(it).unwrap_or("").trim())
                .collect(),
        );
    }
    // Wider than the header expected, as rows of a watch are: as many cells as there are columns.
    let cells = cells(row);
    (cells.len() == starts.len()).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_cells_stay_where_they_are() {
        let lines = [
            "NAME         SHORTNAMES   KIND",
            "bindings                  Binding",
            "configmaps   cm           ConfigMap",
            "",
            "after",
        ];
        assert_eq!(
            parts(&lines),
            [
                Part::Table(
                    0,
                    vec![
                        vec!["NAME", "SHORTNAMES", "KIND"],
                        vec!["bindings", "", "Binding"],
                        vec!["configmaps", "cm", "ConfigMap"],
                    ]
                ),
                Part::Line(""),
                Part::Line("after"),
            ]
        );
    }

    #[test]
    fn describes_tables_have_a_line_below_their_header() {
        let lines = [
            "Events:",
            "  Type    Age",
            "  ----    ---",
            "  Normal  5s",
            "Name:  x",
        ];
        let found = parts(&lines);
        assert_eq!(found.len(), 3);
        assert!(matches!(&found[1], Part::Table(2, rows) if rows.len() == 3));
    }

    #[test]
    fn rows_without_a_header_stand_below_each_other() {
        let lines = ["a  b   c", "d    e  f", "g  h  i  j", "k  l"];
        assert_eq!(
            parts(&lines),
            [
                Part::Rows(0, vec![vec!["a", "b", "c"], vec!["d", "e", "f"]]),
                Part::Rows(0, vec![vec!["g", "h", "i", "j"]]),
                Part::Line("k  l"),
            ]
        );
    }

    #[test]
    fn a_row_may_be_wider_than_its_column() {
        let lines = ["NAME   READY", "a-long-name   0/1"];
        assert!(
            matches!(&parts(&lines)[..], [Part::Table(0, rows)] if rows[1] == ["a-long-name", "0/1"])
        );
        assert_eq!(
            lay_out(
                1,
                &[
                    vec!["A".into(), "B".into()],
                    vec!["long".into(), "x".into()]
                ]
            ),
            " A      B\n long   x\n"
        );
    }
}
